//! The text output of `verify`: a tree for each image, the findings, and one line for each image at the end.

mod advice;

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::HumanBytes;

use crate::check::evidence;
use crate::check::verify::{Evidence, ImageName, Mark, Row, Tree, Verification};
use crate::render::{self, Terminal, fit};
use crate::report::Verdict;
use crate::report::{Cause, Report};
use advice::{after_failure, after_unverified};

/// Width of the columns after the object: size, duration, state.
const STATE_COLUMNS: usize = " 1023.99 MiB".len() + " 9999ms".len() + "  DIGEST_MISMATCH".len();
/// Minimum terminal width for full digests.
const WIDE: usize = 150;

/// Writes the results. With `drawn`, the tree has branch lines.
pub fn text(looks: &[Verification], terminal: Terminal, drawn: bool, out: &mut dyn io::Write) -> io::Result<()> {
    for look in looks {
        for (name, tree) in &look.trees {
            terminal.line(out, 0, &name.to_string())?;
            for row in rows(tree, terminal, drawn) {
                writeln!(out, "{row}")?;
            }
            for warning in &tree.warnings {
                terminal.write(out, 0, (colour(AnsiColor::Yellow), "WARNING"), warning)?;
            }
            writeln!(out)?;
        }
    }
    for look in looks {
        write_findings(&look.report, terminal, out)?;
    }
    for look in looks {
        for (name, tree) in &look.trees {
            write_conclusion(name, tree, look, terminal, out)?;
        }
    }
    Ok(())
}

/// The lines of a tree.
pub fn rows(tree: &Tree, terminal: Terminal, drawn: bool) -> Vec<String> {
    tree.rows.iter().map(|row| line(row, terminal, drawn)).collect()
}

fn line(row: &Row, terminal: Terminal, drawn: bool) -> String {
    let width = terminal.width.max(STATE_COLUMNS + 20);
    let guides = guides(&row.last, drawn);
    let digest = row.digest.as_ref().map(ToString::to_string).unwrap_or_default();
    let digest = match digest.split_once(':') {
        Some((_, hex)) if width < WIDE => hex.chars().take(12).collect(),
        _ => digest,
    };
    let label_width = width - STATE_COLUMNS;
    let what = fit(&format!("{guides}{} {digest}", row.label), label_width);
    let size = row.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default();
    let took = row.took.map(shown).unwrap_or_default();
    let (style, mark) = shown_mark(row);
    let style = if terminal.colour { style } else { Style::new() };
    format!("{what} {size:>11} {took:>6}  {style}{mark}{style:#}").trim_end().to_string()
}

fn guides(last: &[bool], drawn: bool) -> String {
    let Some((own, above)) = last.split_last() else { return String::new() };
    if !drawn {
        return "  ".repeat(last.len());
    }
    let mut guides: String = above.iter().map(|is_last| if *is_last { "   " } else { "│  " }).collect();
    guides.push_str(if *own { "└─ " } else { "├─ " });
    guides
}

fn shown(took: Duration) -> String {
    match took.as_millis() {
        0 => "<1ms".to_string(),
        millis @ 1..10_000 => format!("{millis}ms"),
        _ => format!("{:.0}s", took.as_secs_f64()),
    }
}

fn colour(colour: AnsiColor) -> Style {
    colour.on_default().bold()
}

fn shown_mark(row: &Row) -> (Style, String) {
    match row.mark {
        Mark::Waiting => (Style::new(), "...".to_string()),
        Mark::Confirming => (colour(AnsiColor::Yellow), "confirming".to_string()),
        Mark::Intact if row.evidence == Some(evidence::Evidence::Head) => {
            (AnsiColor::Green.on_default(), "length only".to_string())
        }
        Mark::Intact => (AnsiColor::Green.on_default(), "ok".to_string()),
        Mark::Absent => (Style::new(), "absent, allowed".to_string()),
        Mark::Unwanted => (Style::new(), "not requested".to_string()),
        Mark::Failed(reason) => (colour(AnsiColor::Red), reason.as_str().to_uppercase()),
        Mark::Unverified(cause) => (colour(AnsiColor::Yellow), format!("? {cause}")),
    }
}

fn write_findings(report: &Report, terminal: Terminal, out: &mut dyn io::Write) -> io::Result<()> {
    for (n, failure) in report.failures.iter().enumerate() {
        render::write_failure(failure, report, terminal, out)?;
        let advice = after_failure(failure);
        // Equal advice is written once, after the last failure.
        if report.failures.get(n + 1).is_none_or(|next| after_failure(next) != advice) {
            terminal.line(out, 4, &format!("next: {advice}"))?;
        }
        writeln!(out)?;
    }
    for cause in Cause::ALL.into_iter().filter(|cause| report.unverified.iter().any(|entry| entry.cause == *cause)) {
        render::write_unverified(cause, &report.unverified, terminal, out)?;
        if let Some(advice) = after_unverified(cause) {
            terminal.line(out, 4, &format!("next: {advice}"))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_conclusion(
    name: &ImageName,
    tree: &Tree,
    look: &Verification,
    terminal: Terminal,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut counted = HashSet::new();
    let rows =
        tree.rows.iter().filter(|row| row.mark != Mark::Unwanted && counted.insert((row.is_manifest, &row.digest)));
    let rows: Vec<&Row> = rows.collect();
    let objects = format!("{} object{}", rows.len(), if rows.len() == 1 { "" } else { "s" });
    let of_all = |what: fn(&Mark) -> bool| rows.iter().filter(|row| what(&row.mark)).count();
    let failed = of_all(|mark| matches!(mark, Mark::Failed(_)));
    let unverified = of_all(|mark| matches!(mark, Mark::Unverified(_)));
    let absent: Vec<String> = tree.absent_platforms.iter().map(|platform| format!("no {platform}")).collect();
    let mut said = absent;
    if failed > 0 {
        said.push(format!("{failed} of {objects} broken"));
    }
    if unverified > 0 {
        said.push(format!("{unverified} of {objects} unverified"));
    }
    let verdict = look.verdict(name);
    if said.is_empty() {
        said.push(match evidence(look, &rows) {
            Some(evidence) if verdict == Verdict::Intact => format!("{objects}, {evidence}"),
            _ => objects,
        });
    }
    let said = said.join(", ");
    let took = shown(Duration::from_secs_f64(look.report.duration_seconds));
    let lead = verdict.as_str().to_uppercase();
    terminal.write(out, 0, (render::style(verdict), &lead), &format!("{name}: {said}, in {took}"))
}

/// The evidence for an intact image; `None` if there is nothing to add.
fn evidence(look: &Verification, rows: &[&Row]) -> Option<String> {
    let proved_by = |least: evidence::Evidence| rows.iter().filter(|row| row.evidence == Some(least)).count();
    let (by_length, by_end) = (proved_by(evidence::Evidence::Head), proved_by(evidence::Evidence::LastByte));
    let is_hashed = look.evidence == Evidence::Content;
    if by_length == 0 && by_end == 0 && is_hashed {
        let bytes = rows.iter().filter(|row| row.mark == Mark::Intact).filter_map(|row| row.size).sum();
        // The images of a registry are hashed together, so that the rate of a single one is unknown.
        let rate = match look.trees.len() {
            1 => format!(", {}", rate(bytes, look.report.duration_seconds)),
            _ => String::new(),
        };
        return Some(format!("every byte hashed ({}{rate})", HumanBytes(bytes)));
    }
    let mut said = Vec::new();
    if by_length > 0 {
        said.push(format!("{by_length} by length only"));
    }
    if by_end > 0 && is_hashed {
        said.push(format!("{by_end} by the last byte only"));
    }
    if said.is_empty() && look.evidence == Evidence::Byte {
        said.push("each read to its last byte".to_string());
    }
    (!said.is_empty()).then(|| said.join(", "))
}

/// Bytes per second with a unit.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "for display only"
)]
pub fn rate(bytes: u64, seconds: f64) -> String {
    format!("{}/s", HumanBytes((bytes as f64 / seconds.max(0.001)) as u64))
}

//! Reports for GitHub Actions: annotations as workflow commands, and a job summary in Markdown.

use std::io;

use super::terminal::printable;
use super::text::{failed, some, totals, unverified_object};
use crate::report::Verdict;
use crate::report::{Cause, Failure, Report, Unverified};

/// Failures listed in the summary. GitHub drops a summary of more than 1 MiB.
const MAX_FAILURES: usize = 500;
/// Images listed for a failure.
const MAX_IMAGES: usize = 10;
/// Maximum characters of untrusted text in a cell of the summary.
const MAX_DETAIL: usize = 300;

/// Writes an error for each failure, a warning for each cause of unverified objects and for each empty registry, and the
/// totals.
///
/// GitHub shows the first ten errors and the first ten warnings next to the run, and all of them in the log.
pub fn annotations(reports: &[Report], out: &mut dyn io::Write) -> io::Result<()> {
    for report in reports {
        for failure in &report.failures {
            let title = format!("{} {}", failure.reason.as_str().to_uppercase(), failed(failure));
            let Failure { detail, images, .. } = failure;
            let (reference, images) = (failure.reference(), some(images, MAX_IMAGES));
            let message = format!("{reference}\n{detail}\nbreaks {images}\nin registry {}", report.registry);
            write_command(out, "error", &title, &message)?;
        }
    }
    for report in reports {
        for (cause, entries) in by_cause(report) {
            let title = format!("{} {}", cause.as_str().to_uppercase(), unverified(&entries));
            write_command(out, "warning", &title, &format!("{}\nin registry {}", example(&entries), report.registry))?;
        }
    }
    for report in reports.iter().filter(|report| report.empty) {
        let message = format!("no image was checked\nin registry {}", report.registry);
        write_command(out, "warning", "EMPTY registry", &message)?;
    }
    for report in reports {
        let verdict = Verdict::of(report).as_str().to_uppercase();
        writeln!(out, "{verdict}  {}: {}", data(&report.registry), data(&totals(report)))?;
    }
    Ok(())
}

/// Writes a table of the registries, and one of the failures.
pub fn summary(reports: &[Report], out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "### Registry integrity\n")?;
    writeln!(out, "| Registry | Verdict | |\n|---|---|---|")?;
    for report in reports {
        let verdict = Verdict::of(report).as_str();
        writeln!(out, "| {} | **{verdict}** | {} |", markdown(&report.registry), markdown(&totals(report)))?;
    }
    let failures: Vec<(&Report, &Failure)> =
        reports.iter().flat_map(|report| report.failures.iter().map(move |failure| (report, failure))).collect();
    if !failures.is_empty() {
        writeln!(out, "\n| Registry | Broken images | Object | Reason | Response |\n|---|---|---|---|---|")?;
    }
    for (report, failure) in failures.iter().take(MAX_FAILURES) {
        let registry = markdown(&report.registry);
        let images = markdown(&some(&failure.images, MAX_IMAGES));
        let object = format!("{}<br>{}", markdown(&failed(failure)), markdown(&failure.reference()));
        let (reason, detail) = (markdown(failure.reason.as_str()), markdown(&failure.detail));
        writeln!(out, "| {registry} | {images} | {object} | {reason} | {detail} |")?;
    }
    if failures.len() > MAX_FAILURES {
        writeln!(out, "\nand {} more", failures.len() - MAX_FAILURES)?;
    }
    for report in reports {
        for (cause, entries) in by_cause(report) {
            let (registry, cause) = (markdown(&report.registry), markdown(cause.as_str()));
            writeln!(out, "\n{registry}: {cause}, {}; {}", unverified(&entries), markdown(&example(&entries)))?;
        }
    }
    writeln!(out)
}

fn by_cause(report: &Report) -> impl Iterator<Item = (Cause, Vec<&Unverified>)> {
    Cause::ALL
        .into_iter()
        .map(|cause| (cause, report.unverified.iter().filter(|entry| entry.cause == cause).collect::<Vec<_>>()))
        .filter(|(_, entries)| !entries.is_empty())
}

fn unverified(entries: &[&Unverified]) -> String {
    format!("{} unverified", entries.len())
}

fn example(entries: &[&Unverified]) -> String {
    entries.first().map(|entry| format!("{}: {}", unverified_object(entry), entry.detail)).unwrap_or_default()
}

/// Writes a workflow command. Untrusted text cannot start another one, because its line breaks are escaped.
fn write_command(out: &mut dyn io::Write, command: &str, title: &str, message: &str) -> io::Result<()> {
    let title = data(title).replace(':', "%3A").replace(',', "%2C");
    writeln!(out, "::{command} title={title}::{}", data(message))
}

/// Escapes like GitHub's toolkit, and also characters that could recolour or reorder the log.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| printable(line).replace('%', "%25")).collect();
    lines.join("%0A")
}

/// Plain text in a cell of a Markdown table: every punctuation mark may be escaped (CommonMark, "Backslash escapes").
fn markdown(text: &str) -> String {
    let cut: String = text.chars().take(MAX_DETAIL).collect();
    let mut escaped = String::with_capacity(cut.len());
    for c in printable(&cut).chars() {
        // These two have no meaning inside a line, and names contain many of them.
        if c.is_ascii_punctuation() && !matches!(c, '-' | '/') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    if cut.len() < text.len() {
        escaped.push('…');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_starts_no_command() {
        let mut out = Vec::new();
        write_command(&mut out, "error", "a: 1,\n::stop::", "50%\r\n::add-mask::x\r::y\u{1b}[2J\u{202e}").unwrap();
        let expected = "::error title=a%3A 1%2C%0A%3A%3Astop%3A%3A::50%25%0A::add-mask::x\\r::y\\u{1b}[2J\\u{202e}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn untrusted_text_is_not_markup() {
        assert_eq!(
            markdown("a|b <img src=x> [l](https://u)\n@team `c`"),
            r"a\|b \<img src\=x\> \[l\]\(https\://u\)\\n\@team \`c\`"
        );
        assert_eq!(markdown(&"x".repeat(301)), "x".repeat(300) + "…");
    }
}

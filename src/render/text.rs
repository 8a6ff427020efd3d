//! Reports as text: broken and unverified objects, and one line for each registry at the end, where it stays visible.

use std::io;

use anstyle::{AnsiColor, Style};

use super::{Terminal, remedy};
use crate::oci::Digest;
use crate::report::Verdict;
use crate::report::{Cause, Failure, Report, Unverified, counted};

/// Images listed for a failure.
const MAX_IMAGES: usize = 10;
/// Unverified objects listed for each cause.
const MAX_UNVERIFIED: usize = 10;

/// Writes the reports.
pub fn text(reports: &[Report], terminal: Terminal, out: &mut dyn io::Write) -> io::Result<()> {
    for report in reports.iter().filter(|report| !report.failures.is_empty() || !report.unverified.is_empty()) {
        // A registry without a configured name is named after its URL.
        let authority = report.url.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        if authority == Some(&report.registry) {
            terminal.line(out, 0, &report.url)?;
        } else {
            terminal.line(out, 0, &format!("{}  {}", report.registry, report.url))?;
        }
        for failure in &report.failures {
            writeln!(out)?;
            write_failure(failure, report, terminal, out)?;
        }
        for cause in Cause::ALL {
            write_unverified(cause, &report.unverified, terminal, out)?;
            if report.unverified.iter().any(|entry| entry.cause == cause) {
                terminal.line(out, 4, remedy::after_unverified(cause))?;
            }
        }
        writeln!(out)?;
    }
    for report in reports {
        let verdict = Verdict::of(report);
        let lead = verdict.as_str().to_uppercase();
        terminal.write(out, 0, (style(verdict), &lead), &format!("{}: {}", report.registry, totals(report)))?;
    }
    Ok(())
}

/// The colour of a verdict.
pub(crate) fn style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Intact => AnsiColor::Green,
        Verdict::Empty | Verdict::Unverified => AnsiColor::Yellow,
        Verdict::Broken => AnsiColor::Red,
    };
    colour.on_default().bold()
}

/// Writes one failure.
pub(crate) fn write_failure(
    failure: &Failure,
    report: &Report,
    terminal: Terminal,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let lead = failure.reason.as_str().to_uppercase();
    terminal.write(out, 2, (style(Verdict::Broken), &lead), &failed(failure))?;
    if let Some(digest) = &failure.digest {
        terminal.line(out, 4, &digest.to_string())?;
    }
    terminal.line(out, 4, &failure.detail)?;
    terminal.line(out, 4, &format!("breaks {}", some(&failure.images, MAX_IMAGES)))?;
    // Both ends of the path have been written above.
    if failure.path.len() > 2 {
        let steps: Vec<String> = failure.path.iter().map(|step| abbreviated(step)).collect();
        terminal.line(out, 4, &format!("found through {}", steps.join(" > ")))?;
    }
    if failure.first_seen < report.started_at {
        terminal.line(out, 4, &format!("known since {}", humantime::format_rfc3339_seconds(failure.first_seen)))?;
    }
    Ok(())
}

/// Writes the unverified objects of one cause, if there are any.
pub(crate) fn write_unverified(
    cause: Cause,
    unverified: &[Unverified],
    terminal: Terminal,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let entries: Vec<&Unverified> = unverified.iter().filter(|entry| entry.cause == cause).collect();
    if entries.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let count = format!("{} unverified", entries.len());
    terminal.write(out, 2, (style(Verdict::Unverified), &cause.as_str().to_uppercase()), &count)?;
    for entry in entries.iter().take(MAX_UNVERIFIED) {
        terminal.line(out, 4, &format!("{}: {}", unverified_object(entry), entry.detail))?;
        if entry.kind.is_some() {
            terminal.line(out, 6, &entry.reference)?;
        }
    }
    if entries.len() > MAX_UNVERIFIED {
        terminal.line(out, 4, &format!("and {} more", entries.len() - MAX_UNVERIFIED))?;
    }
    Ok(())
}

/// The broken object of a failure.
pub(super) fn failed(failure: &Failure) -> String {
    let mut what = format!("{} of {}", failure.kind, failure.repository);
    // BuildKit's placeholder for the platform of an attestation, which is mentioned anyway.
    let platform = failure.platform.as_deref().filter(|&platform| platform != "unknown/unknown");
    what.extend(platform.map(|platform| format!(", {platform}")));
    what.push_str(if failure.attestation { ", attestation" } else { "" });
    what
}

/// The object that could not be verified.
pub(super) fn unverified_object(entry: &Unverified) -> String {
    let repository = entry.repository.as_deref().unwrap_or_default();
    match entry.kind {
        Some(kind) => format!("{kind} of {repository}"),
        None if entry.repository.is_none() && entry.reference == Unverified::CATALOG => "catalog".to_string(),
        None if entry.repository.is_none() => "filter".to_string(),
        None => format!("tags of {repository}"),
    }
}

/// The totals of a report, broken and unverified images first.
pub(super) fn totals(report: &Report) -> String {
    let images = report.images;
    let mut parts = Vec::new();
    let mut next_step = "";
    if report.empty {
        // The verdict says so, unless it is a more severe one.
        let lead = if Verdict::of(report) == Verdict::Empty { "" } else { "EMPTY, " };
        parts.push(format!("{lead}no image was checked"));
        next_step = "; if it has images, check the filters and the permissions of the probe's credentials";
    }
    if !report.catalog_accessible {
        parts.push(unread_catalog(report).to_string());
        if images.total() == 0 {
            return parts.join(", ");
        }
    }
    let of_all = format!("of {}", counted(images.total(), "image", "images"));
    match (images.broken, images.unverified) {
        (0, 0) if report.empty => {}
        (0, 0) => parts.push(counted(images.intact, "image", "images")),
        (broken, 0) => parts.push(format!("{broken} {of_all} broken")),
        (0, unverified) => parts.push(format!("{unverified} {of_all} unverified")),
        (broken, unverified) => parts.push(format!("{broken} {of_all} broken, {unverified} unverified")),
    }
    let objects = counted(report.objects.total(), "object", "objects");
    parts.push(format!("{objects} in {}", counted(report.repositories, "repository", "repositories")));
    if report.length_only > 0 {
        parts.push(format!("{} by length only", counted(report.length_only, "object", "objects")));
    }
    parts.join(", ") + next_step
}

fn unread_catalog(report: &Report) -> &'static str {
    let is_incomplete = |entry: &Unverified| entry.reference == Unverified::CATALOG && entry.cause == Cause::Incomplete;
    if report.unverified.iter().any(is_incomplete) {
        "the catalog is incomplete"
    } else {
        "the catalog could not be read completely"
    }
}

pub(super) fn some<T: ToString>(all: &[T], limit: usize) -> String {
    let mut words: Vec<String> = all.iter().take(limit).map(ToString::to_string).collect();
    if all.len() > limit {
        words.push(format!("and {} more", all.len() - limit));
    }
    words.join(", ")
}

/// Abbreviates a digest; other text stays as it is.
pub(super) fn abbreviated(step: &str) -> String {
    match step.parse::<Digest>() {
        Ok(_) => step.chars().take("sha256:".len() + 12).collect(),
        Err(_) => step.to_string(),
    }
}

//! A scan's report as text: findings, predictions for garbage collection, and one line for each registry at the end.

use std::collections::BTreeMap;
use std::io;

use anstyle::Style;
use indicatif::HumanBytes;

use super::Terminal;
use super::text::{abbreviated, some, style};
use crate::report::Kind;
use crate::report::{Verdict, counted};
use crate::storage::{Class, Finding, Foreign, Prediction, RemovalOutcome, RootReport, ScanReport};

/// Lines of damage for each of several predictions: on a registry with multi-platform images, registry 2 with
/// `--delete-untagged` would break every one of them.
const MAX_DAMAGE: usize = 10;
/// Images listed for a finding.
const MAX_IMAGES: usize = 10;
/// The note on a storage without tags.
const NO_TAGS: &str = "no repository has a tag. Harbor 2.15 and later keep tags only in their database, so the storage does not \
                       show which manifests are in use. With --delete-untagged, every manifest counts as untagged:";

/// Writes the report.
///
/// # Errors
///
/// Those of the writer.
pub fn scan(report: &ScanReport, terminal: Terminal, out: &mut dyn io::Write) -> io::Result<()> {
    for (index, root) in report.roots.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_root(root, terminal, out)?;
    }
    if !report.not_scanned.is_empty() {
        writeln!(out)?;
    }
    for Foreign { path, format } in &report.not_scanned {
        let text = format!("{path}: this is {format}, which scan cannot read");
        terminal.write(out, 0, (style(Verdict::Unverified), "NOT SCANNED"), &text)?;
    }
    Ok(())
}

fn write_root(root: &RootReport, terminal: Terminal, out: &mut dyn io::Write) -> io::Result<()> {
    terminal.line(out, 0, &root.root)?;
    let (orphan_links, findings): (Vec<&Finding>, Vec<&Finding>) =
        root.findings.iter().partition(|finding| finding.class == Class::OrphanLayerLink);
    for finding in findings {
        writeln!(out)?;
        write_finding(finding, terminal, out)?;
    }
    write_orphan_links(&orphan_links, terminal, out)?;
    write_removals(root, terminal, out)?;
    if root.has_no_tags {
        writeln!(out)?;
        terminal.write(
            out,
            2,
            (style(Verdict::Unverified), "NO TAGS"),
            &format!("{NO_TAGS} {}", untagged_fate(root)),
        )?;
    }
    for prediction in &root.garbage_collection {
        writeln!(out)?;
        // The prediction for a named engine is never truncated.
        let max_damage = if requested(root).is_some() { usize::MAX } else { MAX_DAMAGE };
        write_prediction(root, prediction, max_damage, terminal, out)?;
    }
    if !root.unverified.is_empty() {
        writeln!(out)?;
        let count = format!("{} unverified", root.unverified.len());
        terminal.write(out, 2, (style(Verdict::Unverified), "UNVERIFIED"), &count)?;
    }
    for unverified in &root.unverified {
        terminal.line(out, 4, &format!("{}: {}", unverified.path, unverified.detail))?;
    }
    writeln!(out)?;
    let (verdict, lead, words) = verdict(root);
    terminal.write(out, 0, (style(verdict), lead), &format!("{}: {words}, {}", root.root, totals(root)))
}

/// What the predicted collections with `--delete-untagged` would do to a storage without tags.
fn untagged_fate(root: &RootReport) -> String {
    let fate = |prediction: &Prediction| {
        let fate = if root.would_delete_all(prediction) { "delete everything" } else { "fail, for the reason below" };
        format!("registry {} would {fate}", prediction.collector.engine.number())
    };
    let untagged = root.garbage_collection.iter().filter(|prediction| prediction.collector.delete_untagged);
    let fates: Vec<String> = untagged.map(fate).collect();
    match &fates[..] {
        [] => "garbage collection would delete everything or fail".to_string(),
        fates => fates.join("; "),
    }
}

/// The prediction for the engine that was named on the command line, if any.
fn requested(root: &RootReport) -> Option<&Prediction> {
    match &root.garbage_collection[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// The verdict, which matches the exit code.
fn verdict(root: &RootReport) -> (Verdict, &'static str, String) {
    let failures = root.findings.iter().filter(|finding| finding.class.is_failure()).count() as u64;
    let images = root.broken_images().len() as u64;
    let broken = format!("{} broken", counted(images, "image", "images"));
    match (failures, requested(root)) {
        (1.., _) => (Verdict::Broken, "BROKEN", format!("{}, {broken}", counted(failures, "finding", "findings"))),
        (0, Some(Prediction { aborts: Some(_), .. })) => {
            (Verdict::Broken, "WOULD FAIL", "nothing is broken, but garbage collection would fail".to_string())
        }
        (0, Some(prediction)) if root.would_delete_all(prediction) => (
            Verdict::Broken,
            "WOULD BREAK",
            "nothing is broken yet, but garbage collection would delete everything".to_string(),
        ),
        (0, Some(Prediction { damage, .. })) if !damage.is_empty() => {
            let objects = counted(damage.len() as u64, "object", "objects");
            (
                Verdict::Broken,
                "WOULD BREAK",
                format!("nothing is broken yet, but garbage collection would break {objects}"),
            )
        }
        (0, _) if !root.unverified.is_empty() => (
            Verdict::Unverified,
            "UNVERIFIED",
            format!("nothing is known to be broken, {} unverified", root.unverified.len()),
        ),
        (0, _) if root.revisions == 0 => (Verdict::Unverified, "EMPTY", "there is no image to check".to_string()),
        (0, _) if root.has_no_tags => (Verdict::Unverified, "NO TAGS", "nothing is known to be broken".to_string()),
        (0, _) => (Verdict::Intact, "INTACT", "everything is intact".to_string()),
    }
}

fn totals(root: &RootReport) -> String {
    format!(
        "{} in {}, {}, {}",
        counted(root.revisions, "revision", "revisions"),
        counted(root.repositories, "repository", "repositories"),
        counted(root.layer_links, "layer link", "layer links"),
        counted(root.blobs, "blob", "blobs"),
    )
}

fn write_finding(finding: &Finding, terminal: Terminal, out: &mut dyn io::Write) -> io::Result<()> {
    let repository = finding.repository.as_deref().unwrap_or("no repository");
    let lead = finding.class.as_str().to_uppercase();
    terminal.write(out, 2, (style(Verdict::Broken), &lead), repository)?;
    if let Some(digest) = &finding.digest {
        terminal.line(out, 4, digest)?;
    }
    terminal.line(out, 4, &finding.detail)?;
    if !finding.tags.is_empty() {
        let images: Vec<String> = finding.tags.iter().map(|tag| format!("{repository}:{tag}")).collect();
        terminal.line(out, 4, &format!("breaks {}", some(&images, MAX_IMAGES)))?;
    }
    // Both ends of the path have been written above.
    if finding.path.len() > 2 {
        let steps: Vec<String> = finding.path.iter().map(|step| abbreviated(step)).collect();
        terminal.line(out, 4, &format!("found through {}", steps.join(" > ")))?;
    }
    Ok(())
}

/// Writes one line per repository: registry 2's garbage collection leaves one such link for every layer that it deletes.
fn write_orphan_links(links: &[&Finding], terminal: Terminal, out: &mut dyn io::Write) -> io::Result<()> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for link in links {
        *counts.entry(link.repository.as_deref().unwrap_or_default()).or_default() += 1;
    }
    if !counts.is_empty() {
        writeln!(out)?;
    }
    let lead = Class::OrphanLayerLink.as_str().to_uppercase();
    for (repository, count) in counts {
        let links = counted(count, "link without data", "links without data");
        let text = format!("{repository}: {links}, not needed by any image");
        terminal.write(out, 2, (Style::new(), &lead), &text)?;
    }
    Ok(())
}

fn write_removals(root: &RootReport, terminal: Terminal, out: &mut dyn io::Write) -> io::Result<()> {
    let removals = root.removals.as_deref().unwrap_or_default();
    if !removals.is_empty() {
        writeln!(out)?;
    }
    for removal in removals {
        let lead = removal.outcome.as_str().to_uppercase();
        let style = if removal.outcome == RemovalOutcome::Kept { style(Verdict::Unverified) } else { Style::new() };
        terminal.write(out, 2, (style, &lead), &removal.path)?;
        if let Some(detail) = &removal.detail {
            terminal.line(out, 4, detail)?;
        }
    }
    Ok(())
}

fn write_prediction(
    root: &RootReport,
    prediction: &Prediction,
    max_damage: usize,
    terminal: Terminal,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let flag = if prediction.collector.delete_untagged { " --delete-untagged" } else { "" };
    let collection = format!("registry {} garbage-collect{flag}", prediction.collector.engine.number());
    let blobs = counted(prediction.deletes_blobs, "blob", "blobs");
    let freed = format!("{blobs}, {}", HumanBytes(prediction.frees_bytes));
    let would = match &prediction.aborts {
        Some(why) => format!("would fail: {why}"),
        None if root.would_delete_all(prediction) => format!("would delete every manifest and free {freed}"),
        None if root.would_delete_every_blob(prediction) => format!("would delete every blob and free {freed}"),
        None if prediction.damage.is_empty() => format!("would free {freed} and break nothing"),
        None => {
            let objects = counted(prediction.damage.len() as u64, "object", "objects");
            format!("would free {freed} and break {objects}:")
        }
    };
    terminal.line(out, 2, &format!("{collection} {would}"))?;
    let mut groups: BTreeMap<(&str, &str, &str), BTreeMap<Kind, u64>> = BTreeMap::new();
    for damage in &prediction.damage {
        let group = groups.entry((&damage.repository, &damage.tag, &damage.detail)).or_default();
        *group.entry(damage.kind).or_default() += 1;
    }
    for ((repository, tag, detail), kinds) in groups.iter().take(max_damage) {
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| loss(*kind, *count)).collect();
        terminal.line(out, 4, &format!("{repository}:{tag} loses {}: {detail}", kinds.join(", ")))?;
    }
    if let Some(more) = groups.len().checked_sub(max_damage).filter(|more| *more > 0) {
        let text = format!("and {more} more; --engine shows all damage of one version");
        terminal.line(out, 4, &text)?;
    }
    Ok(())
}

fn loss(kind: Kind, count: u64) -> String {
    match kind {
        Kind::Manifest => counted(count, "manifest", "manifests"),
        Kind::Child => counted(count, "child", "children"),
        Kind::Config => counted(count, "config", "configs"),
        Kind::Layer => counted(count, "layer", "layers"),
    }
}

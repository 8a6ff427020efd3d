//! A scan's report for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::HumanBytes;

use super::finding::{Class, Finding, Prediction, Removal, RootReport, ScanReport};
use crate::report::Kind;

/// Lines of damage for each of several predictions: on a registry of multi-platform images, registry 2 with
/// `--delete-untagged` would break every one.
const MOST_DAMAGE: usize = 10;

/// Writes the report.
///
/// # Errors
///
/// Those of the writer.
pub fn write_text(report: &ScanReport, out: &mut impl Write) -> io::Result<()> {
    for (index, root) in report.roots.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_root(root, out)?;
    }
    Ok(())
}

fn write_root(root: &RootReport, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: {} repositories, {} revisions, {} layer links, {} blobs",
        root.root, root.repositories, root.revisions, root.layer_links, root.blobs
    )?;
    let (orphan_links, findings): (Vec<&Finding>, Vec<&Finding>) =
        root.findings.iter().partition(|finding| finding.class == Class::OrphanLayerLink);
    for finding in findings {
        write_finding(finding, out)?;
    }
    write_orphan_links(&orphan_links, out)?;
    for removal in root.removals.iter().flatten() {
        write_removal(removal, out)?;
    }
    // One that was asked for is told whole.
    let most_damage = if root.garbage_collection.len() == 1 { usize::MAX } else { MOST_DAMAGE };
    for prediction in &root.garbage_collection {
        write_prediction(prediction, most_damage, out)?;
    }
    if !root.unverified.is_empty() {
        writeln!(out, "not judged:")?;
    }
    for unverified in &root.unverified {
        writeln!(out, "  {}: {}", unverified.path, unverified.detail)?;
    }
    let failures = root.findings.iter().filter(|finding| finding.class.is_failure()).count();
    match (failures, root.unverified.len()) {
        (0, 0) => writeln!(out, "everything is intact"),
        (failures, unverified) => {
            writeln!(out, "{failures} failures, {} images broken, {unverified} not judged", root.broken_images().len())
        }
    }
}

fn write_finding(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let repository = finding.repository.as_deref().unwrap_or("(no repository)");
    write!(out, "{}: {repository}", finding.class)?;
    if let Some(digest) = &finding.digest {
        write!(out, "@{digest}")?;
    }
    if !finding.tags.is_empty() {
        write!(out, ", breaks {}", finding.tags.join(", "))?;
    }
    writeln!(out, "\n    {}", finding.detail)?;
    if finding.path.len() > 1 {
        writeln!(out, "    {}", finding.path.join(" > "))?;
    }
    Ok(())
}

/// One line a repository: collections of registry 2 leave one such link for every layer that they delete.
fn write_orphan_links(links: &[&Finding], out: &mut impl Write) -> io::Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for link in links {
        *counts.entry(link.repository.as_deref().unwrap_or_default()).or_default() += 1;
    }
    for (repository, count) in counts {
        writeln!(
            out,
            "{}: {repository}, {count} links whose bytes are gone, and that nothing served here needs",
            Class::OrphanLayerLink
        )?;
    }
    Ok(())
}

fn write_removal(removal: &Removal, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}: {}", removal.outcome, removal.path)?;
    match &removal.detail {
        Some(detail) => writeln!(out, " ({detail})"),
        None => writeln!(out),
    }
}

fn write_prediction(prediction: &Prediction, most_damage: usize, out: &mut impl Write) -> io::Result<()> {
    let flag = if prediction.collector.delete_untagged { " with --delete-untagged" } else { "" };
    write!(out, "garbage collection of registry {}{flag}: ", prediction.collector.engine.number())?;
    let freed = format!("{} blobs, {}", prediction.deletes_blobs, HumanBytes(prediction.frees_bytes));
    match &prediction.aborts {
        Some(why) => writeln!(out, "would fail: {why}")?,
        None if prediction.damage.is_empty() => writeln!(out, "would free {freed} and break nothing")?,
        None => writeln!(out, "would free {freed} and break {} objects:", prediction.damage.len())?,
    }
    let mut groups: BTreeMap<(&str, &str, &str), BTreeMap<Kind, usize>> = BTreeMap::new();
    for damage in &prediction.damage {
        let group = groups.entry((&damage.repository, &damage.tag, &damage.detail)).or_default();
        *group.entry(damage.kind).or_default() += 1;
    }
    for ((repository, tag, detail), kinds) in groups.iter().take(most_damage) {
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(out, "  {repository}:{tag} loses {}: {detail}", kinds.join(", "))?;
    }
    if let Some(more) = groups.len().checked_sub(most_damage).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more like these: --engine names the collection that you run, and tells all of it")?;
    }
    Ok(())
}

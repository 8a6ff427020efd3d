//! Scans one registry's storage.

use std::collections::HashSet;

use rayon::prelude::*;

use super::collector::{Collector, collect, damage};
use super::content::{self, Progress};
use super::disk::Disk;
use super::finding::{Finding, Prediction, RootReport};
use super::judge::{Evidence, Judgement, judge};
use super::layout;
use super::locate::Location;
use super::read::{parse_link, read};
use super::removal::remove_orphan_layer_links;
use super::source::{Fault, Source};
use super::tree::{Tree, Unverified, display};

/// Attempts to read a tree that changes during the scan.
const READINGS: usize = 3;

/// What a scan does.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// The collectors to predict.
    pub collectors: Vec<Collector>,
    /// Hash every blob.
    pub content: bool,
    /// Remove orphan layer links; `Some(true)`: only list them.
    pub remove_orphan_layer_links: Option<bool>,
}

/// Scans a registry's storage. In a `pull_through` registry absence is normal: it is neither reported nor predicted as
/// damage.
pub fn scan(location: &Location, pull_through: bool, options: &ScanOptions, progress: &dyn Progress) -> RootReport {
    let disk = match Disk::open(&location.v2) {
        Ok(disk) => disk,
        Err(error) => return RootReport::unreadable(location, &error),
    };
    let Reading { tree, mut findings, mut unverified } = read_and_judge(&disk);
    if options.content {
        let (wrong, more) = content::check(&disk, &tree, progress);
        findings = add_to(findings, wrong);
        unverified.extend(more);
    }
    if pull_through {
        findings.retain(|finding| !finding.class.is_normal_in_a_cache());
    }
    let garbage_collection = options.collectors.par_iter().map(|it| predict(&tree, *it, pull_through)).collect();
    let removals = options
        .remove_orphan_layer_links
        .map(|dry_run| if pull_through { Vec::new() } else { remove_orphan_layer_links(&disk, &tree, dry_run) });
    unverified.sort();
    unverified.dedup();
    RootReport {
        root: display(&location.root),
        repositories: tree.repositories.len() as u64,
        revisions: count_links(&tree, |repository| &repository.revisions),
        layer_links: count_links(&tree, |repository| &repository.layers),
        blobs: tree.blob_count() as u64,
        has_no_tags: !pull_through && has_no_tags(&tree),
        findings,
        garbage_collection,
        unverified,
        removals,
    }
}

/// A tree with its confirmed findings.
struct Reading {
    tree: Tree,
    findings: Vec<Finding>,
    unverified: Vec<Unverified>,
}

/// Reads the tree until all findings are confirmed: a push during the reading can look like damage.
fn read_and_judge(source: &dyn Source) -> Reading {
    let mut readings = 0;
    loop {
        let tree = read(source);
        let (judgements, noted) = judge(&tree);
        let mut unverified = tree.unverified.clone();
        unverified.extend(noted);
        let (confirmed, passing): (Vec<Judgement>, Vec<Judgement>) =
            judgements.into_par_iter().partition(|it| it.evidence.iter().all(|it| holds(source, it)));
        readings += 1;
        let lone_blobs = note_lone_blobs(&tree);
        // The first push to an empty registry looks the same for a moment.
        let is_doubtful = !passing.is_empty() || (lone_blobs.is_some() && readings == 1);
        if is_doubtful && readings < READINGS {
            continue;
        }
        unverified.extend(lone_blobs);
        if !passing.is_empty() {
            let path = passing.first().map(|it| it.finding.path.join(" > ")).unwrap_or_default();
            let detail = format!(
                "the storage changes during the scan: {} findings were not confirmed, including this one; scan again \
                 while nothing is pushed",
                passing.len()
            );
            unverified.push(Unverified { path, detail });
        }
        return Reading { tree, findings: confirmed.into_iter().map(|it| it.finding).collect(), unverified };
    }
}

/// Blobs without any repository: whether images are lost cannot be told without the links that named them.
fn note_lone_blobs(tree: &Tree) -> Option<Unverified> {
    let blobs = tree.blob_count();
    if blobs == 0 || !tree.repositories.is_empty() || !tree.unlisted.is_empty() {
        return None;
    }
    let (seen, cause) = if tree.has_no_repositories_folder {
        ("there is no such folder", "every image is lost")
    } else {
        ("no repository is in it", "every image is lost or was deleted")
    };
    let detail = format!(
        "{seen}: {blobs} blobs lie here and no repository refers to them. Either {cause}, or the registry keeps its \
         repositories elsewhere: check the path, or restore the folder before a garbage collection deletes the blobs"
    );
    Some(Unverified { path: layout::REPOSITORIES.to_string(), detail })
}

fn holds(source: &dyn Source, evidence: &Evidence) -> bool {
    match evidence {
        Evidence::Absent(path) => matches!(source.size(path), Err(fault) if fault.is_absence()),
        Evidence::Present(path) => !matches!(source.size(path), Err(Fault::Absent)),
        Evidence::NoDigest(path) => source.read(path, 200).is_ok_and(|content| parse_link(&content).is_none()),
        Evidence::Length(path, length) => source.size(path) == Ok(*length),
    }
}

/// Adds findings of hashing; an object keeps an earlier finding.
fn add_to(mut findings: Vec<Finding>, more: Vec<Finding>) -> Vec<Finding> {
    let key = |finding: &Finding| (finding.repository.clone(), finding.digest.clone());
    let known: HashSet<_> = findings.iter().map(key).collect();
    findings.extend(more.into_iter().filter(|finding| !known.contains(&key(finding))));
    findings.sort_by(|a, b| (&a.repository, a.class, &a.digest).cmp(&(&b.repository, b.class, &b.digest)));
    findings
}

fn predict(tree: &Tree, collector: Collector, pull_through: bool) -> Prediction {
    let collection = collect(tree, collector);
    Prediction {
        collector,
        deletes_blobs: collection.blobs.len() as u64,
        frees_bytes: collection.frees_bytes(tree),
        damage: if pull_through { Vec::new() } else { damage(tree, collector, &collection) },
        aborts: collection.aborts,
    }
}

/// True if there are manifests, and certainly no tags.
fn has_no_tags(tree: &Tree) -> bool {
    let is_tagless = |repository: &super::tree::Repository| {
        repository.tags.as_ref().is_none_or(|tags| tags.entries.is_empty() && tags.unlisted.is_none())
    };
    tree.unlisted.is_empty()
        && tree.repositories.iter().all(is_tagless)
        && count_links(tree, |repository| &repository.revisions) > 0
}

fn count_links(tree: &Tree, links: impl Fn(&super::tree::Repository) -> &super::tree::Links) -> u64 {
    let is_link = |link: &&super::tree::Link| link.target != super::tree::Target::Absent;
    tree.repositories.iter().map(|repository| links(repository).entries.iter().filter(is_link).count() as u64).sum()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::source::Entry;
    use super::*;
    use crate::oci::Digest;

    /// Hides one directory from the first few listings, as if it were created during them.
    struct Late {
        disk: Disk,
        folder: String,
        hidden: AtomicUsize,
    }

    impl Source for Late {
        fn list(&self, folder: &Path) -> Result<Vec<Entry>, Fault> {
            let mut entries = self.disk.list(folder)?;
            let known = entries.len();
            if self.hidden.load(Ordering::Relaxed) > 0 {
                entries.retain(|entry| entry.name != *self.folder || !folder.ends_with("revisions/sha256"));
                self.hidden.fetch_sub(known - entries.len(), Ordering::Relaxed);
            }
            Ok(entries)
        }

        fn read(&self, file: &Path, limit: usize) -> Result<Vec<u8>, Fault> {
            self.disk.read(file, limit)
        }

        fn size(&self, file: &Path) -> Result<u64, Fault> {
            self.disk.size(file)
        }

        fn open(&self, file: &Path) -> Result<Box<dyn Read>, Fault> {
            Source::open(&self.disk, file)
        }
    }

    fn write_manifest(v2: &Path, manifest: &str) -> Digest {
        let digest = Digest::sha256(manifest.as_bytes());
        let link = layout::revision_link(Path::new("app"), &digest);
        for (path, content) in [(layout::data(&digest), manifest.to_string()), (link, digest.to_string())] {
            let path = v2.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        digest
    }

    #[test]
    fn objects_pushed_during_the_scan_are_no_findings() {
        let place = tempfile::tempdir().unwrap();
        let child = write_manifest(place.path(), r#"{"schemaVersion":2,"layers":[]}"#);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{child}","size":31}}]}}"#);
        write_manifest(place.path(), &index);
        let read_late = |hidden| {
            let disk = Disk::open(place.path()).unwrap();
            let folder = child.to_string().replace("sha256:", "");
            read_and_judge(&Late { disk, folder, hidden: AtomicUsize::new(hidden) })
        };
        for times in 0..READINGS {
            let reading = read_late(times);
            assert_eq!((reading.findings, reading.unverified), (vec![], vec![]), "{times}");
        }
        let restless = read_late(READINGS);
        assert_eq!(restless.findings, []);
        assert!(restless.unverified[0].detail.contains("changes during the scan"), "{:?}", restless.unverified);
    }
}

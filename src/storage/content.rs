//! Hashes every blob once.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;

use super::finding::{Class, Finding};
use super::layout;
use super::reach::Reach;
use super::source::{Fault, Source};
use super::tree::{Blob, Id, Repository, Target, Tree, Unverified, display};
use crate::oci::{Algorithm, Digest, Hasher};

const CHUNK: usize = 256 * 1024;

/// Receives the progress of hashing.
pub trait Progress: Sync {
    /// Hashing starts, with the total number of bytes.
    fn begin(&self, bytes: u64);
    /// More bytes were read.
    fn advance(&self, bytes: u64);
    /// Hashing ended.
    fn end(&self);
}

/// Reports nothing.
impl Progress for () {
    fn begin(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
}

/// Finds blobs that do not match their digest, in the repositories that link them. Manifests were already hashed while
/// the tree was read.
pub(super) fn check(source: &dyn Source, tree: &Tree, progress: &dyn Progress) -> (Vec<Finding>, Vec<Unverified>) {
    let mut blobs: Vec<(Id, u64)> = tree
        .digests
        .ids()
        .filter(|id| !tree.manifests.contains_key(id))
        .filter_map(|id| if let Blob::Present(size) = tree.blob(id) { Some((id, size)) } else { None })
        .collect();
    // Largest first, so that no thread is left with a large blob at the end.
    blobs.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    progress.begin(blobs.iter().map(|(_, size)| size).sum());
    let aliases = aliases(tree);
    let hashed: Vec<(Id, Result<Vec<Wrong>, Fault>)> = blobs
        .par_iter()
        .with_max_len(1)
        .map(|(id, _)| {
            let expected: Vec<Id> =
                std::iter::once(*id).chain(aliases.get(id).into_iter().flatten().copied()).collect();
            (*id, hash(source, tree, *id, &expected, progress))
        })
        .collect();
    progress.end();
    let (mut wrong, mut unverified) = (HashMap::new(), Vec::new());
    for (id, result) in hashed {
        match result {
            Ok(found) if found.is_empty() => {}
            Ok(found) => drop(wrong.insert(id, found)),
            // Deleted during the scan.
            Err(Fault::Absent) => {}
            Err(fault) => {
                let path = display(&layout::data(tree.digests.get(id)));
                unverified.push(Unverified { path, detail: fault.to_string() });
            }
        }
    }
    (findings(tree, wrong), unverified)
}

/// An expected digest that differs from the actual one.
struct Wrong {
    expected: Id,
    actual: Digest,
}

/// Layer links whose digest has a different algorithm than their target.
fn aliases(tree: &Tree) -> HashMap<Id, Vec<Id>> {
    let mut aliases: HashMap<Id, Vec<Id>> = HashMap::new();
    for link in tree.repositories.iter().flat_map(|repository| &repository.layers.entries) {
        if let (Some(digest), Target::Digest(target)) = (link.digest, &link.target)
            && digest != *target
            && !tree.is_misdirected(digest, *target)
        {
            let known = aliases.entry(*target).or_default();
            if !known.contains(&digest) {
                known.push(digest);
            }
        }
    }
    aliases
}

fn hash(
    source: &dyn Source,
    tree: &Tree,
    id: Id,
    expected: &[Id],
    progress: &dyn Progress,
) -> Result<Vec<Wrong>, Fault> {
    let mut hashers: Vec<(Algorithm, Hasher)> = Vec::new();
    for algorithm in expected.iter().filter_map(|id| tree.digests.get(*id).algorithm()) {
        if !hashers.iter().any(|(known, _)| *known == algorithm) {
            hashers.push((algorithm, Hasher::new(algorithm)));
        }
    }
    let mut bytes = source.open(&layout::data(tree.digests.get(id)))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match bytes.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                hashers.iter_mut().for_each(|(_, hasher)| hasher.update(&chunk[..read]));
                progress.advance(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Unreadable(error.to_string())),
        }
    }
    let actual: Vec<(Algorithm, Digest)> =
        hashers.into_iter().map(|(algorithm, hasher)| (algorithm, hasher.finish())).collect();
    let wrong = expected.iter().filter_map(|expected| {
        let digest = tree.digests.get(*expected);
        let (_, actual) = actual.iter().find(|(algorithm, _)| Some(*algorithm) == digest.algorithm())?;
        (actual != digest).then(|| Wrong { expected: *expected, actual: actual.clone() })
    });
    Ok(wrong.collect())
}

fn findings(tree: &Tree, mut wrong: HashMap<Id, Vec<Wrong>>) -> Vec<Finding> {
    if wrong.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut linked = Vec::new();
    for repository in &tree.repositories {
        let mut reach = None;
        for link in &repository.layers.entries {
            let (Some(digest), Target::Digest(target)) = (link.digest, &link.target) else { continue };
            let Some(wrong) = wrong.get(target).and_then(|them| them.iter().find(|it| it.expected == digest)) else {
                continue;
            };
            linked.push(*target);
            let reach = reach.get_or_insert_with(|| Reach::new(tree, repository));
            findings.push(finding(tree, repository, reach, wrong));
        }
    }
    linked.iter().for_each(|id| drop(wrong.remove(id)));
    for wrong in wrong.into_values().flatten() {
        let digest = tree.digests.get(wrong.expected).to_string();
        findings.push(Finding {
            class: Class::DigestMismatch,
            repository: None,
            path: vec![digest.clone()],
            digest: Some(digest),
            tags: Vec::new(),
            detail: format!(
                "its data hashes to {}; no repository links it, but a push would: remove the file",
                wrong.actual
            ),
        });
    }
    findings
}

fn finding(tree: &Tree, repository: &Repository, reach: &Reach<'_>, wrong: &Wrong) -> Finding {
    let reached = reach.of(wrong.expected);
    let platform = reach.platform(wrong.expected).map(|it| format!("{it}: ")).unwrap_or_default();
    Finding {
        class: Class::DigestMismatch,
        repository: Some(display(Path::new(&repository.name))),
        digest: Some(tree.digests.get(wrong.expected).to_string()),
        tags: reached.tags,
        path: reached.path,
        detail: format!(
            "{platform}its data hashes to {}; a push does not repair it, because a registry keeps existing data: \
             remove the file, then push again",
            wrong.actual
        ),
    }
}

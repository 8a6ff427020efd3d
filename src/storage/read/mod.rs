//! Reads a storage into a [`Tree`], in parallel.
//!
//! What a push writes last is read first (tags, revisions, layer links, blobs), so that a push meanwhile leaves no link
//! whose target was looked for too early.

mod blobs;
mod links;
mod manifests;
mod repositories;

use std::path::{Path, PathBuf};

pub(super) use links::parse_link;

use super::source::{Fault, Source};
use super::tree::{Tree, Unlisted, Unverified, display};

/// Reads everything but the layers' bytes.
pub fn read(source: &dyn Source) -> Tree {
    let mut tree = Tree::default();
    let found = repositories::find(source);
    let (blobs, ()) = rayon::join(|| blobs::read(source), || found.into_tree(&mut tree));
    blobs.into_tree(&mut tree);
    manifests::read(source, &mut tree);
    tree.unverified.sort();
    tree.unverified.dedup();
    tree
}

fn unverified(path: &Path, detail: impl ToString) -> Unverified {
    Unverified { path: display(path), detail: detail.to_string() }
}

/// Notes a folder that could not be listed, unless there is none.
fn unlisted(path: PathBuf, fault: Fault, noted: &mut Vec<Unverified>) -> Option<Unlisted> {
    if fault == Fault::Absent {
        return None;
    }
    noted.push(unverified(&path, format!("a folder that {fault}")));
    // A link into nowhere is no folder to a registry.
    (!fault.is_absence()).then_some(Unlisted { path, fault })
}

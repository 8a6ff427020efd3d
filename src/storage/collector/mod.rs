//! A model of `registry garbage-collect`: what it would delete, and why it would abort. A pure function of a [`Tree`].
//!
//! It follows `registry/storage/garbagecollect.go` of distribution 2.8 and 3.1, including their bugs; `tests/peers/scan/collector.rs`
//! holds it against what the real ones leave.

mod collection;
mod damage;
mod engine;
mod lookup;
mod manifest;
mod mark;
mod name;
mod object;
mod plain;
mod reason;

pub use collection::Collection;
pub use damage::{Damage, damage};
pub use engine::{Collector, Engine};
pub(super) use manifest::references;
pub(super) use plain::is_plain;

use super::tree::{Blob, Id, Tree, display};
use mark::Marker;

/// Predicts a collection.
pub fn collect(tree: &Tree, collector: Collector) -> Collection {
    let mut marker = Marker::new(tree, collector);
    let marked = match marker.mark_all() {
        Ok(()) => marker.finish(),
        Err(why) => return Collection { aborts: Some(why), ..Collection::default() },
    };
    let mut collection = Collection::default();
    for (repository, digest) in marked.queue {
        let is_there = tree.repositories[repository].revisions.has_folder(digest);
        if !is_there || !collection.revisions.insert((repository, digest)) {
            collection.aborts = Some(format!(
                "after {} manifests: {} has no directory to delete; no blob is deleted then",
                collection.revisions.len(),
                tree.digests.get(digest)
            ));
            return collection;
        }
    }
    if tree.blobs.is_absent {
        collection.aborts = Some("the directory of blobs is missing".to_string());
        return collection;
    }
    if let Some(fault) = tree.blobs.unlisted.first() {
        collection.aborts = Some(format!("blobs/{}: {}", fault.0, fault.1));
        return collection;
    }
    if let Some(stray) = tree.blobs.strays.first() {
        collection.aborts = Some(format!("{}: data in an unexpected place", display(stray)));
        return collection;
    }
    let is_marked = |id: Id| marked.marks.get(id.index()).copied().unwrap_or(false);
    let is_stored = |id: &Id| !matches!(tree.blob(*id), Blob::Absent);
    collection.blobs = tree.digests.ids().filter(is_stored).filter(|id| !is_marked(*id)).collect();
    for (repository, digest) in marked.dropped_layers {
        if !collection.layers.insert((repository, digest)) {
            collection.aborts =
                Some(format!("while deleting layer links: the link of {} is deleted twice", tree.digests.get(digest)));
        }
    }
    collection
}

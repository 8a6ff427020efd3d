//! Reads a storage into a [`Tree`], in parallel.
//!
//! The order is the reverse of a push (tags, revisions, layer links, blobs), so that a concurrent push leaves no link
//! whose target was looked up too early.

mod blobs;
mod links;
mod manifests;
mod note;
mod repositories;

pub(super) use links::parse_link;

use super::source::Source;
use super::tree::Tree;

/// Reads everything except the data of layers.
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

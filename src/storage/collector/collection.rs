//! The result of a collection.

use rustc_hash::FxHashSet;

use crate::storage::tree::{Blob, Id, Tree};

/// What a collection would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Why it would abort. The other fields are the changes made before: none, unless it aborts late.
    pub aborts: Option<String>,
    /// Deleted revisions, with the repository's index.
    pub revisions: FxHashSet<(usize, Id)>,
    /// Deleted blobs.
    pub blobs: FxHashSet<Id>,
    /// Deleted layer links, with the repository's index.
    pub layers: FxHashSet<(usize, Id)>,
}

impl Collection {
    /// Size of the deleted blobs.
    pub fn frees_bytes(&self, tree: &Tree) -> u64 {
        self.blobs.iter().map(|id| if let Blob::Present(size) = tree.blob(*id) { size } else { 0 }).sum()
    }
}

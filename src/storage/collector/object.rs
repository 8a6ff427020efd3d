//! An object that a tag reaches.

use crate::report::Kind;
use crate::storage::tree::{Edge, Id};

/// An object on the path from a tag.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub digest: Id,
    pub kind: Kind,
    /// The manifest that references it, or the manifest itself.
    pub manifest: Id,
    /// The last edge from an index to a child.
    pub child: Option<&'a Edge>,
    /// The nearest index above without a revision link.
    pub unlinked_index: Option<Id>,
}

impl Object<'_> {
    pub(super) fn is_manifest(&self) -> bool {
        matches!(self.kind, Kind::Manifest | Kind::Child)
    }
}

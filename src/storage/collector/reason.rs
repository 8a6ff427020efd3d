//! Why a collection breaks something, in words that say what to do before it.

use std::sync::Arc;

use super::damage::Object;
use super::{Collector, Engine};
use crate::storage::tree::{Id, Tree};

/// Why a collection breaks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its manifest has no revision link.
    Unlinked,
    /// The collector does not see the repository.
    NotEnumerated,
    /// Registry 2 takes an index's child for untagged.
    Untagged,
    /// An index above has no revision link, so that registry 3 does not follow it.
    IndexUnlinked(Id),
    /// So it is in another repository that holds the same index, which is followed once.
    IndexUnlinkedElsewhere,
    /// Its bytes lie under this digest.
    OtherDigest(Id),
    /// Nothing that is followed names it.
    Unnamed,
}

/// Finds the words for what one tag reaches. An image loses many layers for one reason, which is told once.
pub(super) struct Words<'a> {
    tree: &'a Tree,
    collector: Collector,
    image: String,
    last: Option<((Reason, Id, bool), Arc<str>)>,
}

impl<'a> Words<'a> {
    pub(super) fn new(tree: &'a Tree, collector: Collector, image: String) -> Self {
        Self { tree, collector, image, last: None }
    }

    pub(super) fn of(&mut self, reason: Reason, object: Object<'_>) -> Arc<str> {
        let key = (reason, object.manifest, object.is_manifest());
        match &self.last {
            Some((known, words)) if *known == key => Arc::clone(words),
            _ => {
                let words: Arc<str> = self.say(reason, object).into();
                self.last = Some((key, Arc::clone(&words)));
                words
            }
        }
    }

    fn say(&self, reason: Reason, object: Object<'_>) -> String {
        let it = self.name(object);
        let image = &self.image;
        let digest = |id| self.tree.digests.get(id);
        let engine = self.collector.engine.number();
        let collection =
            if self.collector.delete_untagged { "a collection with --delete-untagged" } else { "a plain collection" };
        match reason {
            Reason::Unlinked => format!(
                "{it} has no revision link any more: its bytes are still there, {collection} deletes {}; push it again \
                 first",
                if object.is_manifest() { "them" } else { "its layers" }
            ),
            Reason::NotEnumerated => format!(
                "the repository has no folder {}, so that the collector of registry {engine} does not see it and \
                 deletes what only {it} needs; push any image into it first",
                if self.collector.engine == Engine::V2 { "_layers" } else { "_manifests" },
            ),
            Reason::Untagged => format!(
                "{it} has no tag of its own: registry 2 takes it for untagged and deletes its link, config and layers \
                 although an index names it (fixed in 3.0); collect without --delete-untagged, or tag it first"
            ),
            Reason::IndexUnlinked(index) => format!(
                "{it} has no tag of its own, and its index {} has no revision link any more, so that it is not \
                 followed; push that one again first",
                digest(index)
            ),
            Reason::IndexUnlinkedElsewhere => format!(
                "{it} has no tag of its own, and its index is not followed here, since another repository holds the \
                 same index without this manifest's link; push it there again first"
            ),
            Reason::OtherDigest(bytes) => format!(
                "{it} names it by another digest than the one under which its bytes lie ({}), and the collector does \
                 not know that they are the same; push {image} again afterwards",
                digest(bytes)
            ),
            Reason::Unnamed => {
                format!("nothing that the collector follows names this part of {it}; push {image} again afterwards")
            }
        }
    }

    /// The manifest in question, as an operator calls it.
    fn name(&self, object: Object<'_>) -> String {
        let image = &self.image;
        match object.child {
            None => image.clone(),
            Some(edge) if edge.attestation => {
                format!("the attestation {} of {image}", self.tree.digests.get(edge.digest))
            }
            Some(edge) => match self.tree.platform(edge) {
                Some(platform) => format!("`{platform}` of {image}"),
                None => format!("{} of {image}", self.tree.digests.get(edge.digest)),
            },
        }
    }
}

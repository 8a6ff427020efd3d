//! Why a collection breaks an object, and how to prevent it.

use std::sync::Arc;

use super::engine::{Collector, Engine};
use super::object::Object;
use crate::storage::tree::{Id, Tree};

/// Why a collection breaks an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its manifest has no revision link.
    Unlinked,
    /// The collector does not enumerate the repository.
    NotEnumerated,
    /// Registry 2 treats a child of an index as untagged.
    Untagged,
    /// An index above has no revision link, so registry 3 does not follow it.
    IndexUnlinked(Id),
    /// The same in another repository with the same index, which is followed once.
    IndexUnlinkedElsewhere,
    /// Its data has this digest.
    OtherDigest(Id),
    /// Nothing that the collector follows references it.
    Unnamed,
}

/// Describes reasons for the objects of one tag. Texts are shared, since an image loses many layers for one reason.
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
                "{it} has no revision link: its data still exists, but {collection} deletes {}; push it again \
                 first",
                if object.is_manifest() { "it" } else { "its layers" }
            ),
            Reason::NotEnumerated => format!(
                "the repository has no directory {}, so the collector of registry {engine} ignores it and deletes \
                 what only {it} needs; push any image to it first",
                if self.collector.engine == Engine::V2 { "_layers" } else { "_manifests" },
            ),
            Reason::Untagged => format!(
                "{it} has no tag of its own: registry 2 treats it as untagged and deletes its link, config and layers, \
                 although an index references it (fixed in 3.0); collect without --delete-untagged, or tag it first"
            ),
            Reason::IndexUnlinked(index) => format!(
                "{it} has no tag of its own, and its index {} has no revision link, so it is not followed; push \
                 the index again first",
                digest(index)
            ),
            Reason::IndexUnlinkedElsewhere => format!(
                "{it} has no tag of its own, and its index is not followed here, because another repository has the \
                 same index without this manifest's link; push it there again first"
            ),
            Reason::OtherDigest(bytes) => format!(
                "{it} references it by a digest other than that of its data ({}), and the collector does not know \
                 that both are the same; push {image} again afterwards",
                digest(bytes)
            ),
            Reason::Unnamed => {
                format!(
                    "nothing that the collector follows references this part of {it}; push {image} again afterwards"
                )
            }
        }
    }

    /// The manifest, as operators would name it.
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

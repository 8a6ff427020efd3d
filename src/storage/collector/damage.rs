//! The damage of a collection: objects reachable from a tag that are in a worse condition afterwards.

use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use serde::Serialize;

use super::collection::Collection;
use super::engine::{Collector, Engine};
use super::lookup::{Lookup, look_up};
use super::object::Object;
use super::reason::{Reason, Words};
use crate::oci::Digest;
use crate::report::Kind;
use crate::storage::tree::{Blob, Content, Id, Links, Repository, Role, Target, Tree, display};

/// An object, reachable from a tag, that a collection would break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The repository.
    pub repository: Arc<str>,
    /// The tag that reaches it.
    pub tag: Arc<str>,
    /// The object.
    pub digest: Digest,
    /// Its role in the image.
    pub kind: Kind,
    /// Why it breaks, and how to prevent it, in words.
    pub detail: Arc<str>,
}

/// The condition of an object. Only `Served` objects can be pulled; data without its link can be repaired by a push of the
/// same manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Lost,
    OnDisk,
    Served,
}

/// The damage of a collection, by repository, tag and path from the tag.
pub fn damage(tree: &Tree, collector: Collector, collection: &Collection) -> Vec<Damage> {
    let mut damage = Vec::new();
    if collection.blobs.is_empty() && collection.revisions.is_empty() && collection.layers.is_empty() {
        return damage;
    }
    for (index, repository) in tree.repositories.iter().enumerate() {
        let view = View { tree, collector, collection, index, repository };
        let name: Arc<str> = display(&repository.name).into();
        for tag in repository.tags.iter().flat_map(|tags| &tags.entries) {
            let Target::Digest(root) = tag.current else { continue };
            let tag: Arc<str> = display(Path::new(&tag.name)).into();
            let mut words = Words::new(tree, collector, format!("{name}:{tag}"));
            view.walk(root, |object| {
                damage.push(Damage {
                    repository: Arc::clone(&name),
                    tag: Arc::clone(&tag),
                    digest: tree.digests.get(object.digest).clone(),
                    kind: object.kind,
                    detail: words.of(view.reason(object), object),
                });
            });
        }
    }
    damage
}

struct View<'a> {
    tree: &'a Tree,
    collector: Collector,
    collection: &'a Collection,
    index: usize,
    repository: &'a Repository,
}

/// Links, and which of them are deleted.
type Deletable<'a> = (&'a Links, &'a FxHashSet<(usize, Id)>);

impl<'a> View<'a> {
    /// Reports every object reachable from a tag whose condition gets worse. Children without a link are followed, because
    /// a collection deletes their layers.
    fn walk(&self, root: Id, mut report: impl FnMut(Object<'a>)) {
        let root = Object { digest: root, kind: Kind::Manifest, manifest: root, child: None, unlinked_index: None };
        let mut pending = vec![root];
        let mut seen = FxHashSet::default();
        while let Some(object) = pending.pop() {
            if !seen.insert((object.digest, object.is_manifest())) {
                continue;
            }
            if self.gets_worse(object) {
                report(object);
            }
            if object.is_manifest() {
                pending.extend(self.below(object));
            }
        }
    }

    /// The references of a manifest, in reverse order.
    fn below(&self, object: Object<'a>) -> impl Iterator<Item = Object<'a>> + use<'a> {
        let found = self.look_up_manifest(object.digest);
        let is_linked = matches!(found, Lookup::Found(_));
        let bytes = match found {
            Lookup::Found(target) if !self.tree.is_misdirected(object.digest, target) => Some(target),
            _ => matches!(self.tree.blob(object.digest), Blob::Present(_)).then_some(object.digest),
        };
        let edges = bytes.and_then(|bytes| self.tree.manifests.get(&bytes)).map_or(&[][..], |it| it.edges());
        edges.iter().rev().map(move |edge| Object {
            digest: edge.digest,
            kind: kind(edge.role),
            manifest: if edge.role == Role::Child { edge.digest } else { object.digest },
            child: if edge.role == Role::Child { Some(edge) } else { object.child },
            unlinked_index: if is_linked { object.unlinked_index } else { Some(object.digest) },
        })
    }

    /// The links through which an object is found, in lookup order.
    fn links(&self, is_manifest: bool) -> impl Iterator<Item = Deletable<'a>> + use<'a> {
        let revisions = (&self.repository.revisions, &self.collection.revisions);
        let layers = (&self.repository.layers, &self.collection.layers);
        let uses_layers = !is_manifest || self.collector.engine == Engine::V2;
        is_manifest.then_some(revisions).into_iter().chain(uses_layers.then_some(layers))
    }

    fn look_up_manifest(&self, digest: Id) -> Lookup {
        look_up(self.tree, self.links(true).map(|(links, _)| links), digest)
    }

    fn gets_worse(&self, object: Object<'_>) -> bool {
        let digest = object.digest;
        let is_kept = |(_, deleted): &Deletable<'_>| !deleted.contains(&(self.index, digest));
        let before = look_up(self.tree, self.links(object.is_manifest()).map(|(links, _)| links), digest);
        let kept = self.links(object.is_manifest()).filter(is_kept).map(|(links, _)| links);
        let after = look_up(self.tree, kept, digest);
        let stays = |bytes: Id| !self.collection.blobs.contains(&bytes);
        self.condition(object, &after, stays) < self.condition(object, &before, |_| true)
    }

    fn condition(&self, object: Object<'_>, found: &Lookup, is_stored: impl Fn(Id) -> bool) -> Condition {
        let is_intact = |bytes: Id| {
            let content = || self.tree.manifests.get(&bytes).map(|manifest| &manifest.content);
            is_stored(bytes)
                && matches!(self.tree.blob(bytes), Blob::Present(_))
                && !(object.is_manifest()
                    && matches!(content(), Some(Content::WrongDigest { .. } | Content::Malformed(_))))
        };
        match *found {
            Lookup::Found(bytes) if is_intact(bytes) && !self.tree.is_misdirected(object.digest, bytes) => {
                Condition::Served
            }
            _ if is_intact(object.digest) => Condition::OnDisk,
            _ => Condition::Lost,
        }
    }

    /// The first reason that applies.
    fn reason(&self, object: Object<'_>) -> Reason {
        let manifest = object.manifest;
        let is_enumerated = match self.collector.engine {
            Engine::V2 => self.repository.has_layers,
            Engine::V3 => self.repository.has_manifests,
        };
        let alias = match self.repository.layers.target(object.digest) {
            Target::Digest(bytes) if !object.is_manifest() && bytes != object.digest => Some(bytes),
            _ => None,
        };
        if matches!(self.look_up_manifest(manifest), Lookup::Unknown) {
            Reason::Unlinked
        } else if !is_enumerated {
            Reason::NotEnumerated
        } else if self.collection.revisions.contains(&(self.index, manifest)) {
            match (self.collector.engine, object.unlinked_index) {
                (Engine::V2, _) => Reason::Untagged,
                (Engine::V3, Some(index)) => Reason::IndexUnlinked(index),
                (Engine::V3, None) => Reason::IndexUnlinkedElsewhere,
            }
        } else if let Some(bytes) = alias {
            Reason::OtherDigest(bytes)
        } else {
            Reason::Unnamed
        }
    }
}

fn kind(role: Role) -> Kind {
    match role {
        Role::Child => Kind::Child,
        Role::Config => Kind::Config,
        Role::Layer => Kind::Layer,
    }
}

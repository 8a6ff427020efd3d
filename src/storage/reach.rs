//! Finds the tags that reach an object of a repository, and the path.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use rustc_hash::FxHashMap;

use super::tree::{Content, Edge, Id, Repository, Role, Target, Tree, display};

/// A repository's reversed graph: from an object to the manifests that reference it, and to their tags. It contains only
/// manifests that a registry serves.
pub(super) struct Reach<'a> {
    tree: &'a Tree,
    repository: &'a Repository,
    holders: FxHashMap<Id, Vec<Id>>,
    tags: FxHashMap<Id, Vec<String>>,
    children: FxHashMap<Id, &'a Edge>,
}

/// The tags that reach an object, sorted, and the first path to it.
pub(super) struct Reached {
    pub tags: Vec<String>,
    pub path: Vec<String>,
}

impl<'a> Reach<'a> {
    pub(super) fn new(tree: &'a Tree, repository: &'a Repository) -> Self {
        let mut holders: FxHashMap<Id, Vec<Id>> = FxHashMap::default();
        let mut children = FxHashMap::default();
        for (digest, edges) in served_manifests(tree, repository) {
            for edge in edges {
                holders.entry(edge.digest).or_default().push(digest);
                if edge.role == Role::Child {
                    children.entry(edge.digest).or_insert(edge);
                }
            }
        }
        let mut tags: FxHashMap<Id, Vec<String>> = FxHashMap::default();
        for tag in repository.tags.iter().flat_map(|tags| &tags.entries) {
            if let Target::Digest(digest) = tag.current {
                tags.entry(digest).or_default().push(display(Path::new(&tag.name)));
            }
        }
        Self { tree, repository, holders, tags, children }
    }

    /// The tags that reach a digest.
    pub(super) fn of(&self, digest: Id) -> Reached {
        let mut below: FxHashMap<Id, Option<Id>> = FxHashMap::from_iter([(digest, None)]);
        let mut pending = VecDeque::from([digest]);
        let mut tags = BTreeSet::new();
        let mut top = digest;
        while let Some(object) = pending.pop_front() {
            top = object;
            tags.extend(self.tags.get(&object).into_iter().flatten().map(|tag| (tag, object)));
            for holder in self.holders.get(&object).into_iter().flatten() {
                if !below.contains_key(holder) {
                    below.insert(*holder, Some(object));
                    pending.push_back(*holder);
                }
            }
        }
        let name = display(&self.repository.name);
        let first = tags.first().map(|(tag, object)| (format!("{name}:{tag}"), *object));
        let (image, mut object) = match first {
            Some((image, object)) => (Some(image), Some(object)),
            None => (None, Some(top)),
        };
        let mut path: Vec<String> = image.into_iter().collect();
        while let Some(step) = object {
            path.push(self.tree.digests.get(step).to_string());
            object = below.get(&step).copied().flatten();
        }
        Reached {
            tags: tags.into_iter().map(|(tag, _)| tag.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
            path,
        }
    }

    /// The platform of the index's child that an object is or belongs to.
    pub(super) fn platform(&self, digest: Id) -> Option<String> {
        let holders = self.holders.get(&digest).into_iter().flatten();
        let edge = std::iter::once(&digest).chain(holders).find_map(|id| self.children.get(id))?;
        if edge.attestation {
            return Some("attestation".to_string());
        }
        self.tree.platform(edge).map(ToString::to_string)
    }
}

/// The manifests that a registry serves from a repository, with their references.
pub(super) fn served_manifests<'a>(
    tree: &'a Tree,
    repository: &'a Repository,
) -> impl Iterator<Item = (Id, &'a [Edge])> {
    repository.revisions.entries.iter().filter_map(|link| {
        let (Some(digest), Target::Digest(target)) = (link.digest, &link.target) else { return None };
        if tree.is_misdirected(digest, *target) {
            return None;
        }
        match &tree.manifests.get(target)?.content {
            Content::Manifest(edges) => Some((digest, &**edges)),
            _ => None,
        }
    })
}

//! The mark phase of a collection.

use rustc_hash::FxHashSet;

use super::engine::{Collector, Engine};
use super::lookup::{Lookup, look_up};
use super::name::{is_path_component, is_repository_name};
use crate::storage::tree::{Collected, Id, Repository, Target, Tree, display};

/// A collection in its mark phase. An error aborts it.
pub(super) struct Marker<'a> {
    tree: &'a Tree,
    collector: Collector,
    marked: Marked,
}

/// The result of the mark phase.
#[derive(Default)]
pub(super) struct Marked {
    /// By digest number.
    pub marks: Vec<bool>,
    /// Revisions to delete, in order: the repository's index and the digest.
    pub queue: Vec<(usize, Id)>,
    /// Layer links to delete.
    pub dropped_layers: Vec<(usize, Id)>,
}

impl<'a> Marker<'a> {
    pub(super) fn new(tree: &'a Tree, collector: Collector) -> Self {
        let marks = vec![false; tree.digests.len()];
        Self { tree, collector, marked: Marked { marks, ..Marked::default() } }
    }

    /// Marks the objects of every repository.
    pub(super) fn mark_all(&mut self) -> Result<(), String> {
        let tree = self.tree;
        if tree.has_no_repositories_folder {
            return Err("the directory of repositories is missing".to_string());
        }
        if let Some(unlisted) = tree.unlisted.first() {
            return Err(format!("{}: directory: {}", display(&unlisted.path), unlisted.fault));
        }
        for (index, repository) in tree.repositories.iter().enumerate() {
            let is_enumerated = match self.collector.engine {
                Engine::V2 => repository.has_layers,
                Engine::V3 => repository.has_manifests,
            };
            if is_enumerated {
                self.mark_repository(index, repository)
                    .map_err(|why| format!("repository {}: {why}", display(&repository.name)))?;
            }
        }
        Ok(())
    }

    /// Ends the phase. Registry 3 keeps queued revisions that were marked later.
    pub(super) fn finish(mut self) -> Marked {
        if self.collector.engine == Engine::V3 {
            let marks = &self.marked.marks;
            self.marked.queue.retain(|(_, digest)| !marks[digest.index()]);
        }
        self.marked
    }

    fn mark_repository(&mut self, index: usize, repository: &Repository) -> Result<(), String> {
        if !is_repository_name(&repository.name, self.collector.engine) {
            return Err("not a valid name".to_string());
        }
        if let Some(unlisted) = repository.revisions.unlisted.first() {
            return Err(format!("{}: directory: {}", display(&unlisted.path), unlisted.fault));
        }
        let tagged = TaggedDigests::of(repository);
        for link in &repository.revisions.entries {
            let Some(digest) = content(&link.target)? else { continue };
            let target = match self.look_up(repository, digest) {
                Lookup::Found(target) => target,
                Lookup::Unknown => continue,
                Lookup::Failed(why) => return Err(why),
            };
            if self.collector.delete_untagged && !tagged.as_ref().map_err(Clone::clone)?.contains(digest) {
                match (&repository.tags, self.collector.engine) {
                    (None, Engine::V2) => return Err("its directory of tags is missing".to_string()),
                    (None, Engine::V3) => {}
                    (Some(_), _) => self.marked.queue.push((index, digest)),
                }
                continue;
            }
            self.marked.marks[digest.index()] = true;
            self.mark_references(repository, target)?;
        }
        match self.collector.engine {
            Engine::V2 => Ok(()),
            Engine::V3 => self.drop_layers(index, repository),
        }
    }

    fn look_up(&self, repository: &Repository, digest: Id) -> Lookup {
        let layers = (self.collector.engine == Engine::V2).then_some(&repository.layers);
        look_up(self.tree, std::iter::once(&repository.revisions).chain(layers), digest)
    }

    /// Marks the references of a manifest; registry 3 follows those that were not marked before.
    fn mark_references(&mut self, repository: &Repository, manifest: Id) -> Result<(), String> {
        let mut pending = self.references(manifest)?;
        pending.reverse();
        while let Some(digest) = pending.pop() {
            if std::mem::replace(&mut self.marked.marks[digest.index()], true) || self.collector.engine == Engine::V2 {
                continue;
            }
            // The collector treats an error like a missing object here.
            if let Lookup::Found(target) = self.look_up(repository, digest) {
                let mut more = self.references(target)?;
                more.reverse();
                pending.append(&mut more);
            }
        }
        Ok(())
    }

    fn references(&self, manifest: Id) -> Result<Vec<Id>, String> {
        let refused = |why: &str| format!("manifest {}: {why}", self.tree.digests.get(manifest));
        let engine = usize::from(self.collector.engine == Engine::V3);
        let Some(known) = self.tree.manifests.get(&manifest) else {
            return Err(refused("its data cannot be read"));
        };
        match &known.collected[engine] {
            Collected::AsPulled => Ok(known.edges().iter().map(|edge| edge.digest).collect()),
            Collected::References(references) => Ok(references.to_vec()),
            Collected::Refused(why) => Err(refused(why)),
        }
    }

    /// Registry 3 deletes links of layers that are not marked yet, and requires their directory.
    fn drop_layers(&mut self, index: usize, repository: &Repository) -> Result<(), String> {
        if repository.layers.is_absent {
            return Err("its directory of layers is missing".to_string());
        }
        if let Some(unlisted) = repository.layers.unlisted.first() {
            return Err(format!("{}: directory: {}", display(&unlisted.path), unlisted.fault));
        }
        for link in &repository.layers.entries {
            let Some(digest) = content(&link.target)? else { continue };
            match look_up(self.tree, [&repository.layers], digest) {
                Lookup::Found(_) if !self.marked.marks[digest.index()] => {
                    self.marked.dropped_layers.push((index, digest));
                }
                Lookup::Found(_) | Lookup::Unknown => {}
                Lookup::Failed(why) => return Err(why),
            }
        }
        Ok(())
    }
}

/// The digest in a link; `None` without a link.
fn content(target: &Target) -> Result<Option<Id>, String> {
    match target {
        Target::Digest(digest) => Ok(Some(*digest)),
        Target::Absent => Ok(None),
        Target::Unparsable => Err("a link is empty or not a digest".to_string()),
        Target::Unreadable(fault) => Err(format!("a link: {fault}")),
    }
}

/// The targets of a repository's tags.
struct TaggedDigests(FxHashSet<Id>);

impl TaggedDigests {
    fn of(repository: &Repository) -> Result<Self, String> {
        let mut digests = FxHashSet::default();
        let Some(tags) = &repository.tags else { return Ok(Self(digests)) };
        if let Some(unlisted) = &tags.unlisted {
            return Err(format!("{}: directory: {}", display(&unlisted.path), unlisted.fault));
        }
        for tag in &tags.entries {
            let name = display(std::path::Path::new(&tag.name));
            if !is_path_component(&tag.name) {
                return Err(format!("tag {name}: not a valid name"));
            }
            match &tag.current {
                Target::Digest(digest) => drop(digests.insert(*digest)),
                Target::Absent => {}
                Target::Unparsable => return Err(format!("tag {name}: its link is empty or not a digest")),
                Target::Unreadable(fault) => return Err(format!("tag {name}: its link: {fault}")),
            }
        }
        Ok(Self(digests))
    }

    fn contains(&self, digest: Id) -> bool {
        self.0.contains(&digest)
    }
}

//! A model of `registry garbage-collect`: what it would delete, and where it would stop. Pure, over a [`Tree`].
//!
//! It follows `registry/storage/garbagecollect.go` of distribution 2.8 and 3.1, faults included; `tests/peers/scan/collector.rs`
//! holds it against what the real ones leave.

mod damage;
mod manifest;
mod mark;
mod name;
mod plain;
mod reason;

use rustc_hash::FxHashSet;

use serde::{Serialize, Serializer};

pub use damage::{Damage, damage};
pub(super) use manifest::references;
pub(super) use plain::is_plain;

use super::tree::{Blob, Id, Target, Tree};
use mark::Marker;

/// The registry whose collector is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Engine {
    /// distribution 2.x, `registry:2`.
    #[value(name = "2")]
    V2,
    /// distribution 3.x, `registry:3`.
    #[value(name = "3")]
    V3,
}

impl Engine {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::V2, Self::V3];

    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

/// A collector and how it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Collector {
    /// Whose it is.
    pub engine: Engine,
    /// With `--delete-untagged` (`-m`).
    pub delete_untagged: bool,
}

impl Collector {
    /// All four, in order.
    pub const ALL: [Self; 4] = [
        Self { engine: Engine::V2, delete_untagged: false },
        Self { engine: Engine::V2, delete_untagged: true },
        Self { engine: Engine::V3, delete_untagged: false },
        Self { engine: Engine::V3, delete_untagged: true },
    ];
}

/// What a collection would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Why it would fail. What is below has happened by then: nothing, unless the failure comes late.
    pub aborts: Option<String>,
    /// Revision folders that it deletes, by the repository's index.
    pub revisions: FxHashSet<(usize, Id)>,
    /// Blobs that it deletes.
    pub blobs: FxHashSet<Id>,
    /// Layer links that it deletes, by the repository's index.
    pub layers: FxHashSet<(usize, Id)>,
}

impl Collection {
    /// The bytes that it frees.
    pub fn frees_bytes(&self, tree: &Tree) -> u64 {
        self.blobs.iter().map(|id| if let Blob::Present(size) = tree.blob(*id) { size } else { 0 }).sum()
    }
}

/// What a collector would do with a storage tree now.
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
                "after {} manifests: {} is to be deleted and has no folder (left); no blob is deleted then",
                collection.revisions.len(),
                tree.digests.get(digest)
            ));
            return collection;
        }
    }
    if tree.blobs.is_absent {
        collection.aborts = Some("there is no folder of blobs".to_string());
        return collection;
    }
    if let Some(fault) = tree.blobs.unlisted.first() {
        collection.aborts = Some(format!("blobs/{}: {}", fault.0, fault.1));
        return collection;
    }
    if let Some(stray) = tree.blobs.strays.first() {
        collection.aborts = Some(format!("{}: bytes where no registry puts a blob", super::tree::display(stray)));
        return collection;
    }
    let is_marked = |id: Id| marked.marks.get(id.index()).copied().unwrap_or(false);
    let is_stored = |id: &Id| !matches!(tree.blob(*id), Blob::Absent);
    collection.blobs = tree.digests.ids().filter(is_stored).filter(|id| !is_marked(*id)).collect();
    for (repository, digest) in marked.dropped_layers {
        if !collection.layers.insert((repository, digest)) {
            collection.aborts = Some(format!(
                "while it drops layer links: that of {} is named twice, and the second time it is gone",
                tree.digests.get(digest)
            ));
        }
    }
    collection
}

/// What finding a digest's blob through a repository's links comes to.
enum Lookup {
    /// The bytes under this digest.
    Found(Id),
    /// A registry answers "unknown".
    Unknown,
    /// A registry answers with an error.
    Failed(String),
}

/// Looks a digest up as `linkedBlobStatter.Stat` does: the first link that exists decides.
fn look_up<'a>(tree: &Tree, links: impl IntoIterator<Item = &'a super::tree::Links>, digest: Id) -> Lookup {
    for links in links {
        match links.target(digest) {
            Target::Absent => {}
            Target::Digest(target) => {
                return match tree.blob(target) {
                    Blob::Present(_) => Lookup::Found(target),
                    Blob::Absent => Lookup::Unknown,
                    Blob::Unknown(fault) => {
                        Lookup::Failed(format!("the bytes of {}: {fault}", tree.digests.get(target)))
                    }
                };
            }
            Target::Unparsable => {
                return Lookup::Failed(format!("the link of {} is empty or no digest", tree.digests.get(digest)));
            }
            Target::Unreadable(fault) => {
                return Lookup::Failed(format!("the link of {}: {fault}", tree.digests.get(digest)));
            }
        }
    }
    Lookup::Unknown
}

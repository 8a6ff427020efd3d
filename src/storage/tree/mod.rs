//! A registry's storage as a scan holds it: links, lengths and what manifests name, never bytes. Everything after the
//! reading is a pure function of this.

mod manifest;

use std::ffi::OsString;
use std::path::PathBuf;

use indexmap::IndexSet;
use rustc_hash::{FxHashMap, FxHashSet};

pub use manifest::{Collected, Content, Edge, Manifest, Role};

use super::source::Fault;
use crate::oci::{Digest, Platform};

/// A digest, by its number in [`Digests`]: a million links name each digest many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u32);

impl Id {
    /// Its number, to index a vector with.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Every digest that a storage tree names, once.
#[derive(Clone, Debug, Default)]
pub struct Digests(IndexSet<Digest>);

impl Digests {
    /// The number of a digest, which becomes known with it.
    ///
    /// # Panics
    ///
    /// If there are more than four billion digests, which would take some terabytes of links.
    pub fn intern(&mut self, digest: Digest) -> Id {
        let index = self.0.insert_full(digest).0;
        Id(u32::try_from(index).expect("fewer than four billion digests"))
    }

    /// The digest of a number.
    pub fn get(&self, id: Id) -> &Digest {
        &self.0[id.index()]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All numbers.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).map(Id)
    }
}

/// A registry's storage.
#[derive(Debug, Default)]
pub struct Tree {
    /// All digests that occur.
    pub digests: Digests,
    /// In the order in which collectors visit them: depth first, sorted by name.
    pub repositories: Vec<Repository>,
    /// Set if there is no folder of repositories.
    pub has_no_repositories_folder: bool,
    /// Folders that may hold repositories and could not be listed.
    pub unlisted: Vec<Unlisted>,
    /// What lies in the blob store.
    pub blobs: Blobs,
    /// The manifests whose bytes were read, by the digest under which the bytes lie.
    pub manifests: FxHashMap<Id, Manifest>,
    /// Revision links that point at bytes of another digest, although in another algorithm, so that only hashing tells:
    /// the digest that they stand for, and their target.
    pub wrong_aliases: FxHashSet<(Id, Id)>,
    /// Platforms that manifests name.
    pub platforms: Vec<Platform>,
    /// What nobody can judge.
    pub unverified: Vec<Unverified>,
}

/// A folder that could not be listed, so that what it holds is unknown.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// Which, relative to the `v2` folder.
    pub path: PathBuf,
    /// Why.
    pub fault: Fault,
}

/// Something in the storage that could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Unverified {
    /// Where, relative to the `v2` folder.
    pub path: String,
    /// What was seen, in words.
    pub detail: String,
}

/// A repository's links.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its folder, relative to the folder of repositories.
    pub name: PathBuf,
    /// True if it has a folder of layer links, by which registry 2 enumerates it.
    pub has_layers: bool,
    /// True if it has a folder of manifests, by which registry 3 enumerates it.
    pub has_manifests: bool,
    /// The revision links.
    pub revisions: Links,
    /// The layer links.
    pub layers: Links,
    /// The tags; `None` if there is no folder of them.
    pub tags: Option<Tags>,
}

/// A repository's tags.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    /// Sorted by name.
    pub entries: Vec<Tag>,
    /// Set if they could not be listed to their end.
    pub unlisted: Option<Unlisted>,
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Its folder's name, legal or not.
    pub name: OsString,
    /// What it names now.
    pub current: Target,
}

/// A folder of links, one for each digest.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Sorted by path, as collectors walk them.
    pub entries: Vec<Link>,
    /// Set if the folder is absent.
    pub is_absent: bool,
    /// Folders in it that could not be listed.
    pub unlisted: Vec<Unlisted>,
    pub(super) by_digest: FxHashMap<Id, u32>,
}

/// A link.
#[derive(Clone, Debug)]
pub struct Link {
    /// The digest that its folder is named after; `None` if it lies where no registry puts one.
    pub digest: Option<Id>,
    /// Where it points.
    pub target: Target,
}

/// Where a link points: its content decides, not its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At the blob of this digest.
    Digest(Id),
    /// The link's folder is there and the link is not.
    Absent,
    /// The link's content is no digest, or one that no registry knows.
    Unparsable,
    /// The link could not be read.
    Unreadable(Box<Fault>),
}

impl Links {
    /// Where the link of a digest points; a link that might lie in a folder that could not be listed is unreadable.
    pub fn target(&self, digest: Id) -> Target {
        match (self.by_digest.get(&digest), self.unlisted.first()) {
            (Some(&index), _) => self.entries[index as usize].target.clone(),
            (None, Some(unlisted)) => Target::Unreadable(Box::new(unlisted.fault.clone())),
            (None, None) => Target::Absent,
        }
    }

    /// True if the folder of a digest's link is there, with a link in it or without.
    pub fn has_folder(&self, digest: Id) -> bool {
        self.by_digest.contains_key(&digest)
    }
}

/// The blob store.
#[derive(Clone, Debug, Default)]
pub struct Blobs {
    /// By digest number; digests that were learned later lie behind the end.
    pub(super) states: Vec<Blob>,
    /// Set if there is no folder of blobs.
    pub is_absent: bool,
    /// Folders that could not be listed, as prefixes of `algorithm/hex`.
    pub(super) unlisted: Vec<(String, Fault)>,
    /// Files called `data` where no registry puts one.
    pub strays: Vec<PathBuf>,
}

/// The bytes of a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Blob {
    /// There are none.
    #[default]
    Absent,
    /// There are this many.
    Present(u64),
    /// Nobody knows.
    Unknown(Box<Fault>),
}

impl Tree {
    /// The state of the bytes of a digest.
    pub fn blob(&self, id: Id) -> Blob {
        match self.blobs.states.get(id.index()) {
            None | Some(Blob::Absent) => self.blobs.unlisted_fault(self.digests.get(id)).unwrap_or(Blob::Absent),
            Some(state) => state.clone(),
        }
    }

    /// True if a link of a digest points at bytes that are known to be another's.
    pub fn is_misdirected(&self, digest: Id, target: Id) -> bool {
        let algorithm = |id| self.digests.get(id).algorithm();
        digest != target && (algorithm(digest) == algorithm(target) || self.wrong_aliases.contains(&(digest, target)))
    }

    /// The number of blobs.
    pub fn blob_count(&self) -> usize {
        self.blobs.states.iter().filter(|state| matches!(state, Blob::Present(_))).count()
    }

    /// The platform of an edge, in words.
    pub fn platform(&self, edge: &Edge) -> Option<&Platform> {
        self.platforms.get(usize::from(edge.platform?))
    }
}

impl Blobs {
    fn unlisted_fault(&self, digest: &Digest) -> Option<Blob> {
        if self.unlisted.is_empty() {
            return None;
        }
        let path = digest.to_string().replacen(':', "/", 1);
        let (_, fault) = self.unlisted.iter().find(|(prefix, _)| path.starts_with(prefix.as_str()))?;
        Some(Blob::Unknown(Box::new(fault.clone())))
    }
}

/// A path in words; bytes of no encoding are escaped.
pub fn display(path: &std::path::Path) -> String {
    match path.to_str() {
        Some(text) => text.to_string(),
        None => path.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

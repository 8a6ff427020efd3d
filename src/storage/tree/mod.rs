//! A registry's storage in memory: links, lengths and manifest references, no bytes. Everything after the reading is a
//! pure function of it.

mod digests;
mod manifest;

use std::ffi::OsString;
use std::path::PathBuf;

use rustc_hash::{FxHashMap, FxHashSet};

pub use digests::{Digests, Id};
pub use manifest::{Collected, Content, Edge, Manifest, Role};

use super::source::Fault;
use crate::oci::{Digest, Platform};

/// A registry's storage.
#[derive(Debug, Default)]
pub struct Tree {
    /// All digests.
    pub digests: Digests,
    /// Repositories in the order of collectors: depth first, sorted by name.
    pub repositories: Vec<Repository>,
    /// True if the directory of repositories is absent.
    pub has_no_repositories_folder: bool,
    /// Directories that may contain repositories and could not be listed.
    pub unlisted: Vec<Unlisted>,
    /// The blob store.
    pub blobs: Blobs,
    /// Manifests that were read, by the digest of their path.
    pub manifests: FxHashMap<Id, Manifest>,
    /// Revision links whose target has another algorithm, and whose data does not match: the link's digest and its
    /// target.
    pub wrong_aliases: FxHashSet<(Id, Id)>,
    /// Platforms in manifests.
    pub platforms: Vec<Platform>,
    /// What could not be verified.
    pub unverified: Vec<Unverified>,
}

/// A directory that could not be listed, so that its content is unknown.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// The directory, relative to `v2`.
    pub path: PathBuf,
    /// The reason.
    pub fault: Fault,
}

/// Something in the storage that could not be verified.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Unverified {
    /// The path, relative to `v2`.
    pub path: String,
    /// The reason, in words.
    pub detail: String,
}

/// A repository's links.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its name, which is its path below `repositories`.
    pub name: PathBuf,
    /// True if it has `_layers`, by which registry 2 enumerates it.
    pub has_layers: bool,
    /// True if it has `_manifests`, by which registry 3 enumerates it.
    pub has_manifests: bool,
    /// The revision links.
    pub revisions: Links,
    /// The layer links.
    pub layers: Links,
    /// The tags; `None` if their directory is absent.
    pub tags: Option<Tags>,
}

/// A repository's tags.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    /// Sorted by name.
    pub entries: Vec<Tag>,
    /// Set if they could not be listed completely.
    pub unlisted: Option<Unlisted>,
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Its name, valid or not.
    pub name: OsString,
    /// Its current target.
    pub current: Target,
}

/// A directory of links, one per digest.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Sorted by path, like collectors visit them.
    pub entries: Vec<Link>,
    /// True if the directory is absent.
    pub is_absent: bool,
    /// Directories in it that could not be listed.
    pub unlisted: Vec<Unlisted>,
    pub(super) by_digest: FxHashMap<Id, u32>,
}

/// A link.
#[derive(Clone, Debug)]
pub struct Link {
    /// The digest in its path; `None` in an unexpected place.
    pub digest: Option<Id>,
    /// Its target.
    pub target: Target,
}

/// The target of a link, which is its content and not its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The blob with this digest.
    Digest(Id),
    /// The link's directory exists, but not the link.
    Absent,
    /// The content is not a digest, or one with an unknown algorithm.
    Unparsable,
    /// The link could not be read.
    Unreadable(Box<Fault>),
}

impl Links {
    /// The target of a digest's link; unreadable if the link may be in a directory that could not be listed.
    pub fn target(&self, digest: Id) -> Target {
        match (self.by_digest.get(&digest), self.unlisted.first()) {
            (Some(&index), _) => self.entries[index as usize].target.clone(),
            (None, Some(unlisted)) => Target::Unreadable(Box::new(unlisted.fault.clone())),
            (None, None) => Target::Absent,
        }
    }

    /// True if the directory of a digest's link exists, with or without the link.
    pub fn has_folder(&self, digest: Id) -> bool {
        self.by_digest.contains_key(&digest)
    }
}

/// The blob store.
#[derive(Clone, Debug, Default)]
pub struct Blobs {
    /// By digest number; digests added later are beyond the end.
    pub(super) states: Vec<Blob>,
    /// True if the directory of blobs is absent.
    pub is_absent: bool,
    /// Directories that could not be listed, as prefixes of `algorithm/hex`.
    pub(super) unlisted: Vec<(String, Fault)>,
    /// Files named `data` in unexpected places.
    pub strays: Vec<PathBuf>,
}

/// The data of a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Blob {
    /// There is no data.
    #[default]
    Absent,
    /// The size in bytes.
    Present(u64),
    /// It could not be determined.
    Unknown(Box<Fault>),
}

impl Tree {
    /// The data of a digest.
    pub fn blob(&self, id: Id) -> Blob {
        match self.blobs.states.get(id.index()) {
            None | Some(Blob::Absent) => self.blobs.unlisted_fault(self.digests.get(id)).unwrap_or(Blob::Absent),
            Some(state) => state.clone(),
        }
    }

    /// True if a digest's link points at data that is known not to match.
    pub fn is_misdirected(&self, digest: Id, target: Id) -> bool {
        let algorithm = |id| self.digests.get(id).algorithm();
        digest != target && (algorithm(digest) == algorithm(target) || self.wrong_aliases.contains(&(digest, target)))
    }

    /// The number of blobs.
    pub fn blob_count(&self) -> usize {
        self.blobs.states.iter().filter(|state| matches!(state, Blob::Present(_))).count()
    }

    /// The platform of an edge.
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

/// A path as text; bytes that are not UTF-8 are escaped.
pub fn display(path: &std::path::Path) -> String {
    match path.to_str() {
        Some(text) => text.to_string(),
        None => path.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

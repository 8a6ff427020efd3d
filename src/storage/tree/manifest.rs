//! What a manifest says, as a tree keeps it.

use super::Id;
use crate::oci::Digest;

/// What the bytes of a manifest say.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// What a puller makes of them.
    pub content: Content,
    /// What is wrong with descriptors of it that lead nowhere, in words.
    pub unusable: Option<Box<str>>,
    /// What the collectors of registry 2 and 3 make of them.
    pub collected: [Collected; 2],
}

/// What a puller makes of a manifest's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A manifest that needs these.
    Manifest(Box<[Edge]>),
    /// Not the bytes of their digest; `also` says if they are no manifest either.
    WrongDigest {
        /// What they hash to.
        actual: Digest,
        /// Why they are no manifest, if they are none.
        also: Option<String>,
    },
    /// Bytes that are no manifest.
    Malformed(String),
    /// Docker schema 1, which this program does not check.
    SchemaOne,
}

/// What a collector makes of a manifest's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    /// It takes the references of [`Content::Manifest`].
    AsPulled,
    /// It takes these.
    References(Box<[Id]>),
    /// It stops, and so does the collection.
    Refused(Box<str>),
}

/// What a manifest needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The digest that it names.
    pub digest: Id,
    /// What it is there.
    pub role: Role,
    /// Its length, as the manifest says.
    pub size: Option<u64>,
    /// The number of its platform in [`Tree::platforms`](super::Tree::platforms).
    pub platform: Option<u16>,
    /// True if the manifest states a negative length.
    pub has_negative_size: bool,
    /// True if it can be had from elsewhere, so that its absence is normal.
    pub may_be_absent: bool,
    /// True for a BuildKit attestation.
    pub attestation: bool,
}

/// What something is to the manifest that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A manifest of an index, not another content that an index names.
    Child,
    /// A config.
    Config,
    /// A layer.
    Layer,
}

impl Manifest {
    /// What it needs; nothing if its bytes are not to be trusted.
    pub fn edges(&self) -> &[Edge] {
        match &self.content {
            Content::Manifest(edges) => edges,
            _ => &[],
        }
    }
}

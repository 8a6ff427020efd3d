//! A manifest in a tree.

use super::digests::Id;
use crate::oci::Digest;

/// A manifest that was read.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// How clients read it.
    pub content: Content,
    /// Its unusable descriptors, in words.
    pub unusable: Option<Box<str>>,
    /// How the collectors of registry 2 and 3 read it.
    pub collected: [Collected; 2],
}

/// How clients read a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A manifest with these references.
    Manifest(Box<[Edge]>),
    /// Data that does not match its digest.
    WrongDigest {
        /// The digest of the data.
        actual: Digest,
        /// Why the data is not a manifest either.
        also: Option<String>,
    },
    /// Data that is not a manifest.
    Malformed(String),
    /// Docker schema 1, which this program does not check.
    SchemaOne,
}

/// How a collector reads a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    /// It marks the references of [`Content::Manifest`].
    AsPulled,
    /// It marks these references.
    References(Box<[Id]>),
    /// It aborts.
    Refused(Box<str>),
}

/// A reference in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The referenced digest.
    pub digest: Id,
    /// The role of the referenced object.
    pub role: Role,
    /// The size in the descriptor.
    pub size: Option<u64>,
    /// The number of its platform in [`Tree::platforms`](super::Tree::platforms).
    pub platform: Option<u16>,
    /// True if the descriptor has a negative size.
    pub has_negative_size: bool,
    /// True if it can be downloaded from elsewhere, so that its absence is normal.
    pub may_be_absent: bool,
    /// True for a BuildKit attestation.
    pub attestation: bool,
}

/// The role of an object in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A manifest in an index.
    Child,
    /// A config.
    Config,
    /// A layer.
    Layer,
}

impl Manifest {
    /// Its references; none if its data is not trustworthy.
    pub fn edges(&self) -> &[Edge] {
        match &self.content {
            Content::Manifest(edges) => edges,
            _ => &[],
        }
    }
}

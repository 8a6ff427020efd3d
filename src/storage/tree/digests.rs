//! Digests by number.

use indexmap::IndexSet;

use crate::oci::Digest;

/// Number of a digest in [`Digests`]; a million links repeat the same digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u32);

impl Id {
    /// The number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All digests in a storage tree, each stored once.
#[derive(Clone, Debug, Default)]
pub struct Digests(IndexSet<Digest>);

impl Digests {
    /// The number of a digest, which is added if it is new.
    ///
    /// # Panics
    ///
    /// With more than four billion digests, whose links would take terabytes.
    pub fn intern(&mut self, digest: Digest) -> Id {
        let index = self.0.insert_full(digest).0;
        Id(u32::try_from(index).expect("fewer than four billion digests"))
    }

    /// The digest with a number.
    pub fn get(&self, id: Id) -> &Digest {
        &self.0[id.index()]
    }

    /// Number of digests.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without digests.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All numbers.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).map(Id)
    }
}

//! The manifest cache of a registry. It shows the objects of an image without a request.
//!
//! A manifest cannot change under its digest, so it stays valid. Whether the registry still serves it is for a sweep to check.

mod budget;
mod compact;
mod tree;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

pub use budget::Budget;
pub use tree::{NODES_LIMIT, Node, Shared};

use crate::oci::{Digest, Manifest, Reference, Repository, Tag};

/// Memory of an entry besides its bytes: digest, table slot and allocation.
const OVERHEAD: usize = 112;

/// The cached manifests of one registry. A manifest that does not fit into the budget is not cached; none is evicted for it.
#[derive(Debug)]
pub struct ManifestCache {
    budget: Arc<Budget>,
    repositories: RwLock<HashMap<Repository, RepositoryCache>>,
}

/// The cache of one repository.
#[derive(Debug, Default)]
struct RepositoryCache {
    tags: BTreeMap<Tag, Digest>,
    manifests: HashMap<Digest, CacheEntry>,
}

#[derive(Debug)]
struct CacheEntry {
    bytes: Box<[u8]>,
    size: u64,
    hashed_at: SystemTime,
    is_doubted: bool,
}

/// A manifest whose bytes were hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedManifest {
    /// Its content.
    pub manifest: Manifest,
    /// Its length in bytes.
    pub size: u64,
    /// When its bytes last came from this repository and hashed to its digest.
    pub hashed_at: SystemTime,
    /// True if it was a suspect since. Only its bytes can clear it.
    pub is_doubted: bool,
}

impl ManifestCache {
    /// An empty cache.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, repositories: RwLock::default() }
    }

    /// A cache without capacity, for a sweep whose manifests are not needed later.
    pub fn none() -> Self {
        Self::new(Arc::new(Budget::new(0)))
    }

    /// A cached manifest.
    pub fn get(&self, repository: &Repository, digest: &Digest) -> Option<CachedManifest> {
        let repositories = self.read();
        let entry = repositories.get(repository)?.manifests.get(digest)?;
        let manifest = compact::decode(&entry.bytes)?;
        let CacheEntry { size, hashed_at, is_doubted, .. } = *entry;
        Some(CachedManifest { manifest, size, hashed_at, is_doubted })
    }

    /// The digest that a reference resolved to in the last walk.
    pub fn resolve(&self, repository: &Repository, reference: &Reference) -> Option<Digest> {
        let repositories = self.read();
        let known = repositories.get(repository)?;
        match reference {
            Reference::Tag(tag) => known.tags.get(tag).cloned(),
            Reference::Digest(digest) => known.manifests.contains_key(digest).then(|| digest.clone()),
        }
    }

    /// The repositories with cached manifests or tags, in order.
    pub fn repositories(&self) -> Vec<Repository> {
        let mut names: Vec<Repository> = self.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The tags of a repository and what they resolve to, in order.
    pub fn tags(&self, repository: &Repository) -> Vec<(Tag, Digest)> {
        let repositories = self.read();
        let tags = repositories.get(repository).into_iter().flat_map(|known| &known.tags);
        tags.map(|(tag, digest)| (tag.clone(), digest.clone())).collect()
    }

    /// Caches a manifest whose bytes were hashed.
    pub fn hashed(&self, repository: &Repository, digest: &Digest, manifest: &Manifest, size: u64, now: SystemTime) {
        let mut repositories = self.write();
        if let Some(entry) = repositories.get_mut(repository).and_then(|known| known.manifests.get_mut(digest)) {
            (entry.hashed_at, entry.is_doubted) = (now, false);
            return;
        }
        let Some(bytes) = compact::encode(manifest) else { return };
        if self.budget.take(bytes.len() + OVERHEAD) {
            let entry = CacheEntry { bytes, size, hashed_at: now, is_doubted: false };
            repositories.entry(repository.clone()).or_default().manifests.insert(digest.clone(), entry);
        }
    }

    /// Marks a manifest as a suspect. Its content stays cached.
    pub fn doubted(&self, repository: &Repository, digest: &Digest) {
        let mut repositories = self.write();
        if let Some(entry) = repositories.get_mut(repository).and_then(|known| known.manifests.get_mut(digest)) {
            entry.is_doubted = true;
        }
    }

    /// Replaces the tags of a repository after a walk, and evicts the manifests that it did not meet.
    pub fn walked(&self, repository: &Repository, tags: Vec<(Tag, Digest)>, met: &HashSet<&Digest>) {
        let mut repositories = self.write();
        let mut known = repositories.remove(repository).unwrap_or_default();
        self.release(std::mem::take(&mut known.tags));
        let (kept, gone): (HashMap<_, _>, HashMap<_, _>) =
            known.manifests.into_iter().partition(|(digest, _)| met.contains(digest));
        self.budget.give_back(gone.values().map(CacheEntry::weight).sum());
        known.manifests = kept;
        known.tags = tags.into_iter().filter(|(tag, _)| self.budget.take(tag.len() + OVERHEAD)).collect();
        if !known.tags.is_empty() || !known.manifests.is_empty() {
            repositories.insert(repository.clone(), known);
        }
    }

    /// Evicts deleted repositories.
    pub fn retain(&self, is_there: impl Fn(&Repository) -> bool) {
        let gone: Vec<RepositoryCache> =
            self.write().extract_if(|repository, _| !is_there(repository)).map(|(_, it)| it).collect();
        for RepositoryCache { tags, manifests } in gone {
            self.release(tags);
            self.budget.give_back(manifests.values().map(CacheEntry::weight).sum());
        }
    }

    fn release(&self, tags: BTreeMap<Tag, Digest>) {
        self.budget.give_back(tags.keys().map(|tag| tag.len() + OVERHEAD).sum());
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Repository, RepositoryCache>> {
        self.repositories.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Repository, RepositoryCache>> {
        self.repositories.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheEntry {
    fn weight(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

impl Drop for ManifestCache {
    fn drop(&mut self) {
        self.retain(|_| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(layers: u8) -> Manifest {
        let layer = |n: u8| serde_json::from_value(serde_json::json!({ "digest": Digest::sha256(&[n]) })).unwrap();
        Manifest { layers: (0..layers).map(layer).collect(), ..Manifest::default() }
    }

    #[test]
    fn full_budget_rejects_and_eviction_frees_it() {
        let budget = Arc::new(Budget::new(600));
        let manifests = ManifestCache::new(Arc::clone(&budget));
        let (a, b): (Repository, Repository) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (first, second) = (Digest::sha256(b"first"), Digest::sha256(b"second"));
        let now = SystemTime::UNIX_EPOCH;
        manifests.hashed(&a, &first, &image(5), 1, now);
        manifests.hashed(&b, &second, &image(9), 1, now);
        assert_eq!(manifests.get(&a, &first).unwrap().manifest, image(5));
        assert_eq!(manifests.get(&b, &second), None);

        let tag: Tag = "latest".parse().unwrap();
        manifests.walked(&a, vec![(tag.clone(), first.clone())], &HashSet::from([&first]));
        assert_eq!(manifests.resolve(&a, &Reference::Tag(tag)), Some(first.clone()));
        assert_eq!(manifests.resolve(&a, &Reference::Digest(first.clone())), Some(first.clone()));
        manifests.walked(&a, Vec::new(), &HashSet::new());
        assert_eq!(manifests.repositories(), []);
        manifests.hashed(&b, &second, &image(9), 1, now);
        assert!(manifests.get(&b, &second).is_some());
        manifests.retain(|repository| *repository == a);
        assert_eq!(budget.used(), 0);
    }
}

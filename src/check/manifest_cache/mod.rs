//! The manifests of a registry, as they were last hashed: what an image needs can be told without asking the registry.
//!
//! A manifest cannot change under its digest, so that what was hashed once stays true of it. Whether the registry still
//! serves it is another question, which only a sweep answers.

mod budget;
mod compact;
mod tree;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

pub use budget::Budget;
pub use tree::{NODES_LIMIT, Node, Shared};

use crate::oci::{Digest, Manifest, Reference, Repository, Tag};

/// What an entry takes beside its own bytes: its digest, its place in a table, its allocation.
const OVERHEAD: usize = 112;

/// The known manifests of one registry.
///
/// What does not fit into the budget is not known; nothing that is known is given up for something else.
#[derive(Debug)]
pub struct ManifestCache {
    budget: Arc<Budget>,
    repositories: RwLock<HashMap<Repository, RepositoryCache>>,
}

/// What is known of one repository.
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
    /// What it says.
    pub manifest: Manifest,
    /// Its length in bytes.
    pub size: u64,
    /// When its bytes last came from this repository and hashed to its digest.
    pub hashed_at: SystemTime,
    /// True if something spoke against it since: then only its bytes can speak for it.
    pub is_doubted: bool,
}

impl ManifestCache {
    /// A store that knows nothing yet.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, repositories: RwLock::default() }
    }

    /// A store that never knows anything, for a walk whose result nobody asks for later.
    pub fn none() -> Self {
        Self::new(Arc::new(Budget::new(0)))
    }

    /// What is known of a manifest in a repository.
    pub fn get(&self, repository: &Repository, digest: &Digest) -> Option<CachedManifest> {
        let repositories = self.read();
        let entry = repositories.get(repository)?.manifests.get(digest)?;
        let manifest = compact::decode(&entry.bytes)?;
        let CacheEntry { size, hashed_at, is_doubted, .. } = *entry;
        Some(CachedManifest { manifest, size, hashed_at, is_doubted })
    }

    /// What a reference resolved to when it was last asked for.
    pub fn resolve(&self, repository: &Repository, reference: &Reference) -> Option<Digest> {
        let repositories = self.read();
        let known = repositories.get(repository)?;
        match reference {
            Reference::Tag(tag) => known.tags.get(tag).cloned(),
            Reference::Digest(digest) => known.manifests.contains_key(digest).then(|| digest.clone()),
        }
    }

    /// The repositories of which something is known, in order.
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

    /// Notes a manifest whose bytes came and were hashed.
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

    /// Notes that something speaks against a manifest. What it says stays known.
    pub fn doubted(&self, repository: &Repository, digest: &Digest) {
        let mut repositories = self.write();
        if let Some(entry) = repositories.get_mut(repository).and_then(|known| known.manifests.get_mut(digest)) {
            entry.is_doubted = true;
        }
    }

    /// Notes what a walk of a repository found its tags to be, and forgets the tags and manifests that it did not meet.
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

    /// Forgets the repositories that are gone.
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
    fn what_does_not_fit_is_not_known_and_what_is_gone_makes_room() {
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

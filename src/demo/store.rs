//! The content of the registry, linked per repository as in distribution.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::content::{Image, Part, Role};
use crate::oci::Digest;

/// All repositories.
#[derive(Debug, Default)]
pub struct Store {
    repositories: BTreeMap<WalkOrder, Repository>,
}

/// One repository.
#[derive(Debug, Default)]
pub struct Repository {
    /// Tags, with `None` for a dangling one. `None` before the first tag.
    pub tags: Option<BTreeMap<String, Option<Digest>>>,
    /// Manifests by digest.
    pub manifests: HashMap<Digest, Held>,
    /// Configs and layers by digest.
    pub blobs: HashMap<Digest, Held>,
}

/// A stored object.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its media type at push.
    pub media_type: String,
    /// Its content.
    pub bytes: Bytes,
    /// The length in headers.
    pub promised: usize,
}

/// The length in headers after the content was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// The new length, as distribution without a cache.
    Follow,
    /// The old length, as distribution with a stale blob descriptor cache.
    Stale,
}

/// A repository name in the order of distribution's directory walk: `a`, `a/b`, `a-b`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WalkOrder(String);

impl WalkOrder {
    fn of(name: &str) -> Self {
        Self(name.replace('/', "\0"))
    }

    fn name(&self) -> String {
        self.0.replace('\0', "/")
    }
}

impl Store {
    /// The repository of this name, created if absent.
    pub fn repository_mut(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(WalkOrder::of(name)).or_default()
    }

    /// The repository of this name.
    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(&WalkOrder::of(name))
    }

    /// The names of all repositories, in the order of distribution's directory walk.
    pub fn names(&self) -> Vec<String> {
        self.repositories.keys().map(WalkOrder::name).collect()
    }

    /// Adds all parts of an image except foreign layers.
    pub fn push(&mut self, repository: &str, tag: Option<&str>, image: &Image) {
        let repository = self.repository_mut(repository);
        for part in image.parts().iter().filter(|part| part.urls.is_empty()) {
            let objects = match part.role {
                Role::Root | Role::Child => &mut repository.manifests,
                Role::Config | Role::Layer => &mut repository.blobs,
            };
            objects.insert(part.digest.clone(), Held::of(part));
        }
        if let Some(tag) = tag {
            repository.tag(tag, Some(image.root().digest.clone()));
        }
    }
}

impl Repository {
    /// Sets a tag; without a target it is dangling.
    pub fn tag(&mut self, tag: &str, target: Option<Digest>) {
        self.tags.get_or_insert_default().insert(tag.to_string(), target);
    }

    /// A manifest by tag or digest, and its digest.
    pub fn manifest(&self, reference: &str) -> Option<(&Digest, &Held)> {
        match reference.parse::<Digest>() {
            Ok(digest) => self.manifests.get_key_value(&digest),
            Err(_) => self.manifests.get_key_value(self.tags.as_ref()?.get(reference)?.as_ref()?),
        }
    }

    /// Adds a manifest.
    pub fn put_manifest(&mut self, digest: &Digest, media_type: &str, bytes: Bytes) {
        self.manifests.insert(digest.clone(), Held::new(media_type, bytes));
    }

    /// Adds a config or layer.
    pub fn put_blob(&mut self, digest: &Digest, bytes: Bytes) {
        self.blobs.insert(digest.clone(), Held::new("application/octet-stream", bytes));
    }

    /// Replaces the content of an object.
    pub fn replace(&mut self, digest: &Digest, bytes: &Bytes, headers: Headers) {
        for held in [self.manifests.get_mut(digest), self.blobs.get_mut(digest)].into_iter().flatten() {
            held.bytes = bytes.clone();
            if headers == Headers::Follow {
                held.promised = bytes.len();
            }
        }
    }
}

impl Held {
    fn new(media_type: &str, bytes: Bytes) -> Self {
        Self { media_type: media_type.to_string(), promised: bytes.len(), bytes }
    }

    fn of(part: &Part) -> Self {
        Self::new(&part.media_type, part.bytes.clone())
    }
}

//! Records the results of a walk, to draw its tree.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::check::evidence::Evidence;
use crate::check::judge::{IntactObject, Verdict};
use crate::check::walk::{Observation, Observer};
use crate::oci::{Digest, Manifest, Platform, Reference, Repository};
use crate::registry::Object;

/// The results of a walk so far.
#[derive(Debug, Default)]
pub struct Trace {
    seen: Mutex<HashMap<(Repository, ObjectRef), Seen>>,
}

/// An object by its endpoint, within a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ObjectRef {
    /// At the manifests' endpoint.
    Manifest(Reference),
    /// At the blobs' endpoint.
    Blob(Digest),
}

/// The result for one object.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Duration of its request.
    pub took: Duration,
    /// The verdict.
    pub state: SeenState,
    /// Its length in bytes, if the response has it.
    pub length: Option<u64>,
    /// The digest that a tag resolves to.
    pub resolved: Option<Digest>,
    /// Its content, if it is a manifest.
    pub manifest: Option<Box<Manifest>>,
    /// Its platform, if it is an image's config.
    pub platform: Option<Box<Platform>>,
    /// Evidence for an intact blob.
    pub evidence: Option<Evidence>,
}

/// The verdict on an object so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenState {
    /// Intact.
    Intact,
    /// A response speaks against it.
    Suspect,
    /// It could not be verified.
    Unverified,
}

impl Trace {
    /// The result for an object.
    pub fn of(&self, repository: &Repository, object: &ObjectRef) -> Option<Seen> {
        self.seen().get(&(repository.clone(), object.clone())).cloned()
    }

    /// The digest of the manifest that a reference names, as far as it is known.
    pub fn resolve(&self, repository: &Repository, reference: &Reference) -> Option<Digest> {
        match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => self.of(repository, &ObjectRef::Manifest(reference.clone()))?.resolved,
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<(Repository, ObjectRef), Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Trace {
    fn observe(&self, observation: &Observation<'_>) {
        let Observation { repository, object, verdict, evidence, took } = *observation;
        let key = match object {
            Object::Manifest(reference) => ObjectRef::Manifest(reference.clone()),
            Object::Blob(digest) => ObjectRef::Blob(digest.clone()),
        };
        let evidence = Some(evidence).filter(|_| matches!((object, verdict), (Object::Blob(_), Verdict::Intact(_))));
        let (state, intact) = match verdict {
            Verdict::Intact(intact) => (SeenState::Intact, intact.clone()),
            Verdict::Suspect { .. } => (SeenState::Suspect, IntactObject::default()),
            Verdict::Unverified { .. } => (SeenState::Unverified, IntactObject::default()),
        };
        let IntactObject { length, digest: resolved, manifest, platform, is_cached: _ } = intact;
        let seen = Seen { took, state, length, resolved, manifest, platform, evidence };
        self.seen().insert((repository.clone(), key), seen);
    }
}

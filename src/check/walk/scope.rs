//! The input of a walk.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::blob_hasher::BlobHasher;
use super::observer::Observer;
use crate::check::contradictions::Contradictions;
use crate::check::evidence::EvidenceSchedule;
use crate::check::manifest_cache::ManifestCache;
use crate::config::{Confirm, Filter, Limits};
use crate::oci::{Platform, Reference, Repository};
use crate::report::Failure;

/// Settings and shared state of all walks of a sweep.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Number and interval of the requests that confirm a failure.
    pub confirm: Confirm,
    /// Maximum sizes of manifests and graphs.
    pub limits: Limits,
    /// Filter for listed tags.
    pub tags: Filter,
    /// Children that must exist; empty: all.
    pub platforms: Vec<Platform>,
    /// Decides how thoroughly each blob is checked.
    pub evidence_schedule: Arc<EvidenceSchedule>,
    /// Receives the manifests that were hashed.
    pub manifests: Arc<ManifestCache>,
    /// Hashes blobs in the background; `None`: the walk hashes them itself.
    pub blob_hasher: Option<Arc<BlobHasher>>,
    /// Objects with contradictory responses in an earlier sweep.
    pub contradictions: Arc<Contradictions>,
    /// Receives each result as soon as it is there.
    pub observer: Option<Arc<dyn Observer>>,
}

/// The images of a repository to walk.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// True for all tags that the tag list names.
    pub listed: bool,
    /// Images to walk whether they are listed or not.
    pub named: BTreeSet<Reference>,
    /// True if the configuration names the repository, so that it must exist.
    pub must_exist: bool,
}

/// One repository to walk, with its known failures.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The repository.
    pub repository: Repository,
    /// The images to walk.
    pub roots: Roots,
    /// Open failures, which the walk may resolve.
    pub known: Vec<Failure>,
}

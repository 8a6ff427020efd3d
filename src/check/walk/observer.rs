//! Lets a caller follow a walk.

use std::fmt;
use std::time::Duration;

use crate::check::evidence::Evidence;
use crate::check::judge::Verdict;
use crate::oci::Repository;
use crate::registry::Object;

/// The result of one request.
#[derive(Debug)]
pub struct Observation<'a> {
    /// The repository that contains the object.
    pub repository: &'a Repository,
    /// The object; for a tag, the manifest that it names.
    pub object: &'a Object,
    /// The verdict so far. Another observation follows a suspicion once it is confirmed or cleared.
    pub verdict: &'a Verdict,
    /// Evidence for an intact blob.
    pub evidence: Evidence,
    /// Time from the request to its response, including retries.
    pub took: Duration,
}

/// Receives the results of a walk, from several tasks at once.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Receives the result of one request.
    fn observe(&self, observation: &Observation<'_>);
}

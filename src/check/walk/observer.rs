//! Lets somebody watch a walk while it goes on.

use std::fmt;
use std::time::Duration;

use crate::check::evidence::Evidence;
use crate::check::judge::Verdict;
use crate::oci::Repository;
use crate::registry::Object;

/// What one question brought.
#[derive(Debug)]
pub struct Observation<'a> {
    /// Where the object lies.
    pub repository: &'a Repository,
    /// What was asked for; a tag as the manifest that it names.
    pub object: &'a Object,
    /// What the answers say so far. A suspicion is followed by another observation, once it has been asked about again.
    pub verdict: &'a Verdict,
    /// How a blob is proved, if it is sound.
    pub evidence: Evidence,
    /// From the question to the answer, with the retries between.
    pub took: Duration,
}

/// Is told of every question that a walk asked, from several tasks at once.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Takes in what one question brought.
    fn observe(&self, observation: &Observation<'_>);
}

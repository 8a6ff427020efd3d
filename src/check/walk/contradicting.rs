//! Contradictory responses, as one walk knows them.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::AtomicU32;

use super::subject::Subject;
use crate::check::contradictions::Contradiction;
use crate::oci::{Image, Reference};
use crate::report::Failure;

/// Objects with contradictory responses, in earlier sweeps and in this one.
#[derive(Debug, Default)]
pub(super) struct Contradicting {
    /// Objects that had contradictory responses in an earlier sweep.
    pub remembered: BTreeSet<Image>,
    /// Objects that are known to be broken. One good response among bad ones does not resolve them.
    pub known: HashSet<Reference>,
    /// Contradictions found in this walk.
    pub found: Vec<Contradiction>,
    /// Remembered objects that were requested again.
    pub asked: HashSet<Subject>,
    /// Remembered objects without a response.
    pub unanswered: HashSet<Image>,
    /// Number of objects of the repository that were bad by HEAD and never by GET.
    pub bad_by_head_only: AtomicU32,
}

impl Contradicting {
    pub(super) fn new(remembered: BTreeSet<Image>, known: &[Failure]) -> Self {
        let known = known.iter().filter_map(|failure| failure.key().reference).collect();
        Self { remembered, known, ..Self::default() }
    }
}

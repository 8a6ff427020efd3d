//! The result of a walk, for the sweep.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::inquiry::Inquiry;
use crate::check::contradictions::Contradiction;
use crate::check::judge::{Suspicion, Verdict};
use crate::oci::{Image, Repository};
use crate::report::{Cause, Failure, FailureKey, Kind, ObjectCounts, Unverified};

/// The result of walking one repository.
#[derive(Debug)]
pub struct Walked {
    /// The repository.
    pub repository: Repository,
    /// True if the registry answered any request about the repository.
    pub answered: bool,
    /// Images that were walked.
    pub images: u64,
    /// Images of open failures that were not walked.
    pub unwalked: HashSet<Image>,
    /// Objects, by kind.
    pub objects: ObjectCounts,
    /// Confirmed suspects. The sweep decides whether they are broken.
    pub suspected: Vec<Suspected>,
    /// Unverified objects and lists.
    pub unverified: Vec<Unverified>,
    /// Open failures that are resolved.
    pub resolved: HashSet<FailureKey>,
    /// Open failures that are resolved if the tag filter excludes their images on purpose.
    pub filtered_out: HashSet<FailureKey>,
    /// False if the tag list could not be read completely.
    pub list_was_read: bool,
    /// Indexes of the patterns of `tags.include` that match a listed tag; `None` if no tag list was read.
    pub matched_tags: Option<BTreeSet<usize>>,
    /// Counts of the registry's responses.
    pub tally: Tally,
    /// Objects with contradictory responses.
    pub contradicted: Vec<Contradiction>,
    /// Objects that had contradictory responses in an earlier sweep, and none in this one.
    pub cleared: Vec<Image>,
    /// A manifest and a blob that are intact. Requested again, they show whether the registry serves anything at all.
    pub canaries: Vec<Inquiry>,
}

/// A confirmed suspect.
#[derive(Clone, Debug)]
pub struct Suspected {
    /// The failure that it becomes if it is accepted as broken.
    pub failure: Failure,
    /// The suspicion.
    pub suspicion: Suspicion,
    /// Number of consecutive responses that confirm it.
    pub answers: u32,
    /// The question to repeat once the registry is known to serve other objects, if an outage may explain some responses.
    pub mixed: Option<Inquiry>,
    /// Number of intact configs and layers of the repository.
    pub blobs_served: u64,
}

impl Suspected {
    /// The entry that it becomes if it is not accepted as broken.
    pub fn unverified(self, cause: Cause, why: &str) -> Unverified {
        let Failure { repository, kind, images, detail, .. } = &self.failure;
        Unverified {
            repository: Some(repository.to_string()),
            reference: match &self.failure.digest {
                Some(digest) => digest.to_string(),
                None => images.first().map(|image| image.reference.to_string()).unwrap_or_default(),
            },
            kind: Some(*kind),
            cause,
            images: images.clone(),
            detail: format!("{detail}; not counted as broken: {why}"),
        }
    }
}

/// How a registry answered: the baseline for single suspicions.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Number of responses and failed requests.
    pub answers: u64,
    /// Those that raised a suspicion which a later response contradicted.
    pub contradicted: HashMap<Suspicion, u64>,
    /// Intact objects, by kind.
    pub served: ObjectCounts,
}

impl Tally {
    /// Counts the first request for an object, with its retries.
    pub(super) fn count(&mut self, exchanges: u32, verdict: &Verdict) {
        self.answers += u64::from(exchanges);
        if exchanges > 1 && matches!(verdict, Verdict::Intact(_)) {
            *self.contradicted.entry(Suspicion::ServerError).or_default() += u64::from(exchanges - 1);
        }
    }

    /// Counts a confirmation.
    pub(super) fn count_confirmation(&mut self, suspicion: Suspicion, answers: u32, exchanges: u32, verdict: &Verdict) {
        self.answers += u64::from(exchanges);
        if !matches!(verdict, Verdict::Suspect { .. }) {
            *self.contradicted.entry(suspicion).or_default() += u64::from(answers);
        }
    }

    /// Adds the counts of another walk.
    pub fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        for (&suspicion, count) in &other.contradicted {
            *self.contradicted.entry(suspicion).or_default() += count;
        }
        for kind in Kind::ALL {
            *self.served.get_mut(kind) += other.served.get(kind);
        }
    }
}

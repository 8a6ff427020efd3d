//! What a walk hands to the sweep.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Inquiry;
use crate::check::contradictions::Contradiction;
use crate::check::judge::{Suspicion, Verdict};
use crate::oci::{Image, Repository};
use crate::report::{Cause, Failure, FailureKey, Kind, ObjectCounts, Unverified};

/// What a walk of one repository found.
#[derive(Debug)]
pub struct Walked {
    /// Which.
    pub repository: Repository,
    /// True if the registry answered for the repository at all, whatever it said.
    pub answered: bool,
    /// Images that were walked.
    pub images: u64,
    /// Images of failures known before that were not among them.
    pub unwalked: HashSet<Image>,
    /// Objects, by kind.
    pub objects: ObjectCounts,
    /// Confirmed suspicions, to be believed or not by what the rest of the sweep saw.
    pub suspected: Vec<Suspected>,
    /// What could not be judged.
    pub unverified: Vec<Unverified>,
    /// Failures known before that do not hold any more.
    pub disproved: HashSet<FailureKey>,
    /// Failures known before that do not hold any more if `tags` leaves their images out on purpose.
    pub filtered_out: HashSet<FailureKey>,
    /// False if there is a tag list that could not be read to its end.
    pub list_was_read: bool,
    /// Which patterns of `tags.include` match a listed tag, by their place; `None` if no tag list was to be read.
    pub matched_tags: Option<BTreeSet<usize>>,
    /// How the registry answered.
    pub tally: Tally,
    /// What contradicted itself.
    pub contradicted: Vec<Contradiction>,
    /// What contradicted itself in an earlier sweep, and did not in this one.
    pub cleared: Vec<Image>,
    /// A manifest and a blob that were served: neighbours to confirm others with.
    pub canaries: Vec<Inquiry>,
}

/// An object under a confirmed suspicion.
#[derive(Clone, Debug)]
pub struct Suspected {
    /// The failure that it is, if it is believed.
    pub failure: Failure,
    /// What speaks against it.
    pub suspicion: Suspicion,
    /// Answers in a row that spoke against it.
    pub answers: u32,
    /// How it is asked for once more beside a neighbour, if some of the answers may have been the registry's trouble.
    pub mixed: Option<Inquiry>,
    /// Other configs and layers of the repository that were served.
    pub beside: u64,
}

impl Suspected {
    /// What it is if it is not believed.
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
            detail: format!("{detail}; not believed: {why}"),
        }
    }
}

/// How a registry answered: what single suspicions are held against.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers, and what stood in for them.
    pub answers: u64,
    /// Of those, the ones that raised a suspicion which a later answer contradicted.
    pub contradicted: HashMap<Suspicion, u64>,
    /// Objects that were served, by kind.
    pub served: ObjectCounts,
}

impl Tally {
    /// Counts a first question, with the exchanges that were needed until it was answered.
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

    /// Adds another walk's.
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

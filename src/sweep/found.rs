//! What the walks of a sweep found together, and which of it is believed.

use std::collections::{HashMap, HashSet};

use crate::judge::{Surroundings, Suspicion, Verdict, believe};
use crate::oci::Repository;
use crate::registry::Registry;
use crate::report::{Cause, Failure, FailureKey, Kind, ObjectCounts, Unverified};
use crate::walk::{Inquiry, Suspected, Tally, Walked};

/// What the walks of a sweep found together.
#[derive(Default)]
pub(super) struct Found {
    pub images: u64,
    pub objects: ObjectCounts,
    pub walked: HashSet<Repository>,
    pub suspected: Vec<Suspected>,
    pub failures: Vec<Failure>,
    pub unverified: Vec<Unverified>,
    pub disproved: HashSet<FailureKey>,
    pub tally: Tally,
    /// Repositories that the catalog does not name although something in them is known to be bad.
    pub unlisted: HashSet<Repository>,
    /// By whether it is a manifest.
    pub witnesses: HashMap<bool, (Repository, Inquiry)>,
    pub answered: bool,
}

impl Found {
    pub fn add(&mut self, walked: Walked) {
        let Walked { repository, answered, images, objects, suspected, unverified, disproved, tally, witnesses } =
            walked;
        if images > 0 && self.unlisted.contains(&repository) {
            self.unverified.push(Unverified {
                repository: None,
                reference: Unverified::CATALOG.to_string(),
                kind: None,
                cause: Cause::Protocol,
                images: Vec::new(),
                detail: format!("the catalog does not name {repository}, which is served: it is not everything"),
            });
        }
        self.images += images;
        for kind in Kind::ALL {
            *self.objects.get_mut(kind) += objects.get(kind);
        }
        for witness in witnesses {
            self.witnesses.insert(matches!(witness, Inquiry::Manifest(..)), (repository.clone(), witness));
        }
        self.walked.insert(repository);
        self.suspected.extend(suspected);
        self.unverified.extend(unverified);
        self.disproved.extend(disproved);
        self.tally.add(&tally);
        self.answered |= answered;
    }

    /// Decides which suspicions are believed, now that everything has been seen.
    pub async fn settle<R: Registry>(&mut self, registry: &R) {
        let mut alike: HashMap<(Option<Kind>, Suspicion), u64> = HashMap::new();
        for suspected in &self.suspected {
            *alike.entry(counted_as(suspected.failure.kind, suspected.suspicion)).or_default() += 1;
        }
        let mut neighbour_is_served = HashMap::new();
        for suspected in std::mem::take(&mut self.suspected) {
            let (kind, suspicion) = (suspected.failure.kind, suspected.suspicion);
            let surroundings = Surroundings {
                served: self.tally.served.get(kind),
                neighbours: served_beside(&self.tally, kind),
                suspected: alike.get(&counted_as(kind, suspicion)).copied().unwrap_or_default(),
                answers: self.tally.answers,
                contradicted: self.tally.contradicted.get(&suspicion).copied().unwrap_or_default(),
            };
            let mut believed = believe(suspicion, suspected.answers, &surroundings);
            if suspicion.needs_neighbour() && believed.is_ok() {
                let is_manifest = matches!(kind, Kind::Manifest | Kind::Child);
                if let std::collections::hash_map::Entry::Vacant(entry) = neighbour_is_served.entry(is_manifest) {
                    entry.insert(is_served(registry, self.witnesses.get(&is_manifest)).await);
                }
                if neighbour_is_served.get(&is_manifest) != Some(&true) {
                    believed = Err(
                        "nothing shows that the registry itself said so, and no other object is known to be served",
                    );
                }
            }
            match believed {
                Ok(()) => self.failures.push(suspected.failure),
                Err(why) => self.unverified.push(suspected.unverified(suspicion.cause(), why)),
            }
        }
    }
}

/// What is counted as the same suspicion. Whatever refuses blobs, and in whatever ways, configs and layers have in common.
fn counted_as(kind: Kind, suspicion: Suspicion) -> (Option<Kind>, Suspicion) {
    match suspicion {
        Suspicion::Refused(_) => (None, Suspicion::Refused(Cause::Protocol)),
        _ => (Some(kind), suspicion),
    }
}

/// Objects that were served at the endpoint of a kind.
fn served_beside(tally: &Tally, kind: Kind) -> u64 {
    let is_blob = |kind: Kind| matches!(kind, Kind::Config | Kind::Layer);
    Kind::ALL.into_iter().filter(|&other| is_blob(other) == is_blob(kind)).map(|other| tally.served.get(other)).sum()
}

/// Asks once more for an object that was served in this sweep.
async fn is_served<R: Registry>(registry: &R, witness: Option<&(Repository, Inquiry)>) -> bool {
    match witness {
        None => false,
        Some((repository, inquiry)) => {
            matches!(inquiry.ask(registry, repository, true).await.verdict, Verdict::Sound(_))
        }
    }
}

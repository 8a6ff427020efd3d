//! The findings of all walks of a sweep, and the decision which suspects are broken.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::check::contradictions::Contradiction;
use crate::check::judge::{Baseline, Suspicion, Verdict, accept};
use crate::check::walk::{Inquiry, Suspected, Tally, Walked};
use crate::config::Target;
use crate::oci::{Image, Repository};
use crate::registry::Registry;
use crate::report::{Cause, Failure, FailureKey, Kind, ObjectCounts, Unverified, counted};

/// The findings of all walks of a sweep.
#[derive(Default)]
pub(super) struct Findings {
    pub images: u64,
    pub objects: ObjectCounts,
    /// Blobs that only their length proves, although more was to be read.
    pub length_only: u64,
    pub walked: HashSet<Repository>,
    /// Images of open failures that were not walked.
    pub unwalked: HashSet<Image>,
    pub suspected: Vec<Suspected>,
    pub failures: Vec<Failure>,
    pub unverified: Vec<Unverified>,
    pub disproved: HashSet<FailureKey>,
    pub tally: Tally,
    /// Repositories with open failures that the catalog does not name.
    pub unlisted: HashSet<Repository>,
    /// By whether it is a manifest.
    pub canaries: HashMap<bool, (Repository, Inquiry)>,
    pub answered: bool,
    /// Open failures that are resolved if the tag filter excludes their images on purpose.
    pub filtered_out: HashSet<FailureKey>,
    /// Tag lists that were read, to their end or not.
    pub tag_lists: u64,
    /// Which patterns of `tags.include` match a tag in one of them, by their place.
    pub matched_tags: BTreeSet<usize>,
    /// True if a repository's tag list was not read to its end.
    pub are_tags_unread: bool,
    pub contradicted: Vec<Contradiction>,
    /// Objects that had contradictory responses in an earlier sweep, and none in this one.
    pub cleared: Vec<Image>,
}

impl Findings {
    pub fn add(&mut self, walked: Walked) {
        let Walked {
            repository, images, objects, unwalked, filtered_out, list_was_read, matched_tags, canaries, ..
        } = walked;
        if images > 0 && self.unlisted.contains(&repository) {
            let detail = format!("the catalog does not name {repository}, which is served: it is not complete");
            self.unverified.push(Unverified::catalog(Cause::Incomplete, detail));
        }
        self.unwalked.extend(unwalked);
        self.filtered_out.extend(filtered_out);
        self.are_tags_unread |= !list_was_read;
        self.tag_lists += u64::from(matched_tags.is_some());
        self.matched_tags.extend(matched_tags.into_iter().flatten());
        self.images += images;
        for kind in Kind::ALL {
            *self.objects.get_mut(kind) += objects.get(kind);
        }
        for canary in canaries {
            self.canaries.insert(matches!(canary, Inquiry::Manifest { .. }), (repository.clone(), canary));
        }
        self.walked.insert(repository);
        self.suspected.extend(walked.suspected);
        self.unverified.extend(walked.unverified);
        self.disproved.extend(walked.resolved);
        self.tally.add(&walked.tally);
        self.answered |= walked.answered;
        self.contradicted.extend(walked.contradicted);
        self.cleared.extend(walked.cleared);
    }

    /// Reports each pattern of `tags.include` that matches no tag. It is judged by tag lists that were all read to their end,
    /// in all repositories; until then, failures of images that the filter leaves out stay.
    pub fn judge_tag_filter(&mut self, target: &Target, are_all_repositories: bool) {
        let unmatched: Vec<&str> = target.tags.unmatched(&self.matched_tags).collect();
        // A pattern without a tag here may have one in another shard.
        if unmatched.is_empty() || !target.is_all_in_its_shard() {
            self.disproved.extend(std::mem::take(&mut self.filtered_out));
            return;
        }
        if !are_all_repositories || self.are_tags_unread || self.tag_lists == 0 {
            return;
        }
        self.unverified.extend(unmatched.into_iter().map(|pattern| {
            let setting = "tags.include";
            let detail = format!(
                "{setting}: the pattern \"{pattern}\" matches no tag in {}; patterns are regular \
                 expressions that match the complete tag, such as \"v[0-9]+.*\"",
                counted(self.tag_lists, "repository", "repositories")
            );
            Unverified::filter(setting, pattern, detail)
        }));
    }

    /// Decides which suspects are broken, once all walks have ended.
    pub async fn settle<R: Registry>(&mut self, registry: &R) {
        let mut alike: HashMap<(Option<Kind>, Suspicion), u64> = HashMap::new();
        for suspected in &self.suspected {
            *alike.entry(counted_as(suspected.failure.kind, suspected.suspicion)).or_default() += 1;
        }
        let mut neighbour_is_served = HashMap::new();
        for suspected in std::mem::take(&mut self.suspected) {
            let (kind, suspicion) = (suspected.failure.kind, suspected.suspicion);
            let baseline = Baseline {
                served: self.tally.served.get(kind),
                neighbours: served_beside(&self.tally, kind),
                suspected: alike.get(&counted_as(kind, suspicion)).copied().unwrap_or_default(),
                blobs_of_repository: suspected.blobs_served,
                answers: self.tally.answers,
                contradicted: self.tally.contradicted.get(&suspicion).copied().unwrap_or_default(),
            };
            let mut accepted = accept(suspicion, suspected.answers, &baseline);
            let is_alone = suspicion.needs_neighbour() || suspected.mixed.is_some();
            if is_alone && accepted.is_ok() {
                let is_manifest = matches!(kind, Kind::Manifest | Kind::Child);
                if let std::collections::hash_map::Entry::Vacant(entry) = neighbour_is_served.entry(is_manifest) {
                    entry.insert(is_served(registry, self.canaries.get(&is_manifest)).await);
                }
                if neighbour_is_served.get(&is_manifest) != Some(&true) {
                    accepted = Err(
                        "nothing shows that the registry itself said so, and no other object is known to be served",
                    );
                }
            }
            // A neighbour is served now, so no outage explains another bad response.
            if let (Ok(()), Some(inquiry)) = (&accepted, &suspected.mixed)
                && !is_bad(registry, &suspected.failure.repository, inquiry).await
            {
                accepted = Err("the registry was in trouble, and the object was not found bad when that had passed");
            }
            match accepted {
                Ok(()) => self.failures.push(suspected.failure),
                Err(why) => self.unverified.push(suspected.unverified(suspicion.cause(), why)),
            }
        }
    }
}

/// The key under which equal suspicions are counted. Refusals count together for configs and layers, whatever their form.
fn counted_as(kind: Kind, suspicion: Suspicion) -> (Option<Kind>, Suspicion) {
    match suspicion {
        Suspicion::Refused(_) => (None, Suspicion::Refused(Cause::Protocol)),
        _ => (Some(kind), suspicion),
    }
}

/// Intact objects at the endpoint of a kind.
fn served_beside(tally: &Tally, kind: Kind) -> u64 {
    let is_blob = |kind: Kind| matches!(kind, Kind::Config | Kind::Layer);
    Kind::ALL.into_iter().filter(|&other| is_blob(other) == is_blob(kind)).map(|other| tally.served.get(other)).sum()
}

/// Requests an object again that was intact in this sweep.
async fn is_served<R: Registry>(registry: &R, canary: Option<&(Repository, Inquiry)>) -> bool {
    match canary {
        None => false,
        Some((repository, inquiry)) => {
            matches!(inquiry.ask(registry, repository, true).await.verdict, Verdict::Intact(_))
        }
    }
}

/// Requests a suspect again.
async fn is_bad<R: Registry>(registry: &R, repository: &Repository, inquiry: &Inquiry) -> bool {
    matches!(inquiry.ask(registry, repository, true).await.verdict, Verdict::Suspect { .. })
}

//! One pass over everything in a registry: the catalog, then a walk of each repository, then what it all proves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{ImageSelector, Mode, Target};
use crate::judge::{Surroundings, Suspicion, Verdict, believe};
use crate::manifests::Manifests;
use crate::oci::{Image, Reference, Repository};
use crate::progress::Progress;
use crate::proofs::Proofs;
use crate::registry::{Deadline, List, ListEnd, Registry, Traffic, Trouble};
use crate::report::{
    Cause, Changes, Failure, FailureKey, Kind, ObjectCounts, Outcome, Reason, Report, Unverified, carry_over,
    count_images,
};
use crate::walk::{Assignment, Hashing, Inquiry, Observer, Roots, Scope, Suspected, Tally, Walked, walk};

/// Repositories that are walked at once. More than one, so that small ones keep the registry busy; few, since each holds
/// its graph in memory.
const WALKED_AT_ONCE: usize = 8;
/// Characters that are told of a name that no repository may have.
const SHOWN_OF_A_NAME: usize = 300;

/// What a sweep needs beside the registry.
pub struct Job<'a> {
    /// What is asked, and how closely.
    pub target: &'a Target,
    /// Which blobs were proved when.
    pub proofs: Arc<Proofs>,
    /// Where the manifests go that are hashed.
    pub manifests: Arc<Manifests>,
    /// Who hashes blobs beside the sweep; `None`: what is to be hashed is hashed in it.
    pub hashing: Option<Arc<Hashing>>,
    /// Where the registry's client counts.
    pub traffic: Arc<Traffic>,
    /// Failures known before.
    pub known: &'a [Failure],
    /// To be kept up to date.
    pub progress: Arc<Progress>,
}

/// Sweeps a registry once.
pub async fn sweep<R: Registry>(registry: Arc<R>, job: Job<'_>) -> (Report, Changes) {
    sweep_watched(registry, job, None).await
}

/// Sweeps a registry once, and tells an observer of every question.
pub async fn sweep_watched<R: Registry>(
    registry: Arc<R>,
    job: Job<'_>,
    observer: Option<Arc<dyn Observer>>,
) -> (Report, Changes) {
    let Job { target, proofs, manifests, hashing, traffic, known, progress } = job;
    let known = of_its_shard(target, known);
    let known = known.as_slice();
    let (started_at, began) = (SystemTime::now(), Instant::now());
    let (requests, received) = (traffic.all_requests(), traffic.received_bytes());
    let registry = Arc::new(Deadline::new(registry, target.sweep_timeout.map(|limit| began + limit)));

    let mut found = Found::default();
    let mut selection = select(&*registry, target, &mut found).await;
    let repositories = selection.repositories.len() as u64;
    if selection.is_reached && target.mode == Mode::Authoritative {
        // What is known to be bad is looked at also if a catalog that was cut does not name it.
        for failure in known.iter().filter(|failure| target.admits(&failure.repository)) {
            selection.repositories.entry(failure.repository.clone()).or_insert_with(|| {
                found.unlisted.insert(failure.repository.clone());
                Roots { listed: true, ..Roots::default() }
            });
        }
    }
    proofs.begin();
    progress.begin(selection.repositories.len() as u64);
    match target.mode {
        Mode::Authoritative => {
            let scope = Arc::new(Scope {
                confirm: target.confirm,
                limits: target.limits,
                tags: target.tags.clone(),
                platforms: target.platforms.clone(),
                proofs: Arc::clone(&proofs),
                manifests: Arc::clone(&manifests),
                hashing: hashing.filter(|_| proofs.hash_in_turn()),
                observer,
            });
            walk_all(&registry, &selection, known, &scope, &progress, &mut found).await;
        }
        Mode::PullThrough => ask_named(&*registry, target, &selection, &mut found).await,
    }
    found.settle(&*registry).await;
    if selection.is_complete {
        let absent = known.iter().map(Failure::key).filter(|key| !selection.repositories.contains_key(&key.repository));
        found.disproved.extend(absent);
        manifests.retain(|repository| selection.repositories.contains_key(repository));
    }
    proofs.forget_unasked(SystemTime::now());

    let (failures, changes) = carry_over(known, found.failures, &found.disproved);
    // A shard to which none of the configured images fell has nothing to ask, and nothing that it could not judge.
    let is_idle = selection.is_complete && repositories == 0;
    let is_reached = selection.is_reached || found.answered || is_idle;
    let is_read = selection.is_complete && is_reached;
    let report = Report {
        registry: target.name.clone(),
        url: target.url_text(),
        started_at,
        duration_seconds: began.elapsed().as_secs_f64(),
        outcome: match () {
            () if !is_read => Outcome::Failed,
            () if !found.unverified.is_empty() => Outcome::Partial,
            () => Outcome::Complete,
        },
        catalog_accessible: is_read,
        catalog_reached: is_reached,
        repositories,
        images: count_images(
            found.images,
            |repository| found.walked.contains(repository),
            &failures,
            &found.unverified,
        ),
        objects: found.objects,
        requests: traffic.all_requests() - requests,
        received_bytes: traffic.received_bytes() - received,
        failures,
        unverified: found.unverified,
    };
    (report, changes)
}

/// The report of a sweep that could not be made: nothing is known but what was known before.
pub fn given_up(target: &Target, known: &[Failure], started_at: SystemTime, why: &str) -> Report {
    let known = of_its_shard(target, known);
    let unverified = vec![Unverified {
        repository: None,
        reference: Unverified::CATALOG.to_string(),
        kind: None,
        cause: Cause::Protocol,
        images: Vec::new(),
        detail: why.to_string(),
    }];
    Report {
        registry: target.name.clone(),
        url: target.url_text(),
        started_at,
        duration_seconds: started_at.elapsed().unwrap_or_default().as_secs_f64(),
        outcome: Outcome::Failed,
        catalog_accessible: false,
        catalog_reached: false,
        repositories: 0,
        images: count_images(0, |_| false, &known, &unverified),
        objects: ObjectCounts::default(),
        requests: 0,
        received_bytes: 0,
        failures: known,
        unverified,
    }
}

/// What is known to be bad in repositories of another shard is for that one to tell.
fn of_its_shard(target: &Target, known: &[Failure]) -> Vec<Failure> {
    known.iter().filter(|failure| target.is_of_its_shard(&failure.repository)).cloned().collect()
}

/// What a sweep walks.
struct Selection {
    repositories: BTreeMap<Repository, Roots>,
    /// True if these are all that there are.
    is_complete: bool,
    /// True if the catalog was asked and at least a part of it came.
    is_reached: bool,
}

/// Reads the catalog, or takes what the configuration names instead.
async fn select<R: Registry>(registry: &R, target: &Target, found: &mut Found) -> Selection {
    if !target.images.is_empty() && target.mode == Mode::Authoritative {
        let mut repositories: BTreeMap<Repository, Roots> = BTreeMap::new();
        for selector in &target.images {
            match selector {
                ImageSelector::Repository(repository) => {
                    repositories.entry(repository.clone()).or_default().listed = true;
                }
                ImageSelector::Image(Image { repository, reference }) => {
                    repositories.entry(repository.clone()).or_default().named.insert(reference.clone());
                }
            }
        }
        repositories.retain(|repository, _| target.is_of_its_shard(repository));
        return Selection { repositories, is_complete: true, is_reached: false };
    }
    let listing = registry.list(&List::Catalog).await;
    let is_complete = listing.end == ListEnd::Complete;
    let is_reached = is_complete || !listing.names.is_empty();
    let trouble = match listing.end {
        ListEnd::Complete => None,
        ListEnd::Absent => Some(Trouble::new(Cause::Protocol, "the registry has no catalog")),
        ListEnd::Incomplete(trouble) => Some(trouble),
    };
    found.unverified.extend(trouble.map(|trouble| Unverified {
        repository: None,
        reference: Unverified::CATALOG.to_string(),
        kind: None,
        cause: trouble.cause,
        images: Vec::new(),
        detail: format!("the catalog could not be read to its end: {}", trouble.detail),
    }));
    let mut repositories = BTreeMap::new();
    for name in listing.names.into_iter().filter(|name| target.admits(name)) {
        match name.parse() {
            Ok(repository) => drop(repositories.insert(repository, Roots { listed: true, ..Roots::default() })),
            Err(error) => {
                // Only legal names have an end; this one may be as long as a page.
                let shown: String = name.chars().take(SHOWN_OF_A_NAME).collect();
                found.unverified.push(Unverified {
                    repository: Some(shown.clone()),
                    reference: shown,
                    kind: None,
                    cause: Cause::Protocol,
                    images: Vec::new(),
                    detail: format!("the catalog names it, but {error}"),
                });
            }
        }
    }
    Selection { repositories, is_complete, is_reached }
}

/// Walks the repositories, a few at a time. A walk that panics ends as an unverified, not as a repository without findings.
async fn walk_all<R: Registry>(
    registry: &Arc<R>,
    selection: &Selection,
    known: &[Failure],
    scope: &Arc<Scope>,
    progress: &Arc<Progress>,
    found: &mut Found,
) {
    let mut known_in: HashMap<&Repository, Vec<Failure>> = HashMap::new();
    for failure in known {
        known_in.entry(&failure.repository).or_default().push(failure.clone());
    }
    let mut waiting = selection.repositories.iter();
    let mut walks = JoinSet::new();
    let mut names = HashMap::new();
    loop {
        while walks.len() < WALKED_AT_ONCE
            && let Some((repository, roots)) = waiting.next()
        {
            let assignment = Assignment {
                repository: repository.clone(),
                roots: roots.clone(),
                known: known_in.remove(repository).unwrap_or_default(),
            };
            let counted = Arc::clone(progress);
            let on_judged = move || counted.object();
            let task = walks.spawn(walk(Arc::clone(registry), assignment, Arc::clone(scope), on_judged));
            names.insert(task.id(), repository);
        }
        match walks.join_next_with_id().await {
            None => return,
            Some(Ok((id, walked))) => {
                names.remove(&id);
                found.add(walked);
            }
            Some(Err(error)) => {
                let repository = names.remove(&error.id()).map(ToString::to_string);
                tracing::error!(repository, %error, "the walk of a repository failed; this is a defect of the probe");
                found.unverified.push(Unverified {
                    reference: repository.clone().unwrap_or_default(),
                    repository,
                    kind: None,
                    cause: Cause::Protocol,
                    images: Vec::new(),
                    detail: "the probe itself failed on this repository; its log says where".to_string(),
                });
            }
        }
        progress.repository();
    }
}

/// What a cache may be asked: the tags that the configuration names, by HEAD alone. One of a repository that it holds
/// nothing of would be downloaded, and so would a digest that it does not hold.
async fn ask_named<R: Registry>(registry: &R, target: &Target, selection: &Selection, found: &mut Found) {
    for selector in &target.images {
        let ImageSelector::Image(image) = selector else { continue };
        let is_held = selection.repositories.contains_key(&image.repository);
        if !is_held || matches!(image.reference, Reference::Digest(_)) {
            continue;
        }
        let judged = Inquiry::Resolution(image.reference.clone()).head(registry, &image.repository).await;
        match judged {
            Verdict::Sound(_) => {
                found.walked.insert(image.repository.clone());
                found.images += 1;
                found.objects.manifest += 1;
            }
            Verdict::Suspect { suspicion, .. } if suspicion.reason() == Reason::Missing => {}
            Verdict::Suspect { suspicion, detail } => found.unverified.push(unasked(image, suspicion.cause(), detail)),
            Verdict::Unjudged { cause, detail } => found.unverified.push(unasked(image, cause, detail)),
        }
    }
}

fn unasked(image: &Image, cause: Cause, detail: String) -> Unverified {
    Unverified {
        repository: Some(image.repository.to_string()),
        reference: image.reference.to_string(),
        kind: Some(Kind::Manifest),
        cause,
        images: vec![image.clone()],
        detail,
    }
}

/// What the walks of a sweep found together.
#[derive(Default)]
struct Found {
    images: u64,
    objects: ObjectCounts,
    walked: HashSet<Repository>,
    suspected: Vec<Suspected>,
    failures: Vec<Failure>,
    unverified: Vec<Unverified>,
    disproved: HashSet<FailureKey>,
    tally: Tally,
    /// Repositories that the catalog does not name although something in them is known to be bad.
    unlisted: HashSet<Repository>,
    /// By whether it is a manifest.
    witnesses: HashMap<bool, (Repository, Inquiry)>,
    answered: bool,
}

impl Found {
    fn add(&mut self, walked: Walked) {
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
    async fn settle<R: Registry>(&mut self, registry: &R) {
        let mut alike: HashMap<(Kind, Suspicion), u64> = HashMap::new();
        for suspected in &self.suspected {
            *alike.entry((suspected.failure.kind, suspected.suspicion)).or_default() += 1;
        }
        let mut neighbour_is_served = HashMap::new();
        for suspected in std::mem::take(&mut self.suspected) {
            let (kind, suspicion) = (suspected.failure.kind, suspected.suspicion);
            let surroundings = Surroundings {
                served: self.tally.served.get(kind),
                suspected: alike.get(&(kind, suspicion)).copied().unwrap_or_default(),
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

/// Asks once more for an object that was served in this sweep.
async fn is_served<R: Registry>(registry: &R, witness: Option<&(Repository, Inquiry)>) -> bool {
    match witness {
        None => false,
        Some((repository, inquiry)) => {
            matches!(inquiry.ask(registry, repository, true).await.verdict, Verdict::Sound(_))
        }
    }
}

//! One sweep of a registry: reads the catalog, walks each repository, and decides about the suspects.

mod cache;
mod findings;
mod selection;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::contradictions::Contradictions;
use crate::check::evidence::EvidenceSchedule;
use crate::check::manifest_cache::ManifestCache;
use crate::check::progress::Progress;
use crate::check::walk::{Assignment, BlobHasher, Observer, Scope, walk};
use crate::config::{Mode, Target};
use crate::oci::{Image, Repository};
use crate::registry::{Deadline, Registry, Traffic};
use crate::report::{
    Cause, Changes, Failure, KnownCatalog, ObjectCounts, Outcome, Report, Unverified, carry_over, count_images,
};

use findings::Findings;
use selection::{Selection, select};

/// Repositories that are walked at once: several, so that small ones keep the registry busy; few, because each graph is in
/// memory.
const WALKED_AT_ONCE: usize = 8;

/// The input of a sweep, besides the registry.
pub struct Job<'a> {
    /// The registry's settings.
    pub target: &'a Target,
    /// Which blobs were proved when.
    pub evidence_schedule: Arc<EvidenceSchedule>,
    /// Where the manifests go that are hashed.
    pub manifests: Arc<ManifestCache>,
    /// Hashes blobs in the background; `None`: the sweep hashes them itself.
    pub blob_hasher: Option<Arc<BlobHasher>>,
    /// Where the registry's client counts.
    pub traffic: Arc<Traffic>,
    /// Failures known before.
    pub known: &'a [Failure],
    /// The catalog as earlier sweeps read it.
    pub catalog: &'a KnownCatalog,
    /// What contradicted itself before.
    pub contradictions: Arc<Contradictions>,
    /// To be kept up to date.
    pub progress: Arc<Progress>,
}

/// Sweeps a registry once.
pub async fn sweep<R: Registry + 'static>(registry: Arc<R>, job: Job<'_>) -> (Report, Changes) {
    sweep_watched(registry, job, None).await
}

/// Sweeps a registry once, and passes each result to an observer.
pub async fn sweep_watched<R: Registry + 'static>(
    registry: Arc<R>,
    job: Job<'_>,
    observer: Option<Arc<dyn Observer>>,
) -> (Report, Changes) {
    let Job { target, evidence_schedule, manifests, blob_hasher, traffic, known, catalog, contradictions, progress } =
        job;
    let known = of_its_shard(target, known);
    let known = known.as_slice();
    let began = SweepStart::now(&traffic);
    let deadline = target.sweep_timeout.map(|limit| began.instant + limit);
    let registry = Arc::new(Deadline::new(registry, deadline));

    let mut found = Findings::default();
    let mut selection = select(&*registry, target, known, catalog, &mut found).await;
    selection.is_cut_short = selection.is_reached && deadline.is_some_and(|deadline| deadline <= Instant::now());
    let repositories = selection.repositories.len() as u64;
    selection.add_unlisted(target, known, &mut found);
    evidence_schedule.begin();
    progress.begin(selection.repositories.len() as u64);
    match target.mode {
        Mode::Authoritative => {
            let scope = Arc::new(Scope {
                confirm: target.confirm,
                limits: target.limits,
                tags: target.tags.clone(),
                platforms: target.platforms.clone(),
                evidence_schedule: Arc::clone(&evidence_schedule),
                manifests: Arc::clone(&manifests),
                blob_hasher: blob_hasher.clone().filter(|_| evidence_schedule.is_content_periodic()),
                contradictions: Arc::clone(&contradictions),
                observer,
            });
            walk_all(&registry, &selection, known, &scope, &progress, &mut found).await;
            found.judge_tag_filter(target, selection.is_complete && !selection.is_filter_wrong);
        }
        Mode::PullThrough => cache::check_named(&*registry, target, &selection, &mut found).await,
    }
    found.settle(&*registry).await;
    resolve_absent(&selection, known, (&manifests, &contradictions), &mut found);
    found.contradicted.extend(blob_hasher.iter().flat_map(|blob_hasher| blob_hasher.take_contradicted()));
    contradictions.swept(&target.name, &found.contradicted, &found.cleared);
    evidence_schedule.evict_unused(SystemTime::now());
    found.length_only = evidence_schedule.length_only();
    began.report(target, &traffic, known, repositories, selection, found)
}

/// Resolves the open failures of deleted repositories, unless the catalog may not resolve any failure.
fn resolve_absent(
    selection: &Selection,
    known: &[Failure],
    (manifests, contradictions): (&ManifestCache, &Contradictions),
    found: &mut Findings,
) {
    if !selection.may_resolve {
        found.disproved.clear();
    } else if selection.is_complete {
        let exists = |repository: &Repository| {
            selection.repositories.contains_key(repository) || selection.filtered_out.contains(repository)
        };
        found.disproved.extend(known.iter().map(Failure::key).filter(|key| !exists(&key.repository)));
        manifests.retain(exists);
        contradictions.retain(exists);
    }
}

/// Times and counters at the start of a sweep.
struct SweepStart {
    at: SystemTime,
    instant: Instant,
    requests: u64,
    received_bytes: u64,
}

impl SweepStart {
    fn now(traffic: &Traffic) -> Self {
        Self {
            at: SystemTime::now(),
            instant: Instant::now(),
            requests: traffic.all_requests(),
            received_bytes: traffic.received_bytes(),
        }
    }

    /// The report of the sweep, which has ended.
    fn report(
        &self,
        target: &Target,
        traffic: &Traffic,
        known: &[Failure],
        repositories: u64,
        selection: Selection,
        found: Findings,
    ) -> (Report, Changes) {
        let (failures, changes) = carry_over(known, found.failures, &found.disproved);
        // A shard to which none of the configured images fell has nothing to ask, and nothing that it could not judge.
        let is_idle = selection.is_complete && repositories == 0;
        let is_reached = selection.is_reached || found.answered || is_idle;
        let is_read = selection.is_complete && is_reached;
        let was_walked = |image: &Image| found.walked.contains(&image.repository) && !found.unwalked.contains(image);
        let report = Report {
            registry: target.name.clone(),
            url: target.url_text(),
            started_at: self.at,
            duration_seconds: self.instant.elapsed().as_secs_f64(),
            outcome: if !is_read && !selection.is_cut_short {
                Outcome::Failed
            } else if !found.unverified.is_empty() {
                Outcome::Partial
            } else {
                Outcome::Complete
            },
            catalog_accessible: is_read,
            catalog_reached: is_reached,
            catalog: selection.catalog,
            empty: is_reached && found.images == 0,
            repositories,
            images: count_images(found.images, was_walked, &failures, &found.unverified),
            objects: found.objects,
            length_only: found.length_only,
            requests: traffic.all_requests() - self.requests,
            received_bytes: traffic.received_bytes() - self.received_bytes,
            failures,
            unverified: found.unverified,
        };
        (report, changes)
    }
}

/// The report of a sweep that could not run. It keeps the open failures.
pub fn given_up(
    target: &Target,
    known: &[Failure],
    catalog: &KnownCatalog,
    started_at: SystemTime,
    why: &str,
) -> Report {
    let known = of_its_shard(target, known);
    let unverified = vec![Unverified::catalog(Cause::Protocol, why.to_string())];
    Report {
        registry: target.name.clone(),
        url: target.url_text(),
        started_at,
        duration_seconds: started_at.elapsed().unwrap_or_default().as_secs_f64(),
        outcome: Outcome::Failed,
        catalog_accessible: false,
        catalog_reached: false,
        catalog: catalog.clone(),
        empty: false,
        repositories: 0,
        images: count_images(0, |_| false, &known, &unverified),
        objects: ObjectCounts::default(),
        length_only: 0,
        requests: 0,
        received_bytes: 0,
        failures: known,
        unverified,
    }
}

/// Keeps only the failures in repositories of this shard; the other shards report theirs.
fn of_its_shard(target: &Target, known: &[Failure]) -> Vec<Failure> {
    known.iter().filter(|failure| target.is_of_its_shard(&failure.repository)).cloned().collect()
}

/// Walks the repositories, a few at a time. A walk that panics makes its repository unverified.
async fn walk_all<R: Registry + 'static>(
    registry: &Arc<R>,
    selection: &Selection,
    known: &[Failure],
    scope: &Arc<Scope>,
    progress: &Arc<Progress>,
    found: &mut Findings,
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
            let on_checked = move || counted.object();
            let task = walks.spawn(walk(Arc::clone(registry), assignment, Arc::clone(scope), on_checked));
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
                found.are_tags_unread = true;
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

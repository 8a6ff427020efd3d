//! What cannot have changed is not fetched again, and nothing bad is missed or cleared for that.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use registry_integrity_probe::check::evidence::EvidenceSchedule;
use registry_integrity_probe::check::manifest_cache::{Budget, ManifestCache};
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::{ByteEvidence, Confirm, Target};
use registry_integrity_probe::demo::fault::{answers, at, on, without_digest};
use registry_integrity_probe::demo::{Endpoint, Headers, Image, Registry};
use registry_integrity_probe::registry::{HttpRegistry, Traffic};
use registry_integrity_probe::report::{Failure, Outcome, Reason, Report};

const DAY: Duration = Duration::from_secs(24 * 3600);
const QUARTER: Duration = Duration::from_secs(15 * 60);

/// Sweeps as `serve` makes them, with what is remembered between them.
struct Service {
    target: Target,
    manifests: Arc<ManifestCache>,
    proofs: Arc<EvidenceSchedule>,
    known: Vec<Failure>,
}

impl Service {
    fn of(registry: &Registry, byte: ByteEvidence, content: Option<Duration>) -> Self {
        let mut target = Target::with_defaults(registry.url().parse().unwrap());
        target.confirm = Confirm { attempts: 2, delay: Duration::from_millis(10) };
        (target.evidence.byte, target.evidence.content) = (byte, content);
        let proofs = Arc::new(EvidenceSchedule::recurring(&target.evidence, QUARTER, SystemTime::now()));
        Self { target, manifests: Arc::new(ManifestCache::new(Arc::new(Budget::default()))), proofs, known: Vec::new() }
    }

    async fn sweep(&mut self) -> Report {
        let traffic = Arc::new(Traffic::default());
        let client = Arc::new(HttpRegistry::new(&self.target, Arc::clone(&traffic)).unwrap());
        let job = Job {
            target: &self.target,
            evidence_schedule: Arc::clone(&self.proofs),
            manifests: Arc::clone(&self.manifests),
            blob_hasher: None,
            traffic,
            known: &self.known,
            catalog: &Default::default(),
            contradictions: Arc::default(),
            progress: Arc::default(),
        };
        let (report, _) = sweep(client, job).await;
        self.known.clone_from(&report.failures);
        report
    }
}

/// How many manifests were fetched since the log was cleared.
fn fetched(registry: &Registry) -> usize {
    let is_get = |method: &str| method == "GET";
    let requests = registry.requests();
    requests.iter().filter(|it| it.endpoint == Endpoint::Manifest && is_get(&it.method)).count()
}

async fn filled() -> (Registry, Image) {
    let registry = Registry::start().await.unwrap();
    let image = Image::index().named("x").platforms(["linux/amd64", "linux/arm64"]).with_attestation();
    registry.push("app:1", &image);
    (registry, image)
}

#[tokio::test]
async fn a_known_graph_costs_only_heads() {
    let (registry, image) = filled().await;
    let mut service = Service::of(&registry, ByteEvidence::Within(DAY), None);
    let first = service.sweep().await;
    assert_eq!((first.outcome, fetched(&registry)), (Outcome::Complete, 5));
    registry.clear_requests();
    let second = service.sweep().await;
    assert_eq!((second.outcome, second.objects, fetched(&registry)), (Outcome::Complete, first.objects, 0));
    assert_eq!(second.requests, first.requests);
    let gets: Vec<_> = registry.requests().into_iter().filter(|it| it.method == "GET").map(|it| it.path).collect();
    assert_eq!(
        gets,
        ["/v2/_catalog", "/v2/_catalog", "/v2/app/tags/list"],
        "the second request proves the end of the catalog"
    );

    registry.remove_manifest("app", &image.child("linux/arm64").unwrap().digest);
    let third = service.sweep().await;
    let reasons: Vec<Reason> = third.failures.iter().map(|failure| failure.reason).collect();
    assert_eq!(reasons, [Reason::Missing]);
}

#[tokio::test]
async fn manifests_are_hashed_in_every_sweep_where_no_period_says_otherwise() {
    for byte in [ByteEvidence::Off, ByteEvidence::Within(Duration::ZERO), ByteEvidence::Within(QUARTER)] {
        let (registry, _) = filled().await;
        let mut service = Service::of(&registry, byte, None);
        service.sweep().await;
        registry.clear_requests();
        service.sweep().await;
        assert_eq!(fetched(&registry), 5, "{byte:?}");
    }
    let (registry, _) = filled().await;
    let mut service = Service::of(&registry, ByteEvidence::Within(DAY), Some(Duration::ZERO));
    service.sweep().await;
    registry.clear_requests();
    service.sweep().await;
    assert_eq!(fetched(&registry), 5, "all contents are wanted in every sweep");
}

#[tokio::test]
async fn headers_that_differ_are_looked_into() {
    let (registry, image) = filled().await;
    let mut service = Service::of(&registry, ByteEvidence::Within(DAY), None);
    service.sweep().await;
    let root = image.root();
    let mut longer = root.bytes.to_vec();
    longer.push(b'\n');
    registry.replace("app", &root.digest, longer, Headers::Follow);
    let report = service.sweep().await;
    let found: Vec<Reason> = report.failures.iter().map(|it| it.reason).collect();
    assert_eq!(found, [Reason::DigestMismatch]);

    let (registry, _) = filled().await;
    let mut service = Service::of(&registry, ByteEvidence::Within(DAY), None);
    service.sweep().await;
    registry.fault(at(Endpoint::Manifest).head_only(), without_digest());
    registry.clear_requests();
    let report = service.sweep().await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert!(fetched(&registry) >= 5, "what names no digest proves nothing");
}

#[tokio::test]
async fn only_bytes_clear_a_manifest_that_was_found_altered() {
    let (registry, image) = filled().await;
    let mut service = Service::of(&registry, ByteEvidence::Within(DAY), None);
    service.sweep().await;
    // As on a disk that lies: HEAD goes on as before.
    let root = image.root();
    let altered = root.bytes.iter().map(|byte| if *byte == b'6' { b'7' } else { *byte }).collect::<Vec<_>>();
    registry.replace("app", &root.digest, altered, Headers::Follow);
    service.target.evidence.byte = ByteEvidence::Within(Duration::ZERO);
    service.proofs = Arc::new(service.proofs.under(&service.target.evidence, QUARTER));
    assert_eq!(service.sweep().await.failures[0].reason, Reason::DigestMismatch);

    service.target.evidence.byte = ByteEvidence::Within(DAY);
    service.proofs = Arc::new(service.proofs.under(&service.target.evidence, QUARTER));
    assert_eq!(service.sweep().await.failures[0].reason, Reason::DigestMismatch, "HEAD cleared it");
    registry.replace("app", &root.digest, root.bytes.clone(), Headers::Follow);
    assert_eq!(service.sweep().await.failures, []);
}

#[tokio::test]
async fn what_is_not_answered_is_not_asked_for_by_get_too() {
    let (registry, image) = filled().await;
    let mut service = Service::of(&registry, ByteEvidence::Within(DAY), None);
    service.sweep().await;
    let child = &image.child("linux/arm64").unwrap().digest;
    registry.fault(on(child), answers(401));
    registry.clear_requests();
    let report = service.sweep().await;
    assert_eq!((report.outcome, report.failures.len()), (Outcome::Partial, 0));
    let all = registry.requests();
    let asked = all.iter().filter(|it| it.path.ends_with(&child.to_string()));
    assert!(asked.clone().count() > 0 && asked.clone().all(|it| it.method == "HEAD"), "{all:?}");
}

#[tokio::test]
async fn coverage_tells_of_blobs_alone() {
    let (registry, _) = filled().await;
    let mut service = Service::of(&registry, ByteEvidence::Within(Duration::ZERO), None);
    let report = service.sweep().await;
    let coverage = service.proofs.coverage();
    assert_eq!((coverage.head, coverage.byte), (0, report.objects.config + report.objects.layer), "{coverage:?}");
}

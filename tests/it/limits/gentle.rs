//! How much a sweep asks of a registry at once.

use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::check::evidence::EvidenceSchedule;
use registry_integrity_probe::check::manifest_cache::ManifestCache;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::Target;
use registry_integrity_probe::demo::fault::{answers, at, delays, everything};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::registry::{self, Answer, HttpRegistry, List, Listing, Question, Traffic, Trouble};
use registry_integrity_probe::report::{Cause, Outcome};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

async fn busy(images: usize) -> Registry {
    let registry = Registry::start().await.unwrap();
    for n in 0..images {
        registry.push(&format!("app:{n}"), &Image::manifest().named(&n.to_string()));
    }
    registry
}

/// The most requests in flight in a sweep of a registry that answers after a delay, however many there are.
async fn most_in_flight(concurrency: usize, delay: Duration) -> usize {
    let registry = busy(60).await;
    registry.fault(everything(), delays(delay));
    let report = Sweeping::of(&registry).with(|target| target.concurrency = concurrency).sweep().await;
    assert_eq!(report.outcome, Outcome::Complete);
    let most = registry.most_in_flight();
    assert!(most <= concurrency, "{most} of {concurrency}");
    most
}

#[tokio::test]
async fn requests_in_flight_reach_but_never_exceed_concurrency() {
    for concurrency in [1, 3] {
        assert_eq!(most_in_flight(concurrency, Duration::from_millis(5)).await, concurrency);
    }
    // A busy machine slows answers down, too, and the sweep cannot tell: the longer the delay, the less it matters.
    let mut most = 0;
    for delay in [20, 50, 100, 200] {
        most = most_in_flight(16, Duration::from_millis(delay)).await.max(most);
        if most >= 8 {
            return;
        }
    }
    panic!("{most} of 16");
}

#[tokio::test]
async fn rate_limit_holds_over_the_whole_sweep() {
    let registry = busy(30).await;
    let report = Sweeping::of(&registry).with(|target| target.rate_limit = Some(100.0)).sweep().await;
    assert_eq!(report.outcome, Outcome::Complete);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred requests")]
    let rate = registry.request_count() as f64 / report.duration_seconds;
    assert!(rate <= 101.0, "{rate} a second");
}

#[tokio::test]
async fn retry_after_holds_everything_back_and_is_bounded() {
    let registry = busy(10).await;
    registry.fault(at(Endpoint::Blob).times(1), answers(429).header("Retry-After", "2"));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, reasons(&report)), (Outcome::Complete, vec![]));
    assert!((2.0..10.0).contains(&report.duration_seconds), "{}", report.duration_seconds);
}

#[tokio::test]
async fn a_registry_that_throttles_everybody_is_not_hammered() {
    let registry = busy(200).await;
    registry.fault(at(Endpoint::Blob), answers(429));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(reasons(&report), []);
    assert!(causes(&report).iter().all(|&cause| cause == Cause::RateLimited));
    let to_blobs = registry.requests().iter().filter(|request| request.endpoint == Endpoint::Blob).count();
    assert!(to_blobs < 600, "{to_blobs} requests for 600 blobs that are all refused");
}

/// Never has room, as a registry before which others wait all the time.
struct Crowded(HttpRegistry);

impl registry::Registry for Crowded {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        self.0.ask(question).await
    }

    async fn list(&self, list: &List) -> Listing {
        self.0.list(list).await
    }

    fn has_room(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn everything_is_asked_for_also_where_there_is_never_room() {
    let registry = registry_with(&app()).await;
    registry.remove_blob("app", &app().layers().next().unwrap().digest);
    let usual = Sweeping::of(&registry).sweep().await;

    let target = Target::with_defaults(registry.url().parse().unwrap());
    let traffic = Arc::new(Traffic::default());
    let client = Crowded(HttpRegistry::new(&target, Arc::clone(&traffic)).unwrap());
    let job = Job {
        target: &target,
        evidence_schedule: Arc::new(EvidenceSchedule::one_shot(&target.evidence)),
        manifests: Arc::new(ManifestCache::none()),
        blob_hasher: None,
        traffic,
        known: &[],
        catalog: &Default::default(),
        contradictions: Arc::default(),
        progress: Arc::default(),
    };
    let (report, _) = sweep(Arc::new(client), job).await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.objects, usual.objects);
    assert_eq!(report.failures.len(), 1);
}

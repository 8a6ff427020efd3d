//! A defect of the probe itself ends as an unverified, and the service goes on sweeping and serving.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::{Config, Confirm, Spread, Target};
use registry_integrity_probe::demo::Image;
use registry_integrity_probe::registry::{Answer, HttpRegistry, List, Listing, Question, Registry, Traffic, Trouble};
use registry_integrity_probe::report::{Cause, Outcome};
use registry_integrity_probe::service::schedule::{Schedule, SweepOnce};
use registry_integrity_probe::state::State;
use registry_integrity_probe::web::{Limits, Web, serve};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::poll_until;
use crate::testkit::raw_http::ask;
use crate::testkit::sweeping::Sweeping;

/// Panics at every question about `app` for which it is told to.
struct Defective(Arc<HttpRegistry>, fn() -> bool);

impl Registry for Defective {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        assert!(&*question.repository != "app" || !(self.1)(), "a defect");
        self.0.ask(question).await
    }

    async fn list(&self, list: &List) -> Listing {
        self.0.list(list).await
    }

    fn has_room(&self) -> bool {
        self.0.has_room()
    }
}

/// A registry whose `app:1` has lost a layer, beside two that are whole.
async fn damaged() -> registry_integrity_probe::demo::Registry {
    let registry = registry_with(&app()).await;
    registry.push("other:1", &Image::manifest().named("other"));
    registry.remove_blob("app", &app().layers().next().unwrap().digest);
    registry
}

#[tokio::test]
async fn panic_leaves_repository_unverified_and_resolves_nothing() {
    let registry = damaged().await;
    let known = Sweeping::of(&registry).sweep().await.failures;
    assert_eq!(known.len(), 1);

    let target = Target::with_defaults(registry.url().parse().unwrap());
    let traffic = Arc::new(Traffic::default());
    let client = Defective(Arc::new(HttpRegistry::new(&target, Arc::clone(&traffic)).unwrap()), || true);
    let job = Job {
        target: &target,
        evidence_schedule: Arc::new(registry_integrity_probe::check::evidence::EvidenceSchedule::one_shot(
            &target.evidence,
        )),
        manifests: Arc::new(registry_integrity_probe::check::manifest_cache::ManifestCache::none()),
        blob_hasher: None,
        traffic,
        known: &known,
        catalog: &Default::default(),
        contradictions: Arc::default(),
        progress: Arc::default(),
    };
    let (report, _) = sweep(Arc::new(client), job).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(report.failures, known);
    assert_eq!(report.images.intact, 2);
    let [unverified] = &report.unverified[..] else { panic!("{:?}", report.unverified) };
    assert_eq!((unverified.reference.as_str(), unverified.cause), ("app", Cause::Protocol));
}

/// A log that is kept, and that panics when a text is written which it is told not to bear.
#[derive(Clone, Default)]
struct Log {
    text: Arc<Mutex<String>>,
    unbearable: Arc<Mutex<Option<&'static str>>>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        self.text.lock().unwrap().push_str(&line);
        let panics = self.unbearable.lock().unwrap().take_if(|text| line.contains(*text)).is_some();
        assert!(!panics, "a defect of the log");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn errors(&self, text: &str) -> usize {
        self.text.lock().unwrap().lines().filter(|line| line.contains("ERROR") && line.contains(text)).count()
    }
}

/// What `serve` runs, in this process and on a real socket, swept every 200 ms in a given way.
struct Service {
    address: std::net::SocketAddr,
    log: Log,
    _schedule: Schedule,
    _serving: DropGuard,
    _logging: tracing::subscriber::DefaultGuard,
}

impl Service {
    /// All of it runs on the test's own thread, so that the log is that of this service alone.
    async fn start(url: &str, sweep: SweepOnce) -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let mut target = Target { name: "r".to_string(), ..Target::with_defaults(url.parse().unwrap()) };
        target.interval = Duration::from_millis(200);
        target.spread = Spread::Over(Duration::ZERO);
        target.confirm = Confirm { attempts: 1, delay: Duration::from_millis(1) };
        let config = Config { registries: vec![target] };
        let state = Arc::new(State::new(&config.registries));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let schedule = Schedule::start_with(sweep, Arc::clone(&state), &config, &Handle::current()).unwrap();
        let shutdown = CancellationToken::new();
        let app = Web { state, lifecycle: None, external_url: None }.into_router();
        tokio::spawn(serve(vec![listener], app, Limits::default(), shutdown.clone()));
        Self { address, log, _schedule: schedule, _serving: shutdown.drop_guard(), _logging: logging }
    }

    async fn sample(&self, series: &str) -> f64 {
        let metrics = ask(self.address, "GET", "/metrics").send().await.text();
        metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok()).unwrap_or(f64::NAN)
    }

    async fn until(&self, series: &str, is_so: impl Fn(f64) -> bool) {
        poll_until(Duration::from_secs(30), async || is_so(self.sample(series).await).then_some(())).await;
    }

    /// Until so many more sweeps have ended so.
    async fn sweeps(&self, outcome: &str, more: f64) {
        let series = format!("registry_integrity_sweeps_total{{registry=\"r\",outcome=\"{outcome}\"}}");
        let before = self.sample(&series).await;
        self.until(&series, |now| now >= before + more).await;
    }

    async fn assert_known_failure(&self) {
        assert_eq!(self.sample(MISSING).await, 1.0, "a defect of the probe clears nothing");
        assert_eq!(ask(self.address, "GET", "/-/healthy").send().await.status, Some(200));
        let findings = ask(self.address, "GET", "/api/v1/findings").send().await.text();
        assert!(findings.contains("\"reason\":\"missing\""), "{findings}");
    }
}

const MISSING: &str = r#"registry_integrity_failures{registry="r",kind="layer",reason="missing"}"#;
const PROTOCOL: &str = r#"registry_integrity_unverified{registry="r",cause="protocol"}"#;
const INTACT: &str = r#"registry_integrity_images{registry="r",state="intact"}"#;

#[tokio::test]
async fn a_walk_that_panics_leaves_the_service_sweeping_and_serving() {
    static PANICS: AtomicBool = AtomicBool::new(false);
    static PANICKED: AtomicUsize = AtomicUsize::new(0);
    fn panics() -> bool {
        let panics = PANICS.load(Ordering::SeqCst);
        PANICKED.fetch_add(usize::from(panics), Ordering::SeqCst);
        panics
    }
    let registry = damaged().await;
    let by: SweepOnce = |client, job| sweep(Arc::new(Defective(client, panics)), job).boxed();
    let service = Service::start(&registry.url(), by).await;
    service.until(MISSING, |count| count == 1.0).await;
    assert_eq!(service.sample(INTACT).await, 2.0);

    PANICS.store(true, Ordering::SeqCst);
    service.until(PROTOCOL, |count| count == 1.0).await;
    service.sweeps("partial", 2.0).await;
    service.assert_known_failure().await;
    assert_eq!(service.sample(INTACT).await, 2.0, "the others are judged");

    PANICS.store(false, Ordering::SeqCst);
    registry.push("app:1", &app());
    service.until(MISSING, |count| count == 0.0).await;
    service.until(PROTOCOL, |count| count == 0.0).await;
    service.until(INTACT, |count| count == 3.0).await;
    let told = service.log.errors("the walk of a repository failed");
    assert!(told >= 3, "{told}");
    assert_eq!(told, PANICKED.load(Ordering::SeqCst), "one line for each");
}

#[tokio::test]
async fn a_sweep_that_panics_leaves_the_service_sweeping_and_serving() {
    static PANICS: AtomicBool = AtomicBool::new(false);
    static PANICKED: AtomicUsize = AtomicUsize::new(0);
    let registry = damaged().await;
    let by: SweepOnce = |client, job| {
        async {
            if PANICS.load(Ordering::SeqCst) {
                PANICKED.fetch_add(1, Ordering::SeqCst);
                panic!("a defect");
            }
            sweep(client, job).await
        }
        .boxed()
    };
    let service = Service::start(&registry.url(), by).await;
    service.until(MISSING, |count| count == 1.0).await;

    PANICS.store(true, Ordering::SeqCst);
    service.sweeps("failed", 3.0).await;
    service.assert_known_failure().await;
    assert_eq!(service.sample(PROTOCOL).await, 1.0);
    assert_eq!(service.sample(r#"registry_integrity_catalog_accessible{registry="r"}"#).await, 0.0);

    PANICS.store(false, Ordering::SeqCst);
    service.sweeps("complete", 2.0).await;
    assert_eq!(service.sample(PROTOCOL).await, 0.0);
    assert_eq!(service.log.errors("a sweep panicked"), PANICKED.load(Ordering::SeqCst), "one line for each");
}

#[tokio::test]
async fn a_schedule_that_panics_begins_again() {
    let registry = damaged().await;
    let service = Service::start(&registry.url(), |client, job| sweep(client, job).boxed()).await;
    service.until(MISSING, |count| count == 1.0).await;
    // Between two sweeps, where the schedule itself tells how the last one went.
    *service.log.unbearable.lock().unwrap() = Some("sweep incomplete");
    let refused = registry.fault(
        registry_integrity_probe::demo::fault::at(registry_integrity_probe::demo::Endpoint::Catalog),
        registry_integrity_probe::demo::fault::answers(403),
    );
    let failed = r#"registry_integrity_sweeps_total{registry="r",outcome="failed"}"#;
    service.until(failed, |count| count >= 2.0).await;
    service.assert_known_failure().await;
    assert_eq!(service.log.errors("the schedule panicked; restarting it"), 1);
    refused.lift();
    service.sweeps("complete", 2.0).await;
}

//! `serve` as its users run it: metrics before, during and after, signals, reload, and a sweep on request.

mod panics;
mod reload;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use registry_integrity_probe::check::sweep::sweep;
use registry_integrity_probe::config::{Config, Target};
use registry_integrity_probe::demo::fault::{answers, at, everything, hangs};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::service::schedule::{Schedule, SweepOnce};
use registry_integrity_probe::service::sweep_thread::SweepThread;
use registry_integrity_probe::state::State;
use registry_integrity_probe::web::{self, Web};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::testkit::poll_until;
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::raw_http::ask;

const BOUND: Duration = Duration::from_secs(30);

fn index(name: &str) -> Image {
    Image::index().named(name).platforms(["linux/amd64", "linux/arm64"])
}

fn write_config(folder: &Path, registries: &[(&str, &str)]) -> String {
    let mut text = "global: {interval: 500ms}\nregistries:\n".to_string();
    for (name, url) in registries {
        text += &format!("  - {{name: {name}, url: '{url}', spread: 0s, confirm: {{attempts: 1, delay: 10ms}}}}\n");
    }
    let path = folder.join("probe.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn serve(config: &str) -> RunningProbe {
    probe(["serve", "--web.enable-lifecycle", "--config.file", config]).serve().await
}

/// The value of a series, written as in the exposition format.
async fn sample(service: &RunningProbe, series: &str) -> Option<f64> {
    let metrics = service.get("/metrics").await;
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

async fn until(service: &RunningProbe, series: &str, wanted: Option<f64>) {
    poll_until(BOUND, async || (sample(service, series).await == wanted).then_some(())).await;
}

async fn sweeps(service: &RunningProbe, registry: &str, outcome: &str) -> f64 {
    let series = format!("registry_integrity_sweeps_total{{registry=\"{registry}\",outcome=\"{outcome}\"}}");
    sample(service, &series).await.unwrap_or_default()
}

async fn another_sweep(service: &RunningProbe, registry: &str, outcome: &str) {
    let before = sweeps(service, registry, outcome).await;
    // One may have been under way when this was asked for.
    poll_until(BOUND, async || (sweeps(service, registry, outcome).await >= before + 2.0).then_some(())).await;
}

const MISSING_CHILD: &str = r#"registry_integrity_failures{registry="r",kind="child",reason="missing"}"#;
const BROKEN_APP: &str = r#"registry_integrity_image_broken{registry="r",repository="app",tag="1",reason="missing"}"#;
const ACCESSIBLE: &str = r#"registry_integrity_catalog_accessible{registry="r"}"#;

fn child(image: &Image) -> &Digest {
    &image.child("linux/arm64").unwrap().digest
}

#[tokio::test]
async fn metrics_before_during_and_after_a_failure_and_an_outage() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    let unanswered = registry.fault(everything(), hangs());
    let folder = tempfile::tempdir().unwrap();
    let service = serve(&write_config(folder.path(), &[("r", &registry.url())])).await;

    // Before the first sweep has ended nothing is known, and nothing is claimed.
    assert_eq!(sample(&service, ACCESSIBLE).await, None);
    assert_eq!(sample(&service, MISSING_CHILD).await, Some(0.0));
    assert_eq!(sample(&service, r#"registry_integrity_images{registry="r",state="intact"}"#).await, Some(0.0));
    assert!(!service.get("/metrics").await.contains("_timestamp_seconds{"));
    drop(service);
    unanswered.lift();

    let service = serve(&write_config(folder.path(), &[("r", &registry.url())])).await;
    until(&service, r#"registry_integrity_images{registry="r",state="intact"}"#, Some(1.0)).await;
    assert_eq!(sample(&service, ACCESSIBLE).await, Some(1.0));
    let success = r#"registry_integrity_last_success_timestamp_seconds{registry="r"}"#;
    assert!(sample(&service, success).await.is_some());

    registry.remove_manifest("app", child(&image));
    until(&service, MISSING_CHILD, Some(1.0)).await;
    assert_eq!(sample(&service, BROKEN_APP).await, Some(1.0));
    let last_success = sample(&service, success).await;

    let outage = registry.fault(everything(), answers(503));
    until(&service, ACCESSIBLE, Some(0.0)).await;
    assert_eq!(sample(&service, MISSING_CHILD).await, Some(1.0), "an outage clears nothing");
    assert_eq!(sample(&service, BROKEN_APP).await, Some(1.0));
    outage.lift();

    until(&service, ACCESSIBLE, Some(1.0)).await;
    registry.push("app:1", &image);
    until(&service, MISSING_CHILD, Some(0.0)).await;
    assert_eq!(sample(&service, BROKEN_APP).await, None, "the series of what is mended disappears");
    until(&service, r#"registry_integrity_images{registry="r",state="intact"}"#, Some(1.0)).await;
    assert!(sample(&service, success).await > last_success);

    another_sweep(&service, "r", "complete").await;
    let log = service.stderr();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((lines("message=\"integrity failure\""), lines("integrity failure resolved")), (1, 1), "{log}");
}

#[tokio::test]
async fn findings_are_served_as_the_report_tells_them() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    registry.remove_manifest("app", child(&image));
    let folder = tempfile::tempdir().unwrap();
    let service = serve(&write_config(folder.path(), &[("r", &registry.url())])).await;
    until(&service, MISSING_CHILD, Some(1.0)).await;
    let findings: Value =
        serde_json::from_str(&service.get("/api/v1/findings?registry=r&reason=missing").await).unwrap();
    let [failure] = &findings["failures"].as_array().unwrap()[..] else { panic!("{findings}") };
    assert_eq!((&failure["registry"], &failure["digest"]), (&"r".into(), &child(&image).to_string().into()));
    assert_eq!(findings["unverified"], Value::Array(Vec::new()));
    assert!(service.get("/").await.contains("linux/arm64"));
}

#[tokio::test]
async fn registries_do_not_wait_for_each_other() {
    let (stuck, fine) = (Registry::start().await.unwrap(), Registry::start().await.unwrap());
    stuck.fault(everything(), hangs());
    fine.push("app:1", &index("app"));
    let folder = tempfile::tempdir().unwrap();
    let service = serve(&write_config(folder.path(), &[("stuck", &stuck.url()), ("fine", &fine.url())])).await;
    another_sweep(&service, "fine", "complete").await;
    assert_eq!(sample(&service, r#"registry_integrity_catalog_accessible{registry="stuck"}"#).await, None);
}

#[tokio::test]
async fn stops_within_five_seconds_during_a_sweep() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &index("app"));
    registry.fault(at(Endpoint::Blob), hangs());
    let folder = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        registry.clear_requests();
        let service = serve(&write_config(folder.path(), &[("r", &registry.url())])).await;
        poll_until(BOUND, async || registry.requests().iter().any(|r| r.path.contains("/blobs/")).then_some(())).await;
        let asked = Instant::now();
        service.signal(signal);
        let outcome = service.wait().await;
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn reload_applies_valid_and_rejects_invalid_configuration() {
    let (one, two) = (Registry::start().await.unwrap(), Registry::start().await.unwrap());
    let image = index("app");
    one.push("app:1", &image);
    one.remove_manifest("app", child(&image));
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &[("r", &one.url())]);
    let service = serve(&config).await;
    until(&service, MISSING_CHILD, Some(1.0)).await;

    fs::write(&config, "registries: [{url: nowhere}]").unwrap();
    let refused = ask(service.address(), "POST", "/-/reload").send().await;
    assert_eq!(refused.status, Some(500));
    assert!(refused.text().contains("probe.yaml:1:"), "{}", refused.text());
    assert_eq!(sample(&service, MISSING_CHILD).await, Some(1.0), "the old configuration stays in use");

    write_config(folder.path(), &[("r", &one.url()), ("new", &two.url())]);
    service.signal("HUP");
    until(&service, r#"registry_integrity_catalog_accessible{registry="new"}"#, Some(1.0)).await;
    assert_eq!(sample(&service, MISSING_CHILD).await, Some(1.0), "what is known of a registry stays");
    another_sweep(&service, "r", "complete").await;

    write_config(folder.path(), &[("new", &two.url())]);
    assert_eq!(ask(service.address(), "POST", "/-/reload").send().await.status, Some(200));
    assert_eq!(sample(&service, MISSING_CHILD).await, None);
}

/// The sweep of this test never lets go of its thread, and whoever asks is answered all the same.
#[tokio::test]
async fn who_asks_does_not_wait_for_a_sweep() {
    let target = Target { name: "r".to_string(), ..Target::with_defaults("http://127.0.0.1:1".parse().unwrap()) };
    let config = Config { registries: vec![target] };
    let state = Arc::new(State::new(&config.registries));
    let busy: SweepOnce = |client, job| {
        async move {
            std::thread::sleep(BOUND);
            sweep(client, job).await
        }
        .boxed()
    };
    let began = Instant::now();
    let thread = SweepThread::start().unwrap();
    let _schedule = Schedule::start_with(busy, Arc::clone(&state), &config, thread.handle()).unwrap();
    poll_until(BOUND, async || state.registry("r")?.known().sweeping.map(drop)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Web { state, lifecycle: None, external_url: None }.into_router();
    tokio::spawn(web::serve(vec![listener], app, web::Limits::default(), CancellationToken::new()));
    for path in ["/", "/metrics", "/api/v1/registries", "/-/healthy"] {
        assert_eq!(ask(address, "GET", path).send().await.status, Some(200), "{path}");
    }
    assert!(began.elapsed() < BOUND / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_sweep_can_be_asked_for() {
    let registry = Registry::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("probe.yaml").display().to_string();
    fs::write(&config, format!("registries: [{{name: r, url: '{}', interval: 1h}}]", registry.url())).unwrap();
    let service = serve(&config).await;
    poll_until(BOUND, async || (sweeps(&service, "r", "complete").await >= 1.0).then_some(())).await;
    let post = async |path: &str| ask(service.address(), "POST", path).send().await.status;
    assert_eq!(post("/api/v1/registries/nobody/sweep").await, Some(404));
    assert_eq!(post("/api/v1/registries/r/sweep").await, Some(202));
    poll_until(BOUND, async || (sweeps(&service, "r", "complete").await >= 2.0).then_some(())).await;
    registry.fault(everything(), hangs());
    assert_eq!(post("/api/v1/registries/r/sweep").await, Some(202));
    poll_until(BOUND, async || (post("/api/v1/registries/r/sweep").await == Some(409)).then_some(())).await;
}

#[tokio::test]
async fn lifecycle_requests_are_refused_unless_they_are_enabled() {
    let registry = Registry::start().await.unwrap();
    let service = probe(["serve", "--registry", &registry.url()]).serve().await;
    for path in ["/-/reload", "/api/v1/registries/x/sweep"] {
        assert_eq!(ask(service.address(), "POST", path).send().await.status, Some(403));
    }
}

#[tokio::test]
async fn the_demonstration_shows_what_is_broken() {
    let service = probe(["demo"]).serve().await;
    until(&service, r#"registry_integrity_failures{registry="demo",kind="child",reason="missing"}"#, Some(2.0)).await;
    let layer = r#"registry_integrity_failures{registry="demo",kind="layer",reason="unreadable"}"#;
    assert_eq!(sample(&service, layer).await, Some(1.0));
    let introduction = service.stdout();
    assert!(introduction.contains("infra-ci:latest") && introduction.contains("/api/v1/findings"), "{introduction}");
    assert!(introduction.lines().all(|line| line.chars().count() <= 80), "{introduction}");
    service.signal("INT");
    assert_eq!(service.wait().await.code, Some(0));
}

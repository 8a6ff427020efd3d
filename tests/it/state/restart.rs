//! `serve`, ended and started again.

use std::fs;
use std::path::Path;

use registry_integrity_probe::demo::fault::{answers, everything, hangs, in_repository};
use registry_integrity_probe::demo::{Registry, fault::Fault};
use serde_json::Value;

use super::{
    BOUND, LAST_SUCCESS, LAST_SWEEP, MISSING_CHILD, WRITABLE, child, index, sample, until, value, with_state,
    write_config,
};
use crate::testkit::poll_until;
use crate::testkit::raw_http::ask;

/// No sweep ends any more from now on, nor does one begin that does.
async fn halt(registry: &Registry) -> Fault {
    let halted = registry.fault(everything(), hangs());
    poll_until(BOUND, async || (halted.strikes() > 0).then_some(())).await;
    halted
}

#[tokio::test]
async fn after_a_kill_everything_is_shown_at_once_with_its_age() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("made/if/absent"));
    let service = with_state("serve", &config, &state).serve().await;
    until(&service, r#"registry_integrity_images{registry="r",state="intact"}"#, Some(1.0)).await;
    registry.remove_manifest("app", child(&image));
    until(&service, MISSING_CHILD, Some(1.0)).await;
    let halted = halt(&registry).await;
    let shown = (service.get("/metrics").await, service.get("/api/v1/findings").await);
    assert_eq!(value(&shown.0, WRITABLE), Some(1.0));
    drop(service);

    let service = with_state("serve", &config, &state).serve().await;
    let (metrics, findings) = (service.get("/metrics").await, service.get("/api/v1/findings").await);
    assert_eq!(findings, shown.1);
    let kept = |metrics: &str| -> Vec<String> {
        let of_the_process = ["_sweeps_total", "_requests_total", "_bytes_total", "_request_duration", "process_"];
        let lines = metrics.lines().filter(|line| line.starts_with("registry_integrity_"));
        lines.filter(|line| !of_the_process.iter().any(|name| line.contains(name))).map(str::to_string).collect()
    };
    let without_reload = |mut lines: Vec<String>| {
        lines.retain(|line| !line.contains("_config_last_reload_"));
        lines
    };
    assert_eq!(without_reload(kept(&metrics)), without_reload(kept(&shown.0)));
    assert!(value(&metrics, LAST_SWEEP).is_some() && value(&metrics, LAST_SUCCESS).is_some(), "{metrics}");
    let complete = r#"registry_integrity_sweeps_total{registry="r",outcome="complete"}"#;
    assert_eq!(value(&metrics, complete), Some(0.0), "counters are of the process");

    // And it goes on where it was: an outage clears nothing, the first sight stays, and a proof ends it.
    halted.lift();
    drop(service);
    let outage = registry.fault(everything(), answers(403));
    let service = with_state("serve", &config, &state).serve().await;
    until(&service, r#"registry_integrity_catalog_accessible{registry="r"}"#, Some(0.0)).await;
    assert_eq!(sample(&service, MISSING_CHILD).await, Some(1.0));
    outage.lift();
    let last_sweep = value(&metrics, LAST_SWEEP);
    poll_until(BOUND, async || (sample(&service, LAST_SWEEP).await > last_sweep).then_some(())).await;
    let first_seen = |findings: &str| {
        serde_json::from_str::<Value>(findings).unwrap()["failures"][0]["first_seen"].as_str().unwrap().to_string()
    };
    assert_eq!(first_seen(&service.get("/api/v1/findings").await), first_seen(&shown.1));
    registry.push("app:1", &image);
    until(&service, MISSING_CHILD, Some(0.0)).await;
    service.terminate().await;
    let halted = registry.fault(everything(), hangs());
    let service = with_state("serve", &config, &state).serve().await;
    assert_eq!(sample(&service, MISSING_CHILD).await, Some(0.0), "what is disproved does not come back");
    halted.lift();
}

/// Proofs that the file holds, which is copied, since a service uses it.
pub fn proofs(state: &Path, of_which: &str) -> i64 {
    let copy = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        let _ = fs::copy(state.join(name), copy.path().join(name));
    }
    let connection = rusqlite::Connection::open(copy.path().join("state.db")).unwrap();
    // What is copied while it is written may be no database.
    let count = format!("SELECT count(*) FROM proof WHERE {of_which}");
    connection.query_row(&count, [], |row| row.get(0)).unwrap_or(0)
}

#[tokio::test]
async fn evidence_schedule_survives_an_interrupted_sweep() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &index("app"));
    registry.push("stuck:1", &index("stuck"));
    let stuck = registry.fault(in_repository("stuck"), hangs());
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let reads = |repository: &str| {
        let of_blobs = format!("/v2/{repository}/blobs/");
        let requests = registry.requests();
        requests.iter().filter(|request| request.path.starts_with(&of_blobs) && request.method == "GET").count()
    };
    let service = with_state("serve", &config, &state).serve().await;
    // Two children with a config and two layers each.
    poll_until(BOUND, async || (reads("app") == 6 && stuck.strikes() > 0).then_some(())).await;
    poll_until(BOUND, async || (proofs(&state, "byte > 0") == 6).then_some(())).await;
    drop(service);
    stuck.lift();
    registry.clear_requests();
    let service = with_state("serve", &config, &state).serve().await;
    until(&service, r#"registry_integrity_images{registry="r",state="intact"}"#, Some(2.0)).await;
    assert_eq!((reads("app"), reads("stuck")), (0, 6));
}

#[tokio::test]
async fn first_sweep_after_restart_is_paced() {
    let registry = Registry::start().await.unwrap();
    (0..4).for_each(|number| registry.push(&format!("app-{number}:1"), &index(&format!("app-{number}"))));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("500ms", "1h").replace("spread: 0s", "spread: 3s")).unwrap();
    let complete = r#"registry_integrity_sweeps_total{registry="r",outcome="complete"}"#;
    let mut spans = Vec::new();
    for _ in 0..2 {
        let service = with_state("serve", &config, &state).serve().await;
        until(&service, complete, Some(1.0)).await;
        let duration = r#"registry_integrity_sweep_duration_seconds{registry="r"}"#;
        spans.push(sample(&service, duration).await.unwrap());
    }
    assert!(spans[1] > 1.5, "over three seconds, and not as fast as it can be: {spans:?}");
}

#[tokio::test]
async fn returning_registry_keeps_state_unless_url_changed() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    registry.remove_manifest("app", child(&image));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let with_it = fs::read_to_string(&config).unwrap();
    let service = with_state("serve", &config, &state).serve().await;
    until(&service, MISSING_CHILD, Some(1.0)).await;
    let halted = halt(&registry).await;
    let elsewhere = Registry::start().await.unwrap();
    elsewhere.fault(everything(), hangs());
    for (text, known) in [
        (with_it.replace("name: r,", "name: other,"), None),
        (with_it.replace(&registry.url(), &elsewhere.url()), Some(0.0)),
        (with_it, Some(1.0)),
    ] {
        fs::write(&config, text).unwrap();
        service.signal("HUP");
        until(&service, MISSING_CHILD, known).await;
    }
    halted.lift();
    assert_eq!(ask(service.address(), "GET", "/-/healthy").send().await.status, Some(200));
}

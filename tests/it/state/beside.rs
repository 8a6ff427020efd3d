//! What was found by hashing between two sweeps, which nobody was shown yet, outlives a kill.

use std::fs;

use registry_integrity_probe::demo::{Headers, Image, Registry};
use rusqlite::Connection;

use super::{BOUND, sample, until, with_state};
use crate::testkit::poll_until;

const MISMATCHES: &str = r#"registry_integrity_failures{registry="r",kind="layer",reason="digest_mismatch"}"#;
const SWEPT: &str = r#"registry_integrity_sweeps_total{registry="r",outcome="complete"}"#;

/// How many blobs the file knows something against. A copy is looked at, since the service does not share its file.
fn found(state: &std::path::Path) -> Option<i64> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        let _ = fs::copy(state.join(name), copy.path().join(name));
    }
    let file = Connection::open(copy.path().join("state.db")).ok()?;
    file.query_row("SELECT count(*) FROM beside", [], |row| row.get(0)).ok()
}

#[tokio::test]
async fn hashing_result_survives_a_kill_until_next_sweep() {
    let registry = Registry::start().await.unwrap();
    let image = Image::manifest().named("app");
    let layer = image.layers().next().unwrap();
    registry.push("app:1", &image);
    registry.push("whole:1", &Image::manifest().named("whole"));
    registry.replace("app", &layer.digest, layer.flipped(), Headers::Follow);
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (folder.path().join("probe.yaml"), folder.path().join("state"));
    // No process sees a second sweep.
    let target = format!("url: '{}', confirm: {{attempts: 1, delay: 10ms}}, evidence: {{content: 1s}}", registry.url());
    fs::write(&config, format!("registries: [{{name: r, interval: 1h, spread: 0s, {target}}}]")).unwrap();
    let config = config.display().to_string();

    let service = with_state("serve", &config, &state).serve().await;
    until(&service, SWEPT, Some(1.0)).await;
    poll_until(BOUND, async || (found(&state) == Some(1)).then_some(())).await;
    assert_eq!(sample(&service, MISMATCHES).await, Some(0.0), "no sweep has taken it in");
    service.signal("KILL");
    drop(service);

    let service = with_state("serve", &config, &state).serve().await;
    until(&service, SWEPT, Some(1.0)).await;
    assert_eq!(sample(&service, MISMATCHES).await, Some(1.0));
    service.signal("KILL");
    drop(service);

    // Mended, and hashed again: nothing is left of it in the file, nor, once a sweep has looked, of the failure.
    registry.replace("app", &layer.digest, layer.bytes.clone(), Headers::Follow);
    let service = with_state("serve", &config, &state).serve().await;
    poll_until(BOUND, async || (found(&state) == Some(0)).then_some(())).await;
    drop(service.terminate().await);
    let service = with_state("serve", &config, &state).serve().await;
    until(&service, MISMATCHES, Some(0.0)).await;
}

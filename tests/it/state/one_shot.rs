//! `sweep`, run after run.

use std::path::Path;

use registry_integrity_probe::config::shard::Shard;
use registry_integrity_probe::demo::Registry;
use registry_integrity_probe::demo::fault::{answers, everything, on};
use serde_json::Value;

use super::{child, index, with_state, write_config};
use crate::testkit::probe::{Outcome, Probe, probe};

async fn swept(sweep: Probe) -> Outcome {
    sweep.run().await
}

fn first_failure(outcome: &Outcome) -> Value {
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    report["registries"][0]["failures"][0].clone()
}

fn as_json(config: &str, state: &Path, more: &[&str]) -> Probe {
    let state = state.display().to_string();
    probe(["sweep", "--config.file", config, "--storage.path", &state, "--output", "json"].iter().chain(more))
}

#[tokio::test]
async fn stored_failure_exits_1_until_resolved() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    assert_eq!(swept(as_json(&config, &state, &[])).await.code, Some(0));
    registry.remove_manifest("app", child(&image));
    let found = swept(as_json(&config, &state, &[])).await;
    assert_eq!(found.code, Some(1), "{}", found.stderr);

    let outage = registry.fault(everything(), answers(403));
    let kept = swept(as_json(&config, &state, &[])).await;
    assert_eq!(kept.code, Some(1), "an outage does not clear it");
    assert_eq!(first_failure(&kept), first_failure(&found));
    let without = probe(["sweep", "--config.file", &config]).run().await;
    assert_eq!(without.code, Some(3), "who remembers nothing knows nothing");
    outage.lift();

    registry.push("app:1", &image);
    assert_eq!(swept(with_state("sweep", &config, &state)).await.code, Some(0));
    let outage = registry.fault(everything(), answers(403));
    assert_eq!(swept(with_state("sweep", &config, &state)).await.code, Some(3), "nor does it create one");
    outage.lift();
}

#[tokio::test]
async fn what_contradicted_itself_is_remembered_by_the_next_run() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    let stale = registry.fault(on(&image.layers().next().unwrap().digest).alternately(), answers(404));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let first = swept(as_json(&config, &state, &[])).await;
    assert_eq!(first.code, Some(0), "once may be chance: {}", first.stdout);
    assert!(first.stderr.contains("registry contradicts itself"), "{}", first.stderr);
    let again = swept(as_json(&config, &state, &[])).await;
    assert_eq!(again.code, Some(3), "{}", again.stdout);
    let report: Value = serde_json::from_str(&again.stdout).unwrap();
    let entry = &report["registries"][0]["unverified"][0];
    assert_eq!(entry["cause"], "protocol", "{report:#}");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains("GET 404 BLOB_UNKNOWN") && detail.contains("GET 206"), "{detail}");
    stale.lift();
    assert_eq!(swept(as_json(&config, &state, &[])).await.code, Some(0));
}

#[tokio::test]
async fn last_bytes_are_read_in_their_rhythm_instead_of_every_time() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &index("app"));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let mut reads = Vec::new();
    for sweep in [
        with_state("sweep", &config, &state),
        with_state("sweep", &config, &state),
        probe(["sweep", "--config.file", &config]),
        with_state("serve", &config, &state),
    ] {
        registry.clear_requests();
        if reads.len() < 3 {
            assert_eq!(swept(sweep).await.code, Some(0));
        } else {
            let service = sweep.serve().await;
            super::until(&service, r#"registry_integrity_sweeps_total{registry="r",outcome="complete"}"#, Some(1.0))
                .await;
        }
        let requests = registry.requests();
        reads.push(requests.iter().filter(|it| it.method == "GET" && it.path.contains("/blobs/")).count());
    }
    assert_eq!(reads, [6, 0, 6, 0]);
}

#[tokio::test]
async fn each_shard_has_a_state_of_its_own() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    registry.remove_manifest("app", child(&image));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let (own, other) = if Shard::new(0, 2).unwrap().holds("app") { ("0", "1") } else { ("1", "0") };
    let shard = async |index: &str, count: &str| {
        let shard = ["--shard.index", index, "--shard.count", count];
        swept(as_json(&config, &state, &shard)).await.code
    };
    assert_eq!(shard(own, "2").await, Some(1));
    assert_eq!(shard(other, "2").await, Some(0));
    let _outage = registry.fault(everything(), answers(403));
    assert_eq!(shard(own, "2").await, Some(1));
    assert_eq!(shard(other, "2").await, Some(3));
    assert_eq!(swept(as_json(&config, &state, &[])).await.code, Some(3), "nor is it the state of everything");
    assert_eq!(shard("0", "1").await, Some(3));
}

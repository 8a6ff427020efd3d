//! What blobs were proved by, over restarts: nothing is read again before its time comes.

use std::fs;
use std::path::Path;

use registry_integrity_probe::demo::Registry;
use registry_integrity_probe::demo::fault::{hangs, in_repository};

use super::restart::proofs;
use super::{BOUND, index, sample, until, with_state, write_config};
use crate::testkit::poll_until;
use crate::testkit::probe::RunningProbe;

const COMPLETE: &str = r#"registry_integrity_sweeps_total{registry="r",outcome="complete"}"#;
const INTACT: &str = r#"registry_integrity_images{registry="r",state="intact"}"#;

/// Two platforms with a config and two layers each.
const BLOBS: usize = 6;

/// Requests for the bytes of a repository's blobs: for all of each, or for the last one.
fn reads(registry: &Registry, repository: &str, is_whole: bool) -> usize {
    let of_blobs = format!("/v2/{repository}/blobs/");
    let requests = registry.requests().into_iter().filter(|it| it.method == "GET" && it.path.starts_with(&of_blobs));
    requests.filter(|it| it.range.is_none() == is_whole).count()
}

/// Blobs of the last complete sweep, by what proves them.
async fn proved_by(service: &RunningProbe, evidence: &str) -> Option<f64> {
    sample(service, &format!(r#"registry_integrity_blobs{{registry="r",evidence="{evidence}"}}"#)).await
}

fn hash_within(config: &str, period: &str) {
    let text = fs::read_to_string(config).unwrap();
    let (head, _) = text.split_once("spread: 0s").unwrap();
    let evidence = format!("spread: 0s, evidence: {{byte: off, content: {period}}}");
    fs::write(config, format!("{head}{evidence}, confirm: {{attempts: 1, delay: 10ms}}}}\n")).unwrap();
}

/// Some sweeps of a new process, and how often they hashed a blob.
async fn hashed_by_sweeps_of(config: &str, state: &Path, registry: &Registry) -> (RunningProbe, usize) {
    registry.clear_requests();
    let service = with_state("serve", config, state).serve().await;
    poll_until(BOUND, async || (sample(&service, COMPLETE).await >= Some(3.0)).then_some(())).await;
    let hashed = reads(registry, "app", true);
    (service, hashed)
}

#[tokio::test]
async fn after_a_kill_content_is_hashed_when_due() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &index("app"));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    hash_within(&config, "2s");
    let service = with_state("serve", &config, &state).serve().await;
    poll_until(BOUND, async || (proofs(&state, "content > 0") == BLOBS as i64).then_some(())).await;
    // Killed, not ended.
    drop(service);

    // Within so long a period none has its time now.
    hash_within(&config, "90d");
    let (service, hashed) = hashed_by_sweeps_of(&config, &state, &registry).await;
    assert_eq!((hashed, proved_by(&service, "content").await), (0, Some(BLOBS as f64)));
    drop(service);
    let (service, hashed) = hashed_by_sweeps_of(&config, &folder.path().join("another"), &registry).await;
    assert_eq!((hashed, proved_by(&service, "content").await), (0, Some(0.0)), "who remembers nothing proves nothing");
    drop(service);

    // And once it is over they are.
    hash_within(&config, "2s");
    registry.clear_requests();
    let _service = with_state("serve", &config, &state).serve().await;
    poll_until(BOUND, async || (reads(&registry, "app", true) >= BLOBS).then_some(())).await;
}

#[tokio::test]
async fn last_bytes_go_on_where_a_process_was_ended_or_killed() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &index("app"));
    registry.push("stuck:1", &index("stuck"));
    let stuck = registry.fault(in_repository("stuck"), hangs());
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let service = with_state("serve", &config, &state).serve().await;
    let has_read = async || (reads(&registry, "app", false) == BLOBS && stuck.strikes() > 0).then_some(());
    poll_until(BOUND, has_read).await;
    // In the middle of its first sweep.
    assert_eq!(service.terminate().await.code, Some(0));
    stuck.lift();
    for expected in [(0, BLOBS), (0, 0)] {
        registry.clear_requests();
        let service = with_state("serve", &config, &state).serve().await;
        poll_until(BOUND, async || (sample(&service, COMPLETE).await >= Some(2.0)).then_some(())).await;
        until(&service, INTACT, Some(2.0)).await;
        assert_eq!((reads(&registry, "app", false), reads(&registry, "stuck", false)), expected);
        assert_eq!(proved_by(&service, "byte").await, Some(2.0 * BLOBS as f64));
        // Killed, not ended.
        drop(service);
    }
}

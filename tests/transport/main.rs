//! The transport as its peers see it: what registries, proxies and token services hear, and what becomes of what they
//! answer. Nothing here knows which HTTP library is inside.

#[path = "../support/mod.rs"]
mod support;
#[path = "../sweeping/mod.rs"]
mod sweeping;

mod bombs;
mod connections;
mod encodings;
mod foreign_encodings;
mod front;
mod http_proxies;
mod redirects;
mod refusals;
mod socks;
mod tunnels;
mod wire;

use std::path::Path;

use registry_integrity_probe::config::{Credentials, Secret, Target};
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::report::{Cause, Outcome, Report};

use support::probe::{Outcome as ProbeOutcome, Probe, probe};

const USER_AGENT: &str = concat!("registry-integrity-probe/", env!("CARGO_PKG_VERSION"));

/// A registry with one image of a manifest, a config and two layers: `app:1`.
async fn registry() -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &app());
    registry
}

fn app() -> Image {
    Image::manifest().named("app")
}

/// Asks as a user of the registry.
fn as_probe(target: &mut Target) {
    target.credentials =
        Credentials::Basic { username: Secret::Inline("probe".into()), password: Secret::Inline("hunter2".into()) };
}

/// What passes is not tried again, so that a connection that breaks shows.
fn without_retries(target: &mut Target) {
    target.limits.retries = 0;
}

fn causes(report: &Report) -> Vec<Cause> {
    report.unverified.iter().map(|entry| entry.cause).collect()
}

#[track_caller]
fn assert_intact(report: &Report, what: &str) {
    assert_eq!((report.outcome, report.images.broken), (Outcome::Complete, 0), "{what}: {report:#?}");
    assert!(report.images.intact > 0, "{what}: {report:#?}");
}

/// Nothing was judged, nothing is a failure, and everything has the same cause.
#[track_caller]
fn assert_unverified(report: &Report, cause: Cause, what: &str) {
    assert_eq!(report.failures, [], "{what}");
    assert!(!report.unverified.is_empty(), "{what}: {report:#?}");
    assert!(causes(report).iter().all(|&seen| seen == cause), "{what}: {:#?}", report.unverified);
}

/// A sweep by the binary of the only registry of a configuration, given as what stands between its braces.
fn sweep_of(folder: &Path, registry: &str) -> Probe {
    sweep_within("30s", folder, registry)
}

/// The same, where no request may take longer than that.
fn sweep_within(request_timeout: &str, folder: &Path, registry: &str) -> Probe {
    let config = folder.join("config.yml");
    let global = format!("global: {{request_timeout: {request_timeout}}}");
    let registry = format!("{{{registry}, confirm: {{delay: 10ms}}, limits: {{retries: 0}}}}");
    std::fs::write(&config, format!("{global}\nregistries: [{registry}]\n")).unwrap();
    let textfile = folder.join("metrics.prom");
    probe([
        "sweep",
        "--log.level=debug",
        "--output=json",
        &format!("--config.file={}", config.display()),
        &format!("--textfile={}", textfile.display()),
    ])
}

#[track_caller]
fn assert_success(outcome: &ProbeOutcome, what: &str) {
    assert_eq!(outcome.code, Some(0), "{what}: {} {}", outcome.stdout, outcome.stderr);
}

/// Of a sweep that did not get to the catalog: its cause, and a word of the reason.
#[track_caller]
fn assert_trouble(outcome: &ProbeOutcome, cause: &str, word: &str) {
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let unverified = &report["registries"][0]["unverified"];
    assert_eq!(
        (unverified.as_array().unwrap().len(), &report["registries"][0]["failures"]),
        (1, &serde_json::json!([]))
    );
    assert_eq!(unverified[0]["cause"], cause, "{report:#}");
    let detail = unverified[0]["detail"].as_str().unwrap();
    assert!(detail.contains(word), "{word}: {detail}");
}

/// Nothing of a secret in anything that was written, at the level `debug`.
#[track_caller]
fn assert_silent(outcome: &ProbeOutcome, folder: &Path, secrets: &[&str]) {
    let metrics = std::fs::read_to_string(folder.join("metrics.prom")).unwrap();
    for (what, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr), ("metrics", &metrics)] {
        assert!(what == "stderr" || !text.is_empty(), "{what} is empty");
        for secret in secrets {
            assert!(!text.contains(secret), "{what} holds {secret}: {text}");
        }
    }
}

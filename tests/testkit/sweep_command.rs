//! `sweep` run as a process over one registry, and assertions on what it prints.

use std::path::Path;

use registry_integrity_probe::config::{Credentials, Secret, Target};

use super::probe::{Outcome, Probe, probe};

pub const USER_AGENT: &str = concat!("registry-integrity-probe/", env!("CARGO_PKG_VERSION"));

/// Logs in as a user of the registry.
pub fn as_probe(target: &mut Target) {
    target.credentials =
        Credentials::Basic { username: Secret::Inline("probe".into()), password: Secret::Inline("hunter2".into()) };
}

/// Retries nothing, so that a connection that breaks shows.
pub fn without_retries(target: &mut Target) {
    target.limits.retries = 0;
}

/// A sweep by the binary of the only registry of a configuration, given as what stands between its braces.
pub fn sweep_of(folder: &Path, registry: &str) -> Probe {
    sweep_within("30s", folder, registry)
}

/// The same, where no request may take longer than that.
pub fn sweep_within(request_timeout: &str, folder: &Path, registry: &str) -> Probe {
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
pub fn assert_success(outcome: &Outcome, what: &str) {
    assert_eq!(outcome.code, Some(0), "{what}: {} {}", outcome.stdout, outcome.stderr);
}

/// Of a sweep that did not get to the catalog: its cause, and a word of the reason.
#[track_caller]
pub fn assert_trouble(outcome: &Outcome, cause: &str, word: &str) {
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
pub fn assert_silent(outcome: &Outcome, folder: &Path, secrets: &[&str]) {
    let metrics = std::fs::read_to_string(folder.join("metrics.prom")).unwrap();
    for (what, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr), ("metrics", &metrics)] {
        assert!(what == "stderr" || !text.is_empty(), "{what} is empty");
        for secret in secrets {
            assert!(!text.contains(secret), "{what} holds {secret}: {text}");
        }
    }
}

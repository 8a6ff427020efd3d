//! `--storage.path`: what is known outlives the process, however it ends.

mod beside;
mod kill;
mod one_shot;
mod proofs;
mod restart;
mod store;
mod trouble;

use std::fs;
use std::path::Path;
use std::time::Duration;

use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::oci::Digest;

use crate::testkit::poll_until;
use crate::testkit::probe::{Probe, RunningProbe, probe};

const BOUND: Duration = Duration::from_secs(30);

const MISSING_CHILD: &str = r#"registry_integrity_failures{registry="r",kind="child",reason="missing"}"#;
const LAST_SWEEP: &str = r#"registry_integrity_last_sweep_timestamp_seconds{registry="r"}"#;
const LAST_SUCCESS: &str = r#"registry_integrity_last_success_timestamp_seconds{registry="r"}"#;
const WRITABLE: &str = "registry_integrity_storage_writable";

fn index(name: &str) -> Image {
    Image::index().named(name).platforms(["linux/amd64", "linux/arm64"])
}

fn child(image: &Image) -> &Digest {
    &image.child("linux/arm64").unwrap().digest
}

/// A configuration of one registry, `r`, that is swept every half second and confirms quickly.
fn write_config(folder: &Path, registry: &Registry) -> String {
    let url = registry.url();
    let text = format!(
        "global: {{interval: 500ms}}\nregistries:\n  - {{name: r, url: '{url}', spread: 0s, confirm: {{attempts: 1, delay: 10ms}}}}\n"
    );
    let path = folder.join("probe.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A command with a configuration and a state.
fn with_state(command: &str, config: &str, state: &Path) -> Probe {
    probe([command, "--config.file", config, "--storage.path", &state.display().to_string()])
}

/// The value of a series in the exposition format.
fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

async fn sample(service: &RunningProbe, series: &str) -> Option<f64> {
    value(&service.get("/metrics").await, series)
}

async fn until(service: &RunningProbe, series: &str, wanted: Option<f64>) {
    poll_until(BOUND, async || (sample(service, series).await == wanted).then_some(())).await;
}

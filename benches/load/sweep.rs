//! A sweep as users start it: as a process.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::Evidence;
use super::process::{self, Used};

/// A sweep that ended.
pub struct Swept {
    pub used: Used,
    pub report: Report,
    /// How many requests might be in flight when it ended.
    pub concurrency: f64,
}

/// What a sweep says of the registry.
pub struct Report(Value);

impl Report {
    /// A number of the report.
    pub fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_default()
    }

    /// All objects.
    pub fn objects(&self) -> f64 {
        self.0["objects"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_f64()).sum()
    }
}

/// The command that sweeps a registry once.
pub fn command(folder: &Path, url: &str, evidence: Evidence, more: &str) -> Command {
    let byte = match evidence {
        Evidence::Head => "off",
        Evidence::Byte => "24h",
    };
    let config = folder.join("probe.yaml");
    let text = format!("registries:\n  - name: bench\n    url: {url}\n    evidence: {{byte: {byte}}}\n{more}");
    fs::write(&config, text).expect("room for a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-integrity-probe"));
    command.arg("sweep").arg("--config.file").arg(config).args(["--log.level", "error", "--output", "json"]);
    command.arg("--output.file").arg(folder.join("report.json")).stdout(Stdio::null());
    command
}

/// Starts a sweep of a registry that is intact. [`report`] tells how it ended.
pub fn start(folder: &Path, url: &str, evidence: Evidence) -> Child {
    command(folder, url, evidence, "").spawn().expect("a program that can be run")
}

/// What a sweep that has ended has reported.
///
/// # Panics
///
/// If it found anything that is not intact.
pub fn report(folder: &Path) -> Report {
    let text = fs::read(folder.join("report.json")).expect("a report");
    let mut report: Value = serde_json::from_slice(&text).expect("a report in JSON");
    let report = report["registries"][0].take();
    assert_eq!(report["outcome"], "complete", "{report}");
    Report(report)
}

/// Sweeps a registry that is intact.
///
/// # Panics
///
/// If the sweep finds anything else.
pub fn run(folder: &Path, url: &str, evidence: Evidence, more: &str) -> Swept {
    let metrics = folder.join("metrics.prom");
    let used = process::run(command(folder, url, evidence, more).arg("--textfile").arg(&metrics), &[]);
    let metrics = fs::read_to_string(metrics).expect("metrics");
    let concurrency = metrics
        .lines()
        .find_map(|line| line.strip_prefix("registry_integrity_concurrency{")?.split_once("} ")?.1.parse().ok());
    Swept { used, report: report(folder), concurrency: concurrency.expect("a metric") }
}

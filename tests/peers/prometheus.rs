//! A real Prometheus scrapes `serve` and evaluates the shipped alerts.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use registry_integrity_probe::demo::Image;
use registry_integrity_probe::demo::fault::{everything, hangs};
use serde_json::Value;
use tempfile::TempDir;

use crate::testkit::docker_registry::DockerRegistry;
use crate::testkit::probe::probe;
use crate::testkit::push::shared_client;
use crate::testkit::raw_http::ask;
use crate::testkit::{free_address, peer, poll_until};

const BOUND: Duration = Duration::from_secs(60);

/// A Prometheus that scrapes one address and evaluates the shipped alerts without their waiting times.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    async fn scraping(target: SocketAddr) -> Option<Self> {
        let program = peer("prometheus")?;
        let folder = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/registry-integrity.rules.yaml");
        let is_waiting = |line: &&str| line.trim_start().starts_with("for: ");
        let rules = fs::read_to_string(rules).unwrap();
        assert_eq!(rules.lines().filter(is_waiting).count(), rules.matches("- alert:").count());
        let impatient: String =
            rules.lines().filter(|line| !is_waiting(line)).map(|line| format!("{line}\n")).collect();
        fs::write(folder.path().join("rules.yaml"), impatient).unwrap();
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs: [{{job_name: probe, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(folder.path().join("prometheus.yaml"), config).unwrap();
        let address = free_address();
        let process = Command::new(program)
            .arg(format!("--config.file={}", folder.path().join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { process, address, _folder: folder };
        poll_until(BOUND, async || {
            tokio::net::TcpStream::connect(address).await.ok()?;
            (ask(address, "GET", "/-/ready").send().await.status == Some(200)).then_some(())
        })
        .await;
        Some(prometheus)
    }

    async fn api(&self, path: &str) -> Value {
        // Long answers come in chunks, which only a whole client reads.
        let answer = shared_client().get(format!("http://{}{path}", self.address)).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["data"].take()
    }

    /// The labels of the alerts that fire.
    async fn firing(&self, alert: &str) -> Vec<Value> {
        let data = self.api("/api/v1/alerts").await;
        let alerts = data["alerts"].as_array().cloned().unwrap_or_default();
        let fires = |a: &Value| a["state"] == "firing" && a["labels"]["alertname"] == alert;
        alerts.into_iter().filter(fires).map(|mut alert| alert["labels"].take()).collect()
    }

    async fn until_fires(&self, alert: &str) -> Value {
        poll_until(BOUND, async || self.firing(alert).await.into_iter().next()).await
    }

    async fn until_quiet(&self, alert: &str) {
        poll_until(BOUND, async || self.firing(alert).await.is_empty().then_some(())).await;
    }

    async fn value(&self, query: &str) -> Option<f64> {
        let data = self.api(&format!("/api/v1/query?query={query}")).await;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

#[tokio::test]
async fn the_alerts_fire_and_resolve_on_what_prometheus_scrapes() {
    let Some(mut registry) = DockerRegistry::start().await else { return };
    let image = Image::index().named("infra-ci").platforms(["linux/amd64", "linux/arm64"]);
    registry.push("infra-ci:latest", &image).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("probe.yaml");
    let url = registry.url();
    let keys = "spread: 0s, confirm: {attempts: 1, delay: 20ms}";
    fs::write(&config, format!("global: {{interval: 2s}}\nregistries: [{{name: private, url: '{url}', {keys}}}]"))
        .unwrap();
    let service = probe(["serve", "--config.file", &config.display().to_string()]).serve().await;
    let Some(prometheus) = Prometheus::scraping(service.address()).await else { return };
    let all = ["RegistryManifestIntegrityFailure", "RegistryIntegrityProbeStale", "RegistryCatalogInaccessible"];

    poll_until(BOUND, async || {
        (prometheus.value("sum(registry_integrity_sweeps_total)").await >= Some(2.0)).then_some(())
    })
    .await;
    for alert in all {
        prometheus.until_quiet(alert).await;
    }

    let child = image.child("linux/amd64").unwrap();
    fs::remove_file(registry.revision_link("infra-ci", &child.digest)).unwrap();
    let labels = prometheus.until_fires(all[0]).await;
    assert_eq!(
        [&labels["registry"], &labels["repository"], &labels["tag"], &labels["reason"]],
        ["private", "infra-ci", "latest", "missing"]
    );

    registry.stop();
    let labels = prometheus.until_fires(all[2]).await;
    assert_eq!(labels["registry"], "private");
    assert_eq!(prometheus.firing(all[0]).await.len(), 1, "the outage did not clear the failure");

    registry.restart().await;
    prometheus.until_quiet(all[2]).await;
    registry.push("infra-ci:latest", &image).await;
    prometheus.until_quiet(all[0]).await;
}

#[tokio::test]
async fn a_probe_whose_sweeps_do_not_end_is_stale() {
    let registry = registry_integrity_probe::demo::Registry::start().await.unwrap();
    registry.push("app:1", &Image::manifest().named("app"));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("probe.yaml");
    let url = registry.url();
    fs::write(&config, format!("global: {{interval: 1s}}\nregistries: [{{name: r, url: '{url}', spread: 0s}}]"))
        .unwrap();
    let service = probe(["serve", "--config.file", &config.display().to_string()]).serve().await;
    let Some(prometheus) = Prometheus::scraping(service.address()).await else { return };
    poll_until(BOUND, async || {
        (prometheus.value("sum(registry_integrity_sweeps_total)").await >= Some(2.0)).then_some(())
    })
    .await;
    prometheus.until_quiet("RegistryIntegrityProbeStale").await;
    registry.fault(everything(), hangs());
    let labels = prometheus.until_fires("RegistryIntegrityProbeStale").await;
    assert_eq!(labels["registry"], "r");
}

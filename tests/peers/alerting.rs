//! The whole way of a CronJob: a sweep, a Pushgateway, Prometheus with the project's own rules, Alertmanager, a webhook.

use std::fs;

use regex::Regex;
use registry_integrity_probe::demo::Image;
use serde_json::Value;
use tempfile::TempDir;

use crate::testkit::docker_registry::DockerRegistry;
use crate::testkit::monitoring::Service;
use crate::testkit::monitoring::webhook::Webhook;
use crate::testkit::probe::{Outcome, probe};

/// Everything between a sweep and a notification.
struct Monitoring {
    gateway: Service,
    webhook: Webhook,
    _alertmanager: Service,
    _prometheus: Service,
    directory: TempDir,
}

impl Monitoring {
    /// `None` if one of the programs is not installed.
    async fn start() -> Option<Self> {
        let webhook = Webhook::default();
        let gateway = crate::testkit::monitoring::pushgateway().await?;
        let alertmanager =
            crate::testkit::monitoring::alertmanager(&format!("http://{}/", webhook.listen().await)).await?;
        let rules = rules_without_waiting();
        let told = Some(alertmanager.address());
        let prometheus = crate::testkit::monitoring::alerting_prometheus(gateway.address(), told, &rules).await?;
        let directory = tempfile::tempdir().unwrap();
        Some(Self { gateway, webhook, _alertmanager: alertmanager, _prometheus: prometheus, directory })
    }

    /// One run of a CronJob that should run every `interval`.
    async fn sweep(&self, registry: &DockerRegistry, interval: &str) -> Outcome {
        let file = self.directory.path().join("probe.yaml");
        let yaml = format!(
            "registries:\n  - name: private\n    url: {url}\n    interval: {interval}\n    \
             confirm: {{attempts: 1, delay: 10ms}}\n",
            url = registry.url(),
        );
        fs::write(&file, yaml).unwrap();
        let gateway = self.gateway.url("");
        probe(["sweep", "--config.file", file.to_str().unwrap(), "--push.gateway", &gateway]).run().await
    }
}

/// The rules as they are shipped, but for the time that a condition must last.
fn rules_without_waiting() -> String {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/registry-integrity.rules.yaml");
    let shipped = fs::read_to_string(shipped).unwrap();
    let duration = Regex::new(r"(?m)^( +for:) \w+$").unwrap();
    assert_eq!(duration.find_iter(&shipped).count(), shipped.matches("- alert:").count());
    duration.replace_all(&shipped, "$1 0s").into_owned()
}

#[tokio::test]
async fn broken_child_alert_fires_and_resolves() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let Some(monitoring) = Monitoring::start().await else { return };
    let alert = "RegistryManifestIntegrityFailure";
    let image = Image::index().with_attestation();
    registry.push("infra-ci:latest", &image).await;
    let outcome = monitoring.sweep(&registry, "1h").await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");

    let child = &image.child("linux/amd64").unwrap().digest;
    fs::remove_file(registry.revision_link("infra-ci", child)).unwrap();
    let outcome = monitoring.sweep(&registry, "1h").await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let told = monitoring.webhook.wait_for(alert, "firing").await;
    for (label, value) in [
        ("registry", "private"),
        ("repository", "infra-ci"),
        ("tag", "latest"),
        ("reason", "missing"),
        ("severity", "critical"),
        ("job", "registry-integrity-probe"),
    ] {
        assert_eq!(told["labels"][label], value, "{told}");
    }
    let summary = "infra-ci:latest in registry private is broken: missing";
    assert_eq!(told["annotations"]["summary"], summary, "{told}");
    // It does not end by itself.
    let told_so_far = monitoring.webhook.told();
    assert!(told_so_far.iter().all(|told| told["status"] == "firing"), "{told_so_far:?}");

    registry.push("infra-ci:latest", &image).await;
    let outcome = monitoring.sweep(&registry, "1h").await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let told_again = monitoring.webhook.wait_for(alert, "resolved").await;
    assert_eq!(told_again["labels"], told["labels"]);
    let others: Vec<Value> = monitoring.webhook.told();
    // Before the first push there was no probe.
    let is_expected =
        |told: &Value| told["labels"]["alertname"] == alert || told["labels"]["alertname"] == "RegistryProbeDown";
    assert!(others.iter().all(is_expected), "{others:?}");
}

#[tokio::test]
async fn registry_down_and_stopped_cronjob_fire_alerts() {
    let Some(mut registry) = DockerRegistry::start().await else { return };
    let Some(monitoring) = Monitoring::start().await else { return };
    registry.push("infra-ci:latest", &Image::index()).await;
    assert_eq!(monitoring.sweep(&registry, "1s").await.code, Some(0));
    let stale = monitoring.webhook.wait_for("RegistryIntegrityProbeStale", "firing").await;
    assert_eq!((&stale["labels"]["registry"], &stale["labels"]["severity"]), (&"private".into(), &"warning".into()));
    assert_eq!(monitoring.sweep(&registry, "1h").await.code, Some(0));
    monitoring.webhook.wait_for("RegistryIntegrityProbeStale", "resolved").await;

    registry.stop();
    assert_eq!(monitoring.sweep(&registry, "1h").await.code, Some(3));
    monitoring.webhook.wait_for("RegistryCatalogInaccessible", "firing").await;
    registry.restart().await;
    assert_eq!(monitoring.sweep(&registry, "1h").await.code, Some(0));
    let told = monitoring.webhook.told();
    let is_broken = |told: &Value| told["labels"]["alertname"] == "RegistryManifestIntegrityFailure";
    assert!(!told.iter().any(is_broken), "an outage breaks no image: {told:?}");
}

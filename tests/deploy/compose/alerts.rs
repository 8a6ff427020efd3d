//! From a broken child to a webhook, through the shipped files of all that lies between.

use std::fs;

use regex::Regex;
use serde_json::Value;

use super::shop::{CACHES, Shop};
use super::sweeps::{image, stock};
use super::{adapted, shipped};
use crate::testkit::monitoring::webhook::Webhook;
use crate::testkit::monitoring::{PATIENCE, Service};
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::raw_http::ask;
use crate::testkit::{peer, poll_until};

/// Waits until every registry was swept at least once more than before, and returns how often.
async fn swept(service: &RunningProbe, registry: &str, outcome: &str, times: u32) {
    let series = format!("registry_integrity_sweeps_total{{outcome=\"{outcome}\",registry=\"{registry}\"}} {times}");
    let other = format!("registry_integrity_sweeps_total{{registry=\"{registry}\",outcome=\"{outcome}\"}} {times}");
    poll_until(PATIENCE, async || {
        let metrics = service.get("/metrics").await;
        metrics.lines().any(|line| line == series || line == other).then_some(())
    })
    .await;
}

async fn alertmanager(shop: &Shop, webhook: &Webhook) -> Option<Service> {
    let config = adapted(
        &shipped("alertmanager/alertmanager.yml"),
        &[
            ("https://alerts.example.com/registries", &format!("http://{}/", webhook.listen().await)),
            ("group_wait: 30s", "group_wait: 0s"),
            ("group_interval: 5m", "group_interval: 200ms"),
        ],
    );
    let file = shop.folder.path().join("alertmanager.yml");
    fs::write(&file, config).unwrap();
    let file = format!("--config.file={}", file.display());
    Service::start("prometheus-alertmanager", &[&file, "--storage.path=data", "--cluster.listen-address="], &[]).await
}

/// Prometheus by the shipped file and rules, but for how long it waits.
async fn prometheus(shop: &Shop, service: &RunningProbe, alertmanager: &Service) -> Option<Service> {
    let alerts = shop.folder.path().join("alerts");
    fs::create_dir(&alerts).unwrap();
    let wait = Regex::new(r"(?m)^( +for:) \w+$").unwrap();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/alerts")).unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() {
            let rules = fs::read_to_string(&file).unwrap();
            fs::write(alerts.join(file.file_name().unwrap()), wait.replace_all(&rules, "$1 0s").as_ref()).unwrap();
        }
    }
    let config = adapted(
        &shipped("prometheus/prometheus.yml"),
        &[
            ("_interval: 30s", "_interval: 300ms"),
            ("probe:10500", &service.address().to_string()),
            ("alertmanager:9093", &alertmanager.address().to_string()),
        ],
    );
    let file = shop.folder.path().join("prometheus.yml");
    fs::write(&file, config).unwrap();
    let file = format!("--config.file={}", file.display());
    Service::start("prometheus", &[&file, "--storage.tsdb.path=data"], &[]).await
}

#[tokio::test]
async fn shop_alerts_on_a_broken_child_and_resolves() {
    let Some(program) = peer("docker-registry") else { return };
    let Some(shop) = Shop::open(&program).await else { return };
    stock(&shop).await;
    let config = shop.probe_config();
    let flags = ["serve", "--web.enable-lifecycle", "--config.file", config.to_str().unwrap()];
    let service = probe(flags).serve().await;
    let webhook = Webhook::default();
    let Some(alertmanager) = alertmanager(&shop, &webhook).await else { return };
    for name in CACHES.iter().copied().chain(["private"]) {
        swept(&service, name, "complete", 1).await;
    }
    let Some(prometheus) = prometheus(&shop, &service, &alertmanager).await else { return };
    prometheus.wait_for("count(registry_integrity_images{state=\"intact\",registry=\"private\"} == 2)", &["1"]).await;
    for job in ["registry-integrity-probe", "alertmanager"] {
        prometheus.wait_for(&format!("up{{job=\"{job}\"}}"), &["1"]).await;
    }
    // Six registries, five of which lack most of what they list, and nobody is told anything.
    // Before the first scrape there was no probe, and without the shipped waiting time that is told at once.
    prometheus.wait_for("count(ALERTS) or vector(0)", &["0"]).await;

    let image = image("infra-ci");
    let child = image.child("linux/amd64").unwrap();
    let link = shop.registries[5].revision_link("infra-ci", &child.digest.to_string());
    fs::remove_file(link).unwrap();
    let sweep = ask(service.address(), "POST", "/api/v1/registries/private/sweep").send().await;
    assert_eq!(sweep.status, Some(202));
    swept(&service, "private", "complete", 2).await;
    let told = webhook.wait_for("RegistryManifestIntegrityFailure", "firing").await;
    for (label, value) in
        [("registry", "private"), ("repository", "infra-ci"), ("tag", "latest"), ("reason", "missing")]
    {
        assert_eq!(told["labels"][label], value, "{told}");
    }

    shop.private().push_manifest("infra-ci", &child.digest.to_string(), child).await;
    assert_eq!(ask(service.address(), "POST", "/api/v1/registries/private/sweep").send().await.status, Some(202));
    webhook.wait_for("RegistryManifestIntegrityFailure", "resolved").await;
    let others: Vec<Value> = webhook.told();
    let is_expected =
        |told: &Value| told["labels"]["tag"] == "latest" || told["labels"]["alertname"] == "RegistryProbeDown";
    assert!(others.iter().all(is_expected), "{others:?}");
}

//! Prometheus and the programs around it, as peers: each on a port of its own, until it is dropped.
pub mod kube_state_metrics;
pub mod webhook;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use crate::testkit::push::shared_client;
use crate::testkit::{free_address, peer, poll_until};

/// How long to wait for what passes through several of these programs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program that serves HTTP.
pub struct Service {
    process: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl Service {
    /// Starts a program with arguments and with files in its working directory, and waits until it answers at
    /// `/-/ready`; `None` if it is not installed.
    ///
    /// # Panics
    ///
    /// If it does not answer in time.
    pub async fn start(program: &str, arguments: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let program = peer(program)?;
        let address = free_address();
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, content) in files {
            fs::write(directory.path().join(name), content).expect("a writable temporary directory");
        }
        let log = File::create(directory.path().join("log")).expect("a writable temporary directory");
        let mut command = Command::new(program);
        command.args(arguments).arg(format!("--web.listen-address={address}")).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let process = command.spawn().expect("an installed program can be run");
        let service = Self { process, directory, address };
        poll_until(PATIENCE, async || {
            let answer = shared_client().get(service.url("/-/ready")).send().await.ok()?;
            // node_exporter has no such path, and one of these may ask for credentials.
            matches!(answer.status().as_u16(), 200 | 401 | 404).then_some(())
        })
        .await;
        Some(service)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it serves at a path.
    pub async fn get(&self, path: &str) -> String {
        let answer = shared_client().get(self.url(path)).send().await.expect("an answer");
        answer.text().await.expect("a body")
    }

    /// What a Prometheus answers to an instant query: the labels of each series and its value.
    pub async fn query(&self, expression: &str) -> Vec<(Value, String)> {
        let mut url: Url = self.url("/api/v1/query").parse().expect("a URL");
        url.query_pairs_mut().append_pair("query", expression);
        let answer = shared_client().get(url).send().await.expect("an answer").text().await.expect("a body");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}"));
        let sample = |series: &Value| {
            (series["metric"].clone(), series["value"][1].as_str().expect("a value is a text").to_string())
        };
        series.iter().map(sample).collect()
    }

    /// Waits until a Prometheus has exactly these values for a query.
    pub async fn wait_for(&self, expression: &str, values: &[&str]) {
        let mut seen = Vec::new();
        let is_seen = tokio::time::timeout(PATIENCE, async {
            loop {
                seen = self.query(expression).await.into_iter().map(|(_, value)| value).collect();
                if seen == values {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let is_seen = is_seen.await.is_ok();
        assert!(is_seen, "{expression} is {seen:?} and not {values:?}; log: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself, which the test will have noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Pushgateway.
pub async fn pushgateway() -> Option<Service> {
    Service::start("prometheus-pushgateway", &[], &[]).await
}

/// A Pushgateway with a `--web.config.file`.
pub async fn pushgateway_with(web_config: &str) -> Option<Service> {
    let file = ("web.yml", web_config);
    Service::start("prometheus-pushgateway", &["--web.config.file=web.yml"], &[file]).await
}

/// A node_exporter with nothing but the textfile collector.
pub async fn node_exporter(textfiles: &Path) -> Option<Service> {
    let directory = format!("--collector.textfile.directory={}", textfiles.display());
    let arguments = ["--collector.disable-defaults", "--collector.textfile", &directory];
    Service::start("prometheus-node-exporter", &arguments, &[]).await
}

/// A Prometheus that scrapes one address several times a second.
pub async fn prometheus(scraped: SocketAddr) -> Option<Service> {
    alerting_prometheus(scraped, None, "groups: []").await
}

/// A Prometheus that also evaluates rules and tells an Alertmanager.
pub async fn alerting_prometheus(
    scraped: SocketAddr,
    alertmanager: Option<SocketAddr>,
    rules: &str,
) -> Option<Service> {
    prometheus_of(&[("scraped", scraped)], alertmanager, &[rules]).await
}

/// A Prometheus that scrapes several programs, each as a job of its own, and evaluates several files of rules.
pub async fn prometheus_of(
    jobs: &[(&str, SocketAddr)],
    alertmanager: Option<SocketAddr>,
    rules: &[&str],
) -> Option<Service> {
    // honor_labels: as docs/cronjob.md says for a Pushgateway, and as kube-state-metrics is scraped.
    let jobs: String = jobs
        .iter()
        .map(|(job, address)| {
            format!("  - {{job_name: {job}, honor_labels: true, static_configs: [{{targets: ['{address}']}}]}}\n")
        })
        .collect();
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
         rule_files: ['rules-*.yaml']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: [{alertmanagers}]}}]}}]}}\n\
         scrape_configs:\n{jobs}",
        alertmanagers = alertmanager.map(|address| format!("'{address}'")).unwrap_or_default(),
    );
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"];
    let names: Vec<String> = (0..rules.len()).map(|nth| format!("rules-{nth}.yaml")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(rules.iter().copied()).collect();
    files.push(("prometheus.yml", &config));
    Service::start("prometheus", &arguments, &files).await
}

/// An Alertmanager that tells every alert to a webhook at once.
pub async fn alertmanager(webhook: &str) -> Option<Service> {
    let config = format!(
        "route: {{receiver: webhook, group_by: ['...'], group_wait: 0s, group_interval: 200ms, repeat_interval: 1h}}\n\
         receivers: [{{name: webhook, webhook_configs: [{{url: '{webhook}', send_resolved: true}}]}}]\n"
    );
    let arguments = ["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="];
    Service::start("prometheus-alertmanager", &arguments, &[("alertmanager.yml", &config)]).await
}

//! A real Prometheus scrapes over mutual TLS and with a password.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::testkit::push::shared_client;
use crate::testkit::web_service::{BOUND, Setup, alice, display};
use crate::testkit::{free_address, peer, poll_until};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn prometheus_scrapes_over_mutual_tls_with_a_password() {
    let Some(program) = peer("prometheus") else { return };
    let setup = Setup::new().await;
    let client = setup.ca.client("scraper");
    let lines = ["client_auth_type: RequireAndVerifyClientCert", "client_allowed_sans: [scraper]", &setup.client_ca()];
    let service = setup.serve(&(setup.tls(&lines) + &alice())).await;
    let job = |name: &str, password: &str, client_certificate: &str| {
        format!(
            "  - job_name: {name}\n    scheme: https\n    basic_auth: {{username: alice, password: {password}}}\n    \
             tls_config: {{ca_file: {}{client_certificate}}}\n    static_configs: [{{targets: ['localhost:{}']}}]\n",
            display(&setup.ca.ca_file()),
            service.address().port()
        )
    };
    let certificate = format!(", cert_file: {}, key_file: {}", display(&client.cert_file), display(&client.key_file));
    let config = "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n".to_string()
        + &job("right", "wonderland", &certificate)
        + &job("wrong-password", "builder", &certificate)
        + &job("no-certificate", "wonderland", "");
    fs::write(setup.path("prometheus.yaml"), config).unwrap();
    let address = free_address();
    let _prometheus = Running(
        Command::new(program)
            .arg(format!("--config.file={}", setup.path("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", setup.path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let targets = poll_until(BOUND, async || {
        let answer = shared_client().get(format!("http://{address}/api/v1/targets")).send().await.ok()?;
        let targets: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        let targets = targets["data"]["activeTargets"].as_array()?.clone();
        let health = |job: &str| targets.iter().find(|target| target["labels"]["job"] == job)?["health"].as_str();
        let expected = [("right", "up"), ("wrong-password", "down"), ("no-certificate", "down")];
        expected.iter().all(|(job, wanted)| health(job) == Some(wanted)).then(|| targets.clone())
    })
    .await;
    let error =
        |job: &str| targets.iter().find(|target| target["labels"]["job"] == job).unwrap()["lastError"].to_string();
    assert!(error("wrong-password").contains("401"), "{targets:?}");
    let log = service.stderr();
    assert!(!log.contains("onderland") && !log.contains("builder"), "{log}");
}

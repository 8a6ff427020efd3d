//! SIGHUP and `POST /-/reload`, and what the metrics say of them.

use std::fs;

use crate::testkit::poll_until;
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::raw_http::ask;
use crate::testkit::web_service::{BOUND, Setup};

const SUCCESSFUL: &str = "registry_integrity_config_last_reload_successful ";
const TIME: &str = "registry_integrity_config_last_reload_success_timestamp_seconds ";

async fn sample(service: &RunningProbe, name: &str) -> Option<f64> {
    let metrics = service.get("/metrics").await;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
}

async fn until_successful(service: &RunningProbe, wanted: f64) {
    poll_until(BOUND, async || (sample(service, SUCCESSFUL).await == Some(wanted)).then_some(())).await;
}

#[tokio::test]
async fn metrics_tell_whether_the_last_reload_was_taken_up() {
    let setup = Setup::new().await;
    let service = setup.serve("").await;
    assert_eq!(sample(&service, SUCCESSFUL).await, Some(1.0));
    let at_start = sample(&service, TIME).await.unwrap();
    assert!(at_start > 1.7e9);
    let reload = async || ask(service.address(), "POST", "/-/reload").send().await;

    setup.write_probe_config("unknown: 1\n");
    assert_eq!(reload().await.status, Some(500));
    assert_eq!((sample(&service, SUCCESSFUL).await, sample(&service, TIME).await), (Some(0.0), Some(at_start)));
    setup.write_probe_config("");
    service.signal("HUP");
    until_successful(&service, 1.0).await;
    assert!(sample(&service, TIME).await.unwrap() > at_start);
    setup.write_probe_config("unknown: 1\n");
    service.signal("HUP");
    until_successful(&service, 0.0).await;

    // The web configuration is a part of the configuration: all of it is taken up, or nothing.
    setup.write_probe_config("global: {interval: 7m}\n");
    setup.write("rate_limit: {interval: 1s}\n");
    let refused = reload().await;
    assert_eq!(refused.status, Some(500));
    assert!(refused.text().contains("web.yaml:1:13: `burst`"), "{}", refused.text());
    assert!(!service.get("/metrics").await.contains("sweep_interval_seconds{registry=\"r\"} 420"));
    setup.write("");
    assert_eq!(reload().await.status, Some(200));
    assert!(service.get("/metrics").await.contains("sweep_interval_seconds{registry=\"r\"} 420"));
    until_successful(&service, 1.0).await;
}

#[tokio::test]
async fn metrics_tell_that_a_web_configuration_became_invalid_by_itself() {
    let setup = Setup::new().await;
    let service = setup.serve("").await;
    assert_eq!(sample(&service, SUCCESSFUL).await, Some(1.0));
    let at_start = sample(&service, TIME).await.unwrap();
    setup.write("basic_auth_user: {}\n");
    assert_eq!((sample(&service, SUCCESSFUL).await, sample(&service, TIME).await), (Some(0.0), Some(at_start)));
    // Taking up the probe's own file is no answer to that, and the other way round.
    setup.write_probe_config("unknown: 1\n");
    setup.write("");
    assert_eq!(sample(&service, SUCCESSFUL).await, Some(1.0));
    assert_eq!(ask(service.address(), "POST", "/-/reload").send().await.status, Some(500));
    setup.write("# changed\n");
    assert_eq!(sample(&service, SUCCESSFUL).await, Some(0.0));
    setup.write_probe_config("");
    service.signal("HUP");
    until_successful(&service, 1.0).await;
    assert!(sample(&service, TIME).await.unwrap() > at_start);
}

/// As on a network's file system that hangs.
#[tokio::test]
async fn a_file_that_cannot_be_read_in_time_holds_nobody_up() {
    let setup = Setup::new().await;
    let service = setup.serve("").await;
    let before = threads(&service);
    let fifo = setup.path("web.yaml.new");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::rename(&fifo, setup.path("web.yaml")).unwrap();
    // Who goes away while it is being read must not leave another reader behind.
    for _ in 0..20 {
        let stream = std::net::TcpStream::connect(service.address()).unwrap();
        std::io::Write::write_all(&mut &stream, b"GET /-/ready HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    }
    for _ in 0..3 {
        assert_eq!(ask(service.address(), "GET", "/-/ready").send().await.status, Some(200));
    }
    let refused = ask(service.address(), "POST", "/-/reload").send().await;
    assert_eq!(refused.status, Some(500));
    assert!(refused.text().contains("reading timed out"), "{}", refused.text());
    assert!(threads(&service) < before + 10, "{before} threads, and then {}", threads(&service));
    let outcome = service.terminate().await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

fn threads(service: &RunningProbe) -> usize {
    fs::read_dir(format!("/proc/{}/task", service.id())).unwrap().count()
}

#[tokio::test]
async fn a_sweep_has_no_configuration_to_reload() {
    let setup = Setup::new().await;
    let file = setup.path("sweep.prom");
    let config = setup.path("probe.yaml");
    let arguments = ["sweep", "--config.file", config.to_str().unwrap(), "--textfile", file.to_str().unwrap()];
    assert_eq!(probe(arguments).run().await.code, Some(0));
    let metrics = fs::read_to_string(file).unwrap();
    assert!(metrics.contains("registry_integrity_images{") && !metrics.contains("last_reload"), "{metrics}");
}

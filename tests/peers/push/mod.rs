//! `sweep --push.gateway`, to a real Pushgateway that a real Prometheus scrapes.

mod documentation;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::render::metrics::Group;
use registry_integrity_probe::render::push::{Gateway, PushError};
use serde_json::json;
use tempfile::TempDir;

use crate::testkit::free_address;
use crate::testkit::probe::{Outcome, probe};

/// A registry with an image that lacks its child, and one that lacks nothing.
async fn registries() -> (Registry, Registry) {
    let (broken, intact) = (Registry::start().await.unwrap(), Registry::start().await.unwrap());
    let image = Image::index();
    broken.push("infra-ci:latest", &image);
    broken.remove_manifest("infra-ci", &image.child("linux/amd64").unwrap().digest);
    intact.push("infra-ci:latest", &image);
    (broken, intact)
}

/// A configuration with these names and URLs, in a directory that must be kept.
fn configuration(registries: &[(&str, &Registry)]) -> (TempDir, PathBuf) {
    let mut yaml = "registries:\n".to_string();
    for (name, registry) in registries {
        let url = registry.url();
        yaml.push_str(&format!("  - {{name: '{name}', url: '{url}', confirm: {{attempts: 1, delay: 10ms}}}}\n"));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.yaml");
    std::fs::write(&file, yaml).unwrap();
    (directory, file)
}

async fn sweep(config: &Path, gateway: &str) -> Outcome {
    let config = config.to_str().unwrap();
    probe(["sweep", "--config.file", config, "--output", "json", "--push.gateway", gateway]).run().await
}

#[tokio::test]
async fn pushed_groups_equal_what_the_exporter_shows() {
    let Some(gateway) = crate::testkit::monitoring::pushgateway().await else { return };
    let Some(prometheus) = crate::testkit::monitoring::prometheus(gateway.address()).await else { return };
    let (broken, intact) = registries().await;
    let (_directory, config) = configuration(&[("eu/private", &broken), ("mirror", &intact)]);
    let outcome = sweep(&config, &gateway.url("")).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");

    let image = json!({
        "__name__": "registry_integrity_image_broken", "job": "registry-integrity-probe", "registry": "eu/private",
        "repository": "infra-ci", "tag": "latest", "reason": "missing",
    });
    prometheus.wait_for("registry_integrity_image_broken", &["1"]).await;
    assert_eq!(prometheus.query("registry_integrity_image_broken").await, [(image, "1".to_string())]);
    prometheus.wait_for("registry_integrity_images{registry='mirror', state='intact'}", &["1"]).await;
    prometheus.wait_for("count(registry_integrity_sweeps_total)", &["6"]).await;
    // It describes the program, so that it has no registry, here as little as on /metrics.
    let build_info = prometheus.query("registry_integrity_build_info").await;
    assert_eq!(build_info.len(), 1, "{build_info:?}");
    assert!(build_info[0].0.get("registry").is_none(), "{build_info:?}");
    let pushed = gateway.get("/metrics").await;
    assert!(!pushed.contains("process_start_time_seconds{job="), "{pushed}");
    // The gateway's own mark of a push.
    assert_eq!(pushed.matches("\npush_time_seconds{").count(), 3, "{pushed}");
}

#[tokio::test]
async fn a_sweep_replaces_its_groups_and_no_others() {
    let Some(gateway) = crate::testkit::monitoring::pushgateway().await else { return };
    let (broken, intact) = registries().await;
    let (_one, of_both) = configuration(&[("a", &broken), ("b", &intact)]);
    let (_two, of_one) = configuration(&[("a", &intact)]);
    assert_eq!(sweep(&of_both, &gateway.url("/")).await.code, Some(1));
    assert_eq!(sweep(&of_one, &gateway.url("/")).await.code, Some(0));
    let pushed = gateway.get("/metrics").await;
    assert!(!pushed.contains("registry_integrity_image_broken{"), "{pushed}");
    let interval = |registry: &str| {
        let labels = format!(r#"instance="",job="registry-integrity-probe",registry="{registry}""#);
        pushed.contains(&format!("registry_integrity_sweep_interval_seconds{{{labels}}} 900\n"))
    };
    assert!(interval("a") && interval("b"), "{pushed}");
}

#[tokio::test]
async fn credentials_are_sent_and_shown_nowhere() {
    // The password is `secret`.
    let users = "basic_auth_users: {probe: $2y$04$asCDCqO5zsxLYqbPJuaSh.Ma6GOizO7aR/AqUCtP9PKDuKxlQO1Ii}\n";
    let Some(gateway) = crate::testkit::monitoring::pushgateway_with(users).await else { return };
    let (_broken, intact) = registries().await;
    let (_directory, config) = configuration(&[("a", &intact)]);
    let with_user = |user: &str| format!("http://{user}@{}", gateway.address());
    let pushed = sweep(&config, &with_user("probe:secret")).await;
    assert_eq!((pushed.code, pushed.stderr.as_str()), (Some(0), ""));
    let refused = sweep(&config, &with_user("probe:hunter2")).await;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("rejected the metrics of the program: 401 Unauthorized"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
}

#[tokio::test]
async fn gateway_down_is_reported_beside_the_failure() {
    let (broken, intact) = registries().await;
    let (_one, of_intact) = configuration(&[("a", &intact)]);
    let (_two, of_broken) = configuration(&[("a", &broken)]);
    let nobody = format!("http://probe:hunter2@{}", free_address());
    let (of_intact, of_broken) = tokio::join!(sweep(&of_intact, &nobody), sweep(&of_broken, &nobody));
    assert_eq!((of_intact.code, of_broken.code), (Some(3), Some(1)));
    for outcome in [of_intact, of_broken] {
        let Outcome { stdout, stderr, .. } = outcome;
        assert!(stderr.contains("Connection refused (os error 111) (4 attempts)"), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
        assert!(stdout.contains("\"registries\""), "the report is printed nevertheless: {stdout}");
    }
}

#[tokio::test]
async fn invalid_gateway_url_exits_2_without_quoting_it() {
    let (_broken, intact) = registries().await;
    let gateway = "probe:hunter2@gateway:9091";
    let outcome = probe(["sweep", "--registry", &intact.url(), "--push.gateway", gateway]).run().await;
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("--push.gateway: invalid Pushgateway URL"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    assert_eq!(intact.request_count(), 0, "nothing is swept for nobody");
}

/// A gateway that answers every request with the next of these, and the last one for ever.
async fn made_up_gateway(answers: Vec<(StatusCode, &'static str)>) -> (Gateway, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let answer = move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(answers[n.min(answers.len() - 1)])
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer)).await });
    let mut gateway = Gateway::new(url.parse().unwrap()).unwrap();
    gateway.first_pause = Duration::from_millis(1);
    (gateway, asked)
}

fn groups() -> Vec<Group> {
    let group = |registry: &str| Group { registry: Some(registry.to_string()), text: String::new() };
    vec![group("a"), group("b")]
}

#[tokio::test]
async fn passing_trouble_is_tried_again_and_a_refusal_is_not() {
    const OK: (StatusCode, &str) = (StatusCode::OK, "");
    const DOWN: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "starting\n");
    const REFUSED: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "inconsistent\u{1b}[2J metrics\n");

    let (gateway, asked) = made_up_gateway(vec![DOWN, DOWN, DOWN, OK]).await;
    gateway.push("job", &groups()).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 5);

    let (gateway, asked) = made_up_gateway(vec![DOWN]).await;
    let error = gateway.push("job", &groups()).await.unwrap_err();
    assert!(matches!(&error, PushError::Unavailable { attempts: 4, .. }), "{error:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 4, "the second group is not tried");

    let (gateway, asked) = made_up_gateway(vec![REFUSED, OK]).await;
    let error = gateway.push("job", &groups()).await.unwrap_err().to_string();
    let expected = "rejected the metrics of registry a: 400 Bad Request inconsistent [2J metrics";
    assert!(error.ends_with(expected), "{error:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 2, "the second group is pushed nevertheless");
}

#[tokio::test]
async fn a_gateway_takes_a_name_that_a_path_cannot_hold() {
    let Some(service) = crate::testkit::monitoring::pushgateway().await else { return };
    let gateway = Gateway::new(service.url("").parse().unwrap()).unwrap();
    for name in ["a/b", "über uns", "..", "a?b#c%2F", "\"\\"] {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("made_up{{registry=\"{escaped}\"}} 7\n");
        gateway.push("nightly/job", &[Group { registry: Some(name.to_string()), text }]).await.unwrap();
        let labels = format!(r#"instance="",job="nightly/job",registry="{escaped}""#);
        let pushed = service.get("/metrics").await;
        assert!(pushed.contains(&format!("made_up{{{labels}}} 7\n")), "{name}: {pushed}");
    }
}

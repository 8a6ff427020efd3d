//! The API's description, held against what the service answers.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::demo::images::populate;
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::state::State;
use registry_integrity_probe::web::Web;
use serde_json::Value;
use tokio::process::Command;

use super::service::Service;
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::{peer, poll_until};

const BOUND: Duration = Duration::from_secs(60);

/// Asks the service until an answer is as it is to be.
async fn poll(service: &RunningProbe, path: &str, is_there: impl Fn(&Value) -> bool) {
    poll_until(BOUND, async || {
        let answer = serde_json::from_str(&service.get(path).await).ok()?;
        is_there(&answer).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_the_service_answers_is_what_is_described() {
    let Some(schemathesis) = peer("schemathesis") else { return };
    let registry = Registry::start().await.unwrap();
    populate(&registry);
    registry.add_dangling_tag("web-frontend:lost");
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "registries: [{{name: private, url: '{}', interval: 1h, spread: 0s, confirm: {{attempts: 1, delay: 10ms}}}},
                      {{name: down, url: 'http://127.0.0.1:9', interval: 1h}}]",
        registry.url()
    );
    fs::write(folder.path().join("probe.yaml"), config).unwrap();
    let arguments = ["serve", "--config.file=probe.yaml", "--web.enable-lifecycle"];
    let service = probe(arguments).current_dir(folder.path()).serve().await;
    let failures = "/api/v1/findings?registry=private";
    poll(&service, failures, |answer| answer["failures"].as_array().is_some_and(|list| list.len() == 4)).await;
    // So that there is something resolved, too.
    registry.push("web-frontend:lost", &Image::manifest());
    crate::testkit::raw_http::ask(service.address(), "POST", "/api/v1/registries/private/sweep").send().await;
    let resolved = "/api/v1/findings?state=resolved";
    poll(&service, resolved, |answer| answer["failures"].as_array().is_some_and(|list| !list.is_empty())).await;
    poll(&service, "/api/v1/findings", |answer| answer["unverified"].as_array().is_some_and(|list| !list.is_empty()))
        .await;

    let run = Command::new(schemathesis)
        .current_dir(folder.path())
        .args(["run", &service.url("/api/v1/openapi.json"), "--checks=all", "--max-examples=25"])
        .args(["--phases=examples,coverage,fuzzing", "--continue-on-failure", "--seed=1", "--no-color"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(BOUND, run).await.expect("an end in time").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(" passed"), "{told}");
}

#[tokio::test]
async fn every_described_path_and_reference_exists() {
    let service = Service::of(State::default()).await;
    let description = service.found("/api/v1/openapi.json").await;
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths: BTreeSet<&str> = description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/api/v1/findings",
        "/api/v1/images",
        "/api/v1/openapi.json",
        "/api/v1/registries",
        "/api/v1/registries/{name}/sweep",
        "/api/v1/sweeps",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
    for path in paths {
        let refused = service.ask("DELETE", &path.replace("{name}", "a"), &[]).await;
        assert_eq!(refused.status, Some(405), "{path}");
    }
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(description["components"]["schemas"][name].is_object(), "{name}");
    }
    let kinds = &description["components"]["schemas"]["Kind"]["enum"];
    assert_eq!(kinds, &Value::from(vec!["manifest", "child", "config", "layer"]));
}

#[tokio::test]
async fn behind_a_proxy_the_description_names_the_prefix() {
    // The second holds what older routers took for a placeholder.
    for prefix in ["/probe", "/:a/*b"] {
        let external_url = Some(format!("https://tools.example.com{prefix}/").parse().unwrap());
        let app = Web { state: Arc::new(State::default()), lifecycle: None, external_url }.into_router();
        let service = Service::serving(Arc::default(), app).await;
        let description = service.found(&format!("{prefix}/api/v1/openapi.json")).await;
        assert_eq!(description["servers"], serde_json::json!([{"url": prefix}]));
        assert_eq!(service.refused(&format!("{prefix}/api/v1/nothing")).await.0, 404);
    }
}

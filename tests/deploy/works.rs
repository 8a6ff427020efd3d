//! What is deployed runs: arguments, configuration and probes, with the project's own binary.

use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;
use registry_integrity_probe::cli::arguments::Cli;
use registry_integrity_probe::demo::{Image, Registry};
use serde_json::Value;

use crate::objects::{arguments, container, everything, parse, workload};
use crate::testkit::poll_until;
use crate::testkit::probe::probe;
use crate::testkit::raw_http::ask;

#[test]
fn every_argument_is_accepted() {
    let Some(all) = everything() else { return };
    for (name, text) in all {
        let objects = parse(&text);
        let arguments = arguments(workload(&objects).1).into_iter().map(|argument| {
            argument.replace("$(PUSH_GATEWAY)", "http://gateway:9091").replace("$(JOB_COMPLETION_INDEX)", "0")
        });
        let parsed = Cli::command().try_get_matches_from(["probe".to_string()].into_iter().chain(arguments));
        assert!(parsed.is_ok(), "{name}: {}", parsed.unwrap_err());
    }
}

#[tokio::test]
async fn every_configuration_is_accepted() {
    let Some(all) = everything() else { return };
    let mut checked = 0;
    for (name, text) in all {
        for object in parse(&text) {
            let Some(config) = object["data"]["config.yaml"].as_str() else { continue };
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("config.yaml");
            std::fs::write(&file, config).unwrap();
            let outcome = probe([Path::new("check-config"), &file]).run().await;
            assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked}");
}

/// The paths that the kubelet asks.
fn probed(container: &Value) -> Vec<String> {
    let paths = ["readinessProbe", "livenessProbe"].map(|probe| container[probe]["httpGet"]["path"].as_str().unwrap());
    paths.map(ToString::to_string).to_vec()
}

#[tokio::test]
async fn a_pod_that_serves_answers_its_probes_and_ends_in_time() {
    let Some(all) = everything() else { return };
    let registry = Registry::start().await.unwrap();
    registry.push("team/app:1", &Image::index());
    for (name, text) in all {
        let objects = parse(&text);
        let template = workload(&objects).1;
        let container = container(template);
        if container["readinessProbe"]["httpGet"].is_null() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, format!("registries: [{{name: private, url: '{}'}}]", registry.url())).unwrap();
        let state = folder.path().join("state");
        let arguments = arguments(template).into_iter().map(|argument| {
            let argument = argument.replace("/etc/probe/config.yaml", config.to_str().unwrap());
            argument.replace("/var/lib/probe", state.to_str().unwrap())
        });
        // A pod's host name is its own.
        let service = probe(arguments).env("POD_NAME", "registry-integrity-probe-0").serve_unasked().await;
        for path in probed(container) {
            poll_until(Duration::from_secs(20), async || {
                (ask(service.address(), "GET", &path).send().await.status == Some(200)).then_some(())
            })
            .await;
        }
        let outcome = service.terminate().await;
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
    }
}

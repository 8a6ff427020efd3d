//! What is shipped is valid, pinned, and says the same everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};

use clap::CommandFactory;
use regex::Regex;
use registry_integrity_probe::cli::arguments::Cli;
use registry_integrity_probe::demo::Registry;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use super::shop::on_this_machine;
use super::{adapted, path, shipped};
use crate::testkit::probe::probe;
use crate::testkit::{free_address, peer};

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&stdout).into_owned()
}

/// The services, as docker compose understands them; `None` if it is not installed.
fn services() -> Option<serde_json::Map<String, Value>> {
    let compose = peer("docker-compose")?;
    let config =
        succeeds(Command::new(compose).arg("--file").arg(path("compose.yaml")).args(["config", "--format=json"]));
    let config: Value = serde_json::from_str(&config).unwrap();
    Some(config["services"].as_object().unwrap().clone())
}

#[test]
fn the_compose_specification_accepts_it() {
    let Some(linter) = peer("check-jsonschema") else { return };
    succeeds(Command::new(linter).args(["--builtin-schema", "vendor.compose-spec"]).arg(path("compose.yaml")));
}

#[test]
fn every_image_has_one_exact_version_and_all_registries_the_same() {
    let Some(services) = services() else { return };
    let version = Regex::new(r":v?\d+\.\d+(\.\d+)?(-alpine)?$").unwrap();
    for (name, service) in &services {
        let image = service["image"].as_str().unwrap();
        assert!(version.is_match(image), "{name}: {image}");
    }
    let registries = ["dockerhub", "ghcr", "quay", "k8s", "kyverno", "private"].map(|name| &services[name]["image"]);
    assert!(registries.iter().all(|image| *image == registries[0]), "{registries:?}");
    let pinned = Regex::new(r":[0-9.]+-[a-z]+$").unwrap();
    for file in ["probe/Containerfile", "compose.yaml"] {
        let text = shipped(file);
        assert!(!text.contains("latest"), "{file}");
        let images = text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
        for image in images {
            assert!(pinned.is_match(image), "{file}: {image}");
        }
    }
    assert!(services["probe"]["image"].as_str().unwrap().ends_with(concat!(":", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_service_has_a_health_check_and_comes_back() {
    let Some(services) = services() else { return };
    for (name, service) in &services {
        assert!(service["healthcheck"]["test"].as_array().is_some_and(|test| test[0] == "CMD"), "{name}");
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
    }
}

#[test]
fn what_it_mounts_is_shipped() {
    let Some(services) = services() else { return };
    let mut mounted = BTreeSet::new();
    for service in services.values() {
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind") {
            let source = volume["source"].as_str().unwrap();
            // Docker makes this folder if it is not there: Grafana then shows no dashboard, and nothing fails.
            assert!(fs::exists(source).unwrap(), "{source}");
            mounted.insert(source.rsplit('/').next().unwrap().to_string());
        }
    }
    for file in ["cache.yml", "private.yml", "nginx.conf", "probe.yaml", "prometheus.yml", "alertmanager.yml", "alerts"]
    {
        assert!(mounted.contains(file), "{file}: {mounted:?}");
    }
}

#[test]
fn the_probe_accepts_its_flags_and_knows_every_registry() {
    let compose = &Yaml::load_from_str(&shipped("compose.yaml")).unwrap()[0];
    let command = compose["services"]["probe"]["command"].as_sequence().unwrap();
    let arguments = command.iter().map(|argument| argument.as_str().unwrap());
    Cli::command().try_get_matches_from(["probe"].into_iter().chain(arguments)).unwrap();

    let config = &Yaml::load_from_str(&shipped("probe/probe.yaml")).unwrap()[0];
    let nginx = shipped("nginx/nginx.conf");
    for registry in config["registries"].as_sequence().unwrap() {
        let (name, url) = (registry["name"].as_str().unwrap(), registry["url"].as_str().unwrap());
        let port = url.strip_prefix("http://nginx:").unwrap();
        assert!(nginx.contains(&format!("{port} {name}:5000;")), "{name}");
        assert!(nginx.contains(&format!("listen {port};")), "{name}");
        let service = compose["services"][name].as_mapping().unwrap();
        let is_cache = service.keys().any(|key| key.as_str() == Some("environment"));
        let is_asked_as_cache = registry.as_mapping().unwrap().keys().any(|key| key.as_str() == Some("mode"));
        assert_eq!(is_asked_as_cache, is_cache, "{name}");
    }
}

#[tokio::test]
async fn the_probe_s_health_check_works_and_can_fail() {
    let Some(bash) = peer("bash") else { return };
    let compose = &Yaml::load_from_str(&shipped("compose.yaml")).unwrap()[0];
    let check = compose["services"]["probe"]["healthcheck"]["test"].as_sequence().unwrap();
    let check: Vec<&str> = check.iter().map(|argument| argument.as_str().unwrap()).collect();
    assert_eq!(check[..3], ["CMD", "bash", "-c"]);
    let registry = Registry::start().await.unwrap();
    let service = probe(["serve", "--registry", &registry.url()]).serve().await;
    let health = async |address: SocketAddr| {
        let script = adapted(check[3], &[("127.0.0.1/10500", &format!("127.0.0.1/{}", address.port()))]);
        tokio::process::Command::new(&bash).args(["-c", &script]).status().await.unwrap().success()
    };
    assert!(health(service.address()).await);
    assert!(!health(free_address()).await);
}

#[test]
fn prometheus_and_alertmanager_accept_their_files() {
    if let Some(promtool) = peer("promtool") {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(path("prometheus/prometheus.yml"), folder.path().join("prometheus.yml")).unwrap();
        let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts");
        std::os::unix::fs::symlink(alerts, folder.path().join("alerts")).unwrap();
        let said = succeeds(Command::new(promtool).args(["check", "config"]).arg(folder.path().join("prometheus.yml")));
        assert!(said.contains("registry-integrity.rules.yaml"), "{said}");
    }
    if let Some(amtool) = peer("amtool") {
        succeeds(Command::new(amtool).arg("check-config").arg(path("alertmanager/alertmanager.yml")));
    }
}

#[test]
fn nginx_accepts_its_file() {
    let Some(nginx) = peer("nginx") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    fs::write(&file, on_this_machine(&shipped("nginx/nginx.conf"), folder.path(), free_address())).unwrap();
    succeeds(Command::new(nginx).arg("-t").arg("-p").arg(folder.path()).arg("-c").arg(&file));
}

/// README.md's first commands make what compose.yaml wants to read.
#[test]
fn the_secrets_are_made_as_the_readme_says() {
    let (Some(_), Some(_)) = (peer("htpasswd"), peer("openssl")) else { return };
    let readme = shipped("README.md");
    let script = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    succeeds(Command::new("/bin/sh").args(["-euc", script]).current_dir(folder.path()));
    let read = |name: &str| fs::read_to_string(folder.path().join("secrets").join(name)).unwrap();
    let compose = &Yaml::load_from_str(&shipped("compose.yaml")).unwrap()[0];
    for (_, secret) in compose["secrets"].as_mapping().unwrap() {
        let file = secret["file"].as_str().unwrap().rsplit('/').next().unwrap();
        assert!(!read(file).is_empty(), "{file}");
    }
    let htpasswd = read("htpasswd");
    let users: Vec<(&str, &str)> = htpasswd.lines().map(|line| line.split_once(':').unwrap()).collect();
    assert_eq!(users.iter().map(|(user, _)| *user).collect::<Vec<_>>(), ["probe", "ci"]);
    for (user, hash) in users {
        assert!(bcrypt::verify(read(&format!("{user}-password")), hash).unwrap(), "{user}");
    }
}

//! The main job on Debian's docker-registry: the incident as it really happens, found by the probe's own binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use registry_integrity_probe::demo::{Image, Part};
use registry_integrity_probe::oci::Digest;
use serde_json::Value;
use tempfile::TempDir;

use crate::testkit::docker_registry::{DockerRegistry, Options, PASSWORD, USERNAME};
use crate::testkit::probe::{Outcome, probe};
use crate::testkit::raw_http::ask;
use crate::testkit::skopeo::skopeo_copy;

/// A configuration file for one registry, in a folder of its own.
struct Configuration {
    folder: TempDir,
}

impl Configuration {
    /// With a confirmation that does not take long, and more keys of the registry.
    fn of(registry: &DockerRegistry, keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = registry.url();
        let text = format!(
            "registries:\n  - name: private\n    url: {url}\n    confirm: {{attempts: 2, delay: 50ms}}\n{keys}"
        );
        fs::write(folder.path().join("probe.yaml"), text).unwrap();
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("probe.yaml")
    }
}

/// One sweep with the binary: its exit code and its only report.
async fn sweep(configuration: &Configuration) -> (Option<i32>, Value) {
    let Outcome { code, stdout, stderr } =
        probe(["sweep", "--output", "json", "--config.file", &configuration.path().display().to_string()]).run().await;
    let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert_eq!(document["registries"].as_array().map(Vec::len), Some(1));
    (code, document["registries"][0].clone())
}

/// A failure as (repository, digest, kind, reason).
type Named = (String, String, String, String);

fn named(repository: &str, part: &Part, kind: &str, reason: &str) -> Named {
    (repository.to_string(), part.digest.to_string(), kind.to_string(), reason.to_string())
}

fn failures(report: &Value) -> BTreeSet<Named> {
    let text = |failure: &Value, key: &str| failure[key].as_str().unwrap_or_default().to_string();
    let all = report["failures"].as_array().unwrap();
    all.iter().map(|f| (text(f, "repository"), text(f, "digest"), text(f, "kind"), text(f, "reason"))).collect()
}

fn index(name: &str) -> Image {
    Image::index().named(name).platforms(["linux/amd64", "linux/arm64"]).with_attestation()
}

/// Sweeps and wants exactly these failures, nothing unverified, and everything but these images intact.
async fn expect_failures(configuration: &Configuration, expected: impl IntoIterator<Item = Named>, broken_images: u64) {
    let (code, report) = sweep(configuration).await;
    assert_eq!(failures(&report), expected.into_iter().collect(), "{report:#}");
    assert_eq!(report["unverified"], Value::Array(Vec::new()));
    assert_eq!(report["outcome"], "complete");
    assert_eq!(report["images"]["broken"], broken_images);
    assert_eq!(report["images"]["unverified"], 0);
    assert!(report["images"]["intact"].as_u64().unwrap() >= 1, "the healthy rest stays intact");
    assert_eq!(code, Some(1));
}

async fn expect_intact(configuration: &Configuration) {
    let (code, report) = sweep(configuration).await;
    assert_eq!((code, failures(&report)), (Some(0), BTreeSet::new()), "{report:#}");
    assert_eq!(report["images"]["broken"], 0);
}

/// A blob that the registry has served once is in its cache.
async fn warm(registry: &DockerRegistry, repository: &str, digest: &Digest) {
    let answer = ask(registry.address(), "HEAD", &format!("/v2/{repository}/blobs/{digest}")).send().await;
    assert_eq!(answer.status, Some(200));
}

#[tokio::test]
async fn a_garbage_collection_takes_the_children_of_a_tagged_index() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let images: Vec<Image> = (1..=3).map(|n| index(&format!("infra-ci build {n}"))).collect();
    registry.push("healthy:1", &Image::manifest().named("healthy")).await;
    for image in &images {
        registry.push("infra-ci:latest", image).await;
    }
    let configuration = Configuration::of(&registry, "");
    expect_intact(&configuration).await;

    let collected = registry.garbage_collect(true);
    assert!(collected.status.success(), "{collected:?}");

    let answer = ask(registry.address(), "HEAD", "/v2/infra-ci/manifests/latest")
        .header("Accept", "application/vnd.oci.image.index.v1+json")
        .send()
        .await;
    assert_eq!(answer.status, Some(200), "the registry goes on to list and answer the tag");
    let lost = images[2].children().map(|child| named("infra-ci", child, "child", "missing"));
    expect_failures(&configuration, lost, 1).await;

    registry.push("infra-ci:latest", &images[2]).await;
    expect_intact(&configuration).await;
}

#[tokio::test]
async fn child_without_revision_link_is_missing_with_tags() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let image = index("infra-ci");
    for tag in ["latest", "5319f03e"] {
        registry.push(&format!("infra-ci:{tag}"), &image).await;
    }
    registry.push("infra-ci:other", &index("other")).await;
    // The same image elsewhere has links of its own.
    registry.push("mirror/infra-ci:latest", &image).await;
    let child = image.child("linux/amd64").unwrap();
    fs::remove_file(registry.revision_link("infra-ci", &child.digest)).unwrap();

    let configuration = Configuration::of(&registry, "");
    expect_failures(&configuration, [named("infra-ci", child, "child", "missing")], 2).await;
    let (_, report) = sweep(&configuration).await;
    let failure = &report["failures"][0];
    assert_eq!(failure["platform"], "linux/amd64");
    assert_eq!(failure["images"], serde_json::json!(["infra-ci:5319f03e", "infra-ci:latest"]));
    assert_eq!(
        failure["path"],
        serde_json::json!(["infra-ci:5319f03e", image.root().digest.to_string(), child.digest.to_string()])
    );
    assert!(failure["detail"].as_str().unwrap().contains("404 MANIFEST_UNKNOWN, confirmed 2 times"), "{failure}");
}

#[tokio::test]
async fn blob_deleted_under_warm_cache_is_unreadable() {
    let options = Options { cache: true, ..Options::default() };
    let Some(registry) = DockerRegistry::start_with(options).await else { return };
    let image = index("app");
    registry.push("app:1", &image).await;
    registry.push("healthy:1", &index("healthy")).await;
    let layer = image.layers().next().unwrap();
    warm(&registry, "app", &layer.digest).await;
    fs::remove_file(registry.blob_data(&layer.digest)).unwrap();
    warm(&registry, "app", &layer.digest).await;

    let configuration = Configuration::of(&registry, "");
    expect_failures(&configuration, [named("app", layer, "layer", "unreadable")], 1).await;
}

#[tokio::test]
async fn truncated_blob_is_found_despite_a_warm_cache() {
    for (cache, reason) in [(false, "size_mismatch"), (true, "unreadable")] {
        let Some(registry) = DockerRegistry::start_with(Options { cache, ..Options::default() }).await else { return };
        let image = index("app");
        registry.push("app:1", &image).await;
        registry.push("healthy:1", &index("healthy")).await;
        let layers: Vec<_> = image.layers().take(2).collect();
        for layer in &layers {
            warm(&registry, "app", &layer.digest).await;
        }
        fs::write(registry.blob_data(&layers[0].digest), layers[0].truncated(7)).unwrap();
        fs::write(registry.blob_data(&layers[1].digest), b"").unwrap();

        let configuration = Configuration::of(&registry, "");
        let expected = layers.iter().map(|layer| named("app", layer, "layer", reason));
        expect_failures(&configuration, expected, 1).await;
    }
}

#[tokio::test]
async fn an_empty_manifest_is_unreadable_while_its_neighbours_are_served() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let (child_is_empty, root_is_empty) = (index("child is empty"), Image::manifest().named("root is empty"));
    registry.push("a:1", &child_is_empty).await;
    registry.push("b:1", &root_is_empty).await;
    for n in 0..12 {
        registry.push(&format!("healthy:{n}"), &Image::manifest().named(&format!("healthy {n}"))).await;
    }
    let child = child_is_empty.child("linux/arm64").unwrap();
    fs::write(registry.blob_data(&child.digest), b"").unwrap();
    fs::write(registry.blob_data(&root_is_empty.root().digest), b"").unwrap();

    let configuration = Configuration::of(&registry, "");
    // The registry names no digest for a tag that it cannot read.
    let tag = ("b".to_string(), String::new(), "manifest".to_string(), "unreadable".to_string());
    expect_failures(&configuration, [named("a", child, "child", "unreadable"), tag], 2).await;
}

#[tokio::test]
async fn altered_bytes_of_a_manifest_do_not_hash_to_its_digest() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let image = index("app");
    registry.push("app:1", &image).await;
    registry.push("healthy:1", &index("healthy")).await;
    let child = image.child("linux/amd64").unwrap();
    // Another digest of a layer: as long, still JSON, and the registry serves it under its old digest.
    let text = String::from_utf8(child.bytes.to_vec()).unwrap();
    let altered = match text.rfind("sha256:") {
        Some(at) if text[at..].starts_with("sha256:0") => text[..at].to_string() + "sha256:1" + &text[at + 8..],
        Some(at) => text[..at].to_string() + "sha256:0" + &text[at + 8..],
        None => panic!("{text}"),
    };
    fs::write(registry.blob_data(&child.digest), altered).unwrap();
    expect_failures(&Configuration::of(&registry, ""), [named("app", child, "child", "digest_mismatch")], 1).await;
}

#[tokio::test]
async fn missing_credentials_are_unverified_present_ones_are_used() {
    let options = Options { htpasswd: true, ..Options::default() };
    let Some(registry) = DockerRegistry::start_with(options).await else { return };
    let image = index("app");
    registry.push("app:1", &image).await;

    let basic = format!("    basic_auth: {{username: {USERNAME}, password_file: password}}\n");
    expect_intact(&Configuration::of(&registry, &basic)).await;

    let docker = Configuration::of(&registry, "    docker_config: config.json\n");
    // The base64 of probe:secret.
    let auths = serde_json::json!({"auths": {registry.address().to_string(): {"auth": "cHJvYmU6c2VjcmV0"}}});
    fs::write(docker.folder.path().join("config.json"), auths.to_string()).unwrap();
    expect_intact(&docker).await;

    for keys in ["", "    basic_auth: {username: probe, password: wrong-one}\n"] {
        let (code, report) = sweep(&Configuration::of(&registry, keys)).await;
        assert_eq!((code, &report["outcome"]), (Some(3), &Value::from("failed")));
        assert_eq!((failures(&report), &report["catalog_accessible"]), (BTreeSet::new(), &Value::Bool(false)));
        assert_eq!(report["unverified"][0]["cause"], "unauthorized");
        assert!(report["requests"].as_u64().unwrap() <= 3, "{report}");
        assert!(!report.to_string().contains("wrong-one"));
    }

    fs::remove_file(registry.revision_link("app", &image.child("linux/amd64").unwrap().digest)).unwrap();
    let (code, report) = sweep(&Configuration::of(&registry, &basic)).await;
    assert_eq!((code, failures(&report).len()), (Some(1), 1));
}

#[tokio::test]
async fn what_skopeo_pushed_is_walked_as_well() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let image = index("from skopeo");
    let Some(copied) = skopeo_copy(&image, &registry, "foreign/app:1").await else { return };
    assert!(copied.status.success(), "{copied:?}");
    registry.push("healthy:1", &index("healthy")).await;
    let configuration = Configuration::of(&registry, "");
    expect_intact(&configuration).await;
    let config = image.configs().next().unwrap();
    fs::remove_file(registry.layer_link("foreign/app", &config.digest)).unwrap();
    expect_failures(&configuration, [named("foreign/app", config, "config", "missing")], 1).await;
}

#[tokio::test]
async fn every_fault_among_five_hundred_tags_is_found() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let mut images = Vec::new();
    for repository in 0..50 {
        for tag in 0..10 {
            let name = format!("team-{}/app-{repository}", repository % 7);
            // Every other tag of a repository shares its content with the one before.
            let content = format!("{name} {}", tag / 2);
            let image = match (repository + tag / 2) % 5 {
                0 => Image::index().named(&content).platforms(["linux/amd64", "linux/arm64"]).with_attestation(),
                1 => Image::manifest().named(&content).docker(),
                2 => Image::artifact("application/spdx+json").named(&content),
                3 => Image::index().named(&content).docker().platforms(["linux/amd64", "linux/s390x"]),
                _ => Image::manifest().named(&content).based_on("debian").with_layers(3),
            };
            registry.push(&format!("{name}:{tag}"), &image).await;
            images.push((name, image));
        }
    }
    let configuration = Configuration::of(&registry, "");
    let (code, report) = sweep(&configuration).await;
    assert_eq!((code, &report["images"]["intact"], &report["repositories"]), (Some(0), &500.into(), &50.into()));

    let (indexed, index) = &images[0];
    let (listed, list) = images.iter().find(|(_, image)| image.child("linux/s390x").is_some()).unwrap();
    let (single, manifest) = images.iter().find(|(_, image)| image.layers().count() == 3).unwrap();
    let child = index.child("linux/arm64").unwrap();
    let s390x = list.child("linux/s390x").unwrap();
    let (config, layer) = (manifest.configs().next().unwrap(), manifest.layers().last().unwrap());
    fs::remove_file(registry.revision_link(indexed, &child.digest)).unwrap();
    fs::remove_file(registry.revision_link(listed, &s390x.digest)).unwrap();
    fs::remove_file(registry.layer_link(single, &config.digest)).unwrap();
    fs::remove_file(registry.layer_link(single, &layer.digest)).unwrap();

    let broken = [
        named(indexed, child, "child", "missing"),
        named(listed, s390x, "child", "missing"),
        named(single, config, "config", "missing"),
        named(single, layer, "layer", "missing"),
    ];
    expect_failures(&configuration, broken, 6).await;

    for (name, image) in [(indexed, index), (listed, list), (single, manifest)] {
        registry.push(name, image).await;
    }
    expect_intact(&configuration).await;
}

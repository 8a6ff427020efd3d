//! Registries other than distribution, healthy and damaged: no false alarm, and nothing intact without proof.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use registry_integrity_probe::demo::{Image, Part};
use serde_json::Value;

use crate::testkit::crane::CraneRegistry;
use crate::testkit::olareg::Olareg;
use crate::testkit::probe::{Outcome, probe};

fn index(name: &str) -> Image {
    Image::index().named(name).platforms(["linux/amd64", "linux/arm64"]).with_attestation()
}

/// One sweep that confirms without long waits and reads a byte of each blob: its exit code and its report.
async fn sweep(registry: &CraneRegistry) -> (Option<i32>, Value) {
    sweep_of(&registry.url(), "[]").await
}

/// The same of named images, where there is no catalog.
async fn sweep_of(url: &str, images: &str) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.yaml");
    let text = format!("registries: [{{url: '{url}', images: {images}, confirm: {{attempts: 2, delay: 50ms}}}}]");
    fs::write(&file, text).unwrap();
    let arguments = ["sweep", "--output", "json", "--config.file", file.to_str().unwrap()];
    let Outcome { code, stdout, stderr } = probe(arguments).run().await;
    let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (code, document["registries"][0].clone())
}

async fn verify(registry: &CraneRegistry, image: &str) -> Outcome {
    verify_at(registry.address(), image).await
}

async fn verify_at(address: SocketAddr, image: &str) -> Outcome {
    let image = format!("{address}/{image}");
    probe(["verify", "--evidence", "content", &image]).run().await
}

/// Digest, kind and reason of each failure.
fn failures(report: &Value) -> BTreeSet<[String; 3]> {
    let text = |failure: &Value, key: &str| failure[key].as_str().unwrap_or_default().to_string();
    let failures = report["failures"].as_array().unwrap();
    failures.iter().map(|failure| ["digest", "kind", "reason"].map(|key| text(failure, key))).collect()
}

fn missing(part: &Part, kind: &str) -> [String; 3] {
    [part.digest.to_string(), kind.to_string(), "missing".to_string()]
}

/// Images of every form, one repository with more tags than a page of the list, and one without tags.
async fn healthy() -> Option<CraneRegistry> {
    let registry = CraneRegistry::start().await?;
    let app = index("app");
    registry.push("team/app:1", &app).await;
    registry.push("team/app:signature", &Image::signature_of(&app)).await;
    registry.push("team/app:sbom", &Image::artifact("application/spdx+json").with_subject(&app.root().digest)).await;
    registry.push("nested:1", &Image::index().containing([app])).await;
    registry.push("docker:1", &Image::index().docker().platforms(["linux/amd64", "linux/s390x"])).await;
    registry.push("chart:1", &Image::helm_chart()).await;
    let image = Image::manifest().named("often").with_layers(3);
    registry.push("often:0", &image).await;
    registry.put_manifests(image.root(), (1..=1100).map(|tag| ("often".to_string(), tag.to_string()))).await;
    // Still in the catalog, with `"tags": null`.
    registry.push("emptied:1", &Image::manifest().named("emptied")).await;
    registry.delete_manifest("emptied", &Image::manifest().named("emptied").root().digest).await;
    registry.delete_tag("emptied", "1").await;
    Some(registry)
}

#[tokio::test]
async fn a_healthy_registry_of_crane_is_intact() {
    let Some(registry) = healthy().await else { return };
    let (code, report) = sweep(&registry).await;
    assert_eq!((code, &report["outcome"]), (Some(0), &Value::from("complete")), "{report:#}");
    assert_eq!(report["images"], serde_json::json!({"intact": 1107, "broken": 0, "unverified": 0}));
    assert_eq!(report["repositories"], 6);
    for image in ["team/app:1", "team/app:sbom", "nested:1", "docker:1", "chart:1", "often:1100"] {
        let outcome = verify(&registry, image).await;
        assert_eq!(outcome.code, Some(0), "{image}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_a_registry_of_crane_lost_is_missing() {
    let Some(registry) = CraneRegistry::start().await else { return };
    let (app, tool) = (index("app"), Image::manifest().named("tool").with_layers(3));
    registry.push("team/app:1", &app).await;
    registry.push("tool:1", &tool).await;
    registry.push("whole:1", &index("whole")).await;
    assert_eq!(sweep(&registry).await.0, Some(0));

    let child = app.child("linux/amd64").unwrap();
    registry.delete_manifest("team/app", &child.digest).await;
    let config = tool.configs().next().unwrap();
    let layers: Vec<&Part> = tool.layers().collect();
    fs::remove_file(registry.blob_file(&config.digest)).unwrap();
    // crane hashes a file before it serves it, and answers 404 for one that is damaged.
    fs::remove_file(registry.blob_file(&layers[0].digest)).unwrap();
    fs::write(registry.blob_file(&layers[1].digest), layers[1].truncated(1)).unwrap();
    fs::write(registry.blob_file(&layers[2].digest), layers[2].flipped()).unwrap();

    let (code, report) = sweep(&registry).await;
    let mut lost = BTreeSet::from([missing(child, "child"), missing(config, "config")]);
    lost.extend(layers.iter().map(|layer| missing(layer, "layer")));
    assert_eq!((code, failures(&report)), (Some(1), lost), "{report:#}");
    assert_eq!(report["images"], serde_json::json!({"intact": 1, "broken": 2, "unverified": 0}));
    for (image, code) in [("team/app:1", 1), ("tool:1", 1), ("whole:1", 0)] {
        let outcome = verify(&registry, image).await;
        assert_eq!(outcome.code, Some(code), "{image}: {outcome:?}");
    }

    registry.push("team/app:1", &app).await;
    registry.push("tool:1", &tool).await;
    assert_eq!(sweep(&registry).await.0, Some(0));
}

/// crane limits the catalog to `n` names in random order, ignores `last` there, and starts again after the last tag.
#[tokio::test]
async fn lists_of_crane_are_read_completely() {
    let Some(registry) = CraneRegistry::start().await else { return };
    let empty = Image::raw("application/vnd.oci.image.index.v1+json", r#"{"schemaVersion":2,"manifests":[]}"#);
    let names = (0..1201).map(|n| (format!("r{n:05}"), "1".to_string()));
    let tags = (2..=1000).map(|tag| ("r00000".to_string(), tag.to_string()));
    registry.put_manifests(empty.root(), names.chain(tags)).await;
    let (code, report) = sweep(&registry).await;
    assert_eq!((code, &report["outcome"], &report["repositories"]), (Some(0), &"complete".into(), &1201.into()));
    assert_eq!(report["images"], serde_json::json!({"intact": 2200, "broken": 0, "unverified": 0}));
}

#[tokio::test]
async fn a_healthy_olareg_is_intact() {
    let Some(registry) = Olareg::start().await else { return };
    let app = index("app");
    registry.push("team/app:1", &app).await;
    registry.push("team/app:signature", &Image::signature_of(&app)).await;
    registry.push("team/app:sbom", &Image::artifact("application/spdx+json").with_subject(&app.root().digest)).await;
    registry.push("nested:1", &Image::index().containing([app])).await;
    registry.push("chart:1", &Image::helm_chart()).await;
    let (code, report) = sweep_of(&registry.url(), "[team/app, nested, chart]").await;
    assert_eq!((code, &report["outcome"]), (Some(0), &Value::from("complete")), "{report:#}");
    assert_eq!(report["images"]["intact"].as_u64(), Some(5), "{report:#}");
    for image in ["team/app:1", "team/app:sbom", "nested:1", "chart:1"] {
        let outcome = verify_at(registry.address(), image).await;
        assert_eq!(outcome.code, Some(0), "{image}: {outcome:?}");
    }
}

#[tokio::test]
async fn olareg_without_catalog_is_unverified() {
    let Some(registry) = Olareg::start().await else { return };
    registry.push("app:1", &index("app")).await;
    let (code, report) = sweep_of(&registry.url(), "[]").await;
    assert_eq!((code, &report["outcome"]), (Some(3), &Value::from("failed")), "{report:#}");
    assert_eq!(report["failures"], serde_json::json!([]));
}

#[tokio::test]
async fn files_removed_from_olareg_are_missing() {
    let Some(registry) = Olareg::start().await else { return };
    let (app, tool) = (index("app"), Image::manifest().named("tool").with_layers(2));
    registry.push("team/app:1", &app).await;
    registry.push("tool:1", &tool).await;
    registry.push("other:1", &index("other")).await;
    let images = "[team/app, tool, other]";
    assert_eq!(sweep_of(&registry.url(), images).await.0, Some(0));

    let (child, config) = (app.child("linux/amd64").unwrap(), tool.configs().next().unwrap());
    let layer = tool.layers().next().unwrap();
    fs::remove_file(registry.blob_file("team/app", &child.digest)).unwrap();
    fs::remove_file(registry.blob_file("tool", &config.digest)).unwrap();
    fs::remove_file(registry.blob_file("tool", &layer.digest)).unwrap();
    let (code, report) = sweep_of(&registry.url(), images).await;
    let lost = BTreeSet::from([missing(child, "child"), missing(config, "config"), missing(layer, "layer")]);
    assert_eq!((code, failures(&report)), (Some(1), lost), "{report:#}");
    assert_eq!(report["images"], serde_json::json!({"intact": 1, "broken": 2, "unverified": 0}));
    for (image, code) in [("team/app:1", 1), ("tool:1", 1), ("other:1", 0)] {
        let outcome = verify_at(registry.address(), image).await;
        assert_eq!(outcome.code, Some(code), "{image}: {outcome:?}");
    }
}

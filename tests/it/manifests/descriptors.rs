//! What manifests name that is no image: other content in an index, types that few registries know, descriptors that lead
//! nowhere.

use registry_integrity_probe::config::Target;
use registry_integrity_probe::demo::fault::{at, demands_named_type};
use registry_integrity_probe::demo::{Endpoint, Headers, Image, Part, Registry};
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::report::{Cause, Kind, Reason, Report};
use serde_json::{Value, json};

use crate::testkit::docker_registry::DockerRegistry;
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(bytes).to_string(), "size": bytes.len()})
}

/// What `docker buildx build --cache-to type=registry` pushes.
fn build_cache() -> (Image, [&'static [u8]; 3]) {
    let blobs: [&[u8]; 3] = [b"a layer of the cache", b"another layer of the cache", br#"{"layers":[],"records":[]}"#];
    let entries = [(OCI_LAYER, blobs[0]), (OCI_LAYER, blobs[1]), (CACHE_CONFIG, blobs[2])];
    let entries = entries.map(|(media_type, bytes)| descriptor(media_type, bytes));
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    (Image::raw(OCI_INDEX, index.to_string()), blobs)
}

async fn registry_with_whole() -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("whole:1", &Image::manifest().named("whole"));
    registry
}

/// An image of a config and two layers, whose manifest is changed before it is pushed as `app:1`.
async fn changed(change: impl FnOnce(&mut Value)) -> (Registry, Image, Digest) {
    let image = Image::manifest().named("app");
    let mut manifest: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    change(&mut manifest);
    let changed = Image::raw(OCI_MANIFEST, manifest.to_string());
    let registry = registry_with_whole().await;
    for part in image.configs().chain(image.layers()) {
        registry.put_blob("app", &part.digest, part.bytes.clone());
    }
    registry.push("app:1", &changed);
    let digest = changed.root().digest.clone();
    (registry, image, digest)
}

fn found(report: &Report) -> Vec<(Option<Digest>, Kind, Reason)> {
    report.failures.iter().map(|it| (it.digest.clone(), it.kind, it.reason)).collect()
}

#[tokio::test]
async fn layers_in_a_build_cache_index_are_blobs() {
    let (cache, blobs) = build_cache();
    let registry = registry_with_whole().await;
    for bytes in blobs {
        registry.put_blob("cache", &Digest::sha256(bytes), bytes);
    }
    registry.push("cache:1", &cache);
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((reasons(&report), causes(&report), report.images.intact), (vec![], vec![], 2), "{report:#?}");
    let of_blobs = |path: &str| blobs.iter().any(|bytes| path.ends_with(&Digest::sha256(bytes).to_string()));
    let asked = registry.requests().into_iter().filter(|request| of_blobs(&request.path));
    assert!(asked.into_iter().all(|request| request.endpoint == Endpoint::Blob));

    registry.remove_blob("cache", &Digest::sha256(blobs[1]));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(found(&report), [(Some(Digest::sha256(blobs[1])), Kind::Layer, Reason::Missing)]);
}

#[tokio::test]
async fn a_build_cache_on_docker_registry_is_intact() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let (cache, blobs) = build_cache();
    let whole = Image::manifest().named("whole");
    registry.push("whole:1", &whole).await;
    let part = whole.layers().next().unwrap();
    for bytes in blobs {
        let blob = Part { digest: Digest::sha256(bytes), bytes: bytes.to_vec().into(), ..part.clone() };
        registry.destination().push_blob("cache", &blob).await;
    }
    registry.push("cache:1", &cache).await;
    let report = Sweeping::over(&registry.url()).sweep().await;
    assert_eq!((reasons(&report), causes(&report), report.images.intact), (vec![], vec![], 2), "{report:#?}");
    std::fs::remove_file(registry.layer_link("cache", &Digest::sha256(blobs[0]))).unwrap();
    let report = Sweeping::over(&registry.url()).sweep().await;
    assert_eq!(found(&report), [(Some(Digest::sha256(blobs[0])), Kind::Layer, Reason::Missing)]);
}

#[tokio::test]
async fn an_entry_of_another_platform_may_be_absent_whatever_it_is() {
    let (cache, blobs) = build_cache();
    let mut index: Value = serde_json::from_slice(&cache.root().bytes).unwrap();
    index["manifests"][0]["platform"] = json!({"os": "linux", "architecture": "arm64"});
    let registry = registry_with_whole().await;
    for bytes in &blobs[1..] {
        registry.put_blob("cache", &Digest::sha256(bytes), *bytes);
    }
    registry.push("cache:1", &Image::raw(OCI_INDEX, index.to_string()));
    for (platform, broken) in [("linux/arm64/v8", 1), ("linux/amd64", 0)] {
        let wanted = |target: &mut Target| {
            target.platforms = vec![platform.parse().unwrap()];
        };
        let report = Sweeping::of(&registry).with(wanted).sweep().await;
        assert_eq!(report.images.broken, broken, "{platform}: {report:#?}");
    }
}

#[tokio::test]
async fn every_manifest_type_is_accepted_explicitly() {
    let registry = registry_with_whole().await;
    registry.fault(at(Endpoint::Manifest), demands_named_type());
    let layer = b"an artifact's only blob";
    registry.put_blob("app", &Digest::sha256(layer), layer.to_vec());
    for (tag, media_type) in [
        ("oci", "application/vnd.oci.artifact.manifest.v1+json"),
        ("oras", "application/vnd.cncf.oras.artifact.manifest.v1+json"),
    ] {
        let artifact = json!({"schemaVersion": 2, "mediaType": media_type, "blobs": [descriptor("text/plain", layer)]});
        registry.push(&format!("app:{tag}"), &Image::raw(media_type, artifact.to_string()));
    }
    registry.push("app:list", &Image::index().named("list").docker());
    for media_type in [
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
    ] {
        let schema_one = json!({"schemaVersion": 1, "name": media_type, "fsLayers": []});
        registry.push(&format!("old:{}", media_type.len()), &Image::raw(media_type, schema_one.to_string()));
    }
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((reasons(&report), report.images.intact), (vec![], 4), "{report:#?}");
    assert_eq!(causes(&report), [Cause::Protocol; 2], "schema 1 is not checked: {report:#?}");
    assert!(report.unverified.iter().all(|entry| entry.detail.contains("schema 1")), "{report:#?}");
}

#[tokio::test]
async fn content_of_unknown_type_is_an_intact_leaf() {
    let registry = registry_with_whole().await;
    let gone = descriptor(OCI_LAYER, b"nobody has this");
    let thing = "application/vnd.example.thing+json";
    for (tag, content_type, content) in [
        ("typed", thing, json!({"schemaVersion": 2, "mediaType": thing, "layers": [gone]})),
        ("typeless", thing, json!({"schemaVersion": 2, "layers": [gone]})),
        ("other", thing, json!({"schemaVersion": 2, "anything": "else"})),
        ("generic", "application/json", json!({"schemaVersion": 2, "mediaType": thing, "config": gone})),
    ] {
        registry.push(&format!("app:{tag}"), &Image::raw(content_type, content.to_string()));
    }
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((reasons(&report), causes(&report), report.images.intact), (vec![], vec![], 5), "{report:#?}");
    // Bytes that are not those of the digest are wrong whatever their type.
    let content = json!({"schemaVersion": 2, "anything": "else"}).to_string();
    let other = content.replace("else", "more");
    let digest = Digest::sha256(content.as_bytes());
    registry.replace("app", &digest, other, Headers::Stale);
    assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::DigestMismatch]);
}

#[tokio::test]
async fn a_known_type_that_does_not_parse_is_malformed() {
    let registry = registry_with_whole().await;
    registry.push("app:1", &Image::raw(OCI_MANIFEST, r#"{"schemaVersion":2,"anything":"else"}"#));
    assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::Malformed]);
}

#[tokio::test]
async fn generic_content_is_intact_unless_called_a_manifest() {
    let registry = registry_with_whole().await;
    let content = |name: &str| json!({"schemaVersion": 2, "anything": name}).to_string();
    for (tag, content_type) in
        [("octets", "application/octet-stream"), ("text", "text/plain; charset=utf-8"), ("json", "application/json")]
    {
        registry.push(&format!("app:{tag}"), &Image::raw(content_type, content(tag)));
    }
    let mut sweeping = Sweeping::of(&registry);
    let report = sweeping.sweep().await;
    assert_eq!((reasons(&report), causes(&report), report.images.intact), (vec![], vec![], 4), "{report:#?}");

    let digest = Digest::sha256(content("text").as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [descriptor(OCI_MANIFEST, content("text").as_bytes())]});
    registry.push("app:index", &Image::raw("application/json", index.to_string()));
    registry.delete_tag("app:text");
    let report = sweeping.sweep().await;
    assert_eq!(found(&report), [(Some(digest), Kind::Child, Reason::Malformed)], "{report:#?}");
}

#[tokio::test]
async fn one_unusable_descriptor_is_one_finding_and_hides_no_other() {
    for change in [
        (|manifest: &mut Value| manifest["config"]["digest"] = json!("")) as fn(&mut Value),
        |manifest: &mut Value| manifest["config"]["digest"] = json!("sha256:abc"),
        |manifest: &mut Value| manifest["config"]["digest"] = Value::Null,
        |manifest: &mut Value| manifest["config"]["size"] = json!("5"),
    ] {
        let (registry, image, manifest) = changed(change).await;
        let mut sweeping = Sweeping::of(&registry);
        let report = sweeping.sweep().await;
        assert_eq!(found(&report), [(Some(manifest.clone()), Kind::Manifest, Reason::Malformed)], "{report:#?}");
        assert!(report.failures[0].detail.contains("config has"), "{report:#?}");
        assert_eq!((causes(&report), report.images.broken, report.objects.get(Kind::Layer)), (vec![], 1, 4));

        let lost = image.layers().next().unwrap();
        registry.remove_blob("app", &lost.digest);
        let report = sweeping.sweep().await;
        let both = [
            (Some(manifest), Kind::Manifest, Reason::Malformed),
            (Some(lost.digest.clone()), Kind::Layer, Reason::Missing),
        ];
        assert_eq!(found(&report).len(), 2, "{report:#?}");
        assert!(both.iter().all(|it| found(&report).contains(it)), "{report:#?}");
        registry.put_blob("app", &lost.digest, lost.bytes.clone());
        assert_eq!(found(&sweeping.sweep().await).len(), 1, "what lies below is resolved by itself");
    }
}

#[tokio::test]
async fn a_negative_size_is_one_unverified_object_and_hides_no_other() {
    let (registry, image, _) = changed(|manifest| manifest["layers"][1]["size"] = json!(-1)).await;
    let odd = image.layers().nth(1).unwrap();
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((found(&report), causes(&report)), (vec![], vec![Cause::Protocol]), "{report:#?}");
    let entry = &report.unverified[0];
    assert_eq!((entry.reference.as_str(), entry.kind), (&*odd.digest.to_string(), Some(Kind::Layer)));
    assert!(entry.detail.contains("negative size"), "{entry:?}");
    assert_eq!((report.images.unverified, report.objects.get(Kind::Layer)), (1, 4));

    registry.remove_blob("app", &odd.digest);
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(found(&report), [(Some(odd.digest.clone()), Kind::Layer, Reason::Missing)], "{report:#?}");
    assert_eq!(causes(&report), [], "one finding");
}

#[tokio::test]
async fn an_unusable_child_of_another_platform_does_not_matter() {
    let image = Image::index().named("app").platforms(["linux/amd64", "linux/arm64"]);
    let mut index: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    index["manifests"][1]["digest"] = json!("");
    let registry = registry_with_whole().await;
    registry.push("app", &image);
    registry.push("app:1", &Image::raw(OCI_INDEX, index.to_string()));
    for (platforms, broken) in [(vec![], 1), (vec!["linux/arm64"], 1), (vec!["linux/amd64"], 0)] {
        let wanted = |target: &mut Target| {
            target.platforms = platforms.iter().map(|platform: &&str| platform.parse().unwrap()).collect();
        };
        let report = Sweeping::of(&registry).with(wanted).sweep().await;
        assert_eq!(report.images.broken, broken, "{platforms:?}: {report:#?}");
    }
}

//! What a registry may cost at most.

use registry_integrity_probe::demo::fault::{answers_with, at, on, on_tag};
use registry_integrity_probe::demo::{Endpoint, Image};
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::report::{Cause, Reason};

use super::{app, causes, reasons, registry_with};
use crate::sweeping::Sweeping;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layers(count: usize, name: &str) -> String {
    let layers: Vec<String> = (0..count)
        .map(|n| {
            let digest = Digest::sha256(format!("{name} {n}").as_bytes());
            format!(r#"{{"digest":"{digest}","size":1}}"#)
        })
        .collect();
    format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layers.join(","))
}

#[tokio::test]
async fn a_manifest_of_too_many_objects_is_not_walked() {
    let registry = registry_with(&app()).await;
    registry.push("huge:1", &Image::raw(MANIFEST, layers(40_000, "layer")));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.failures.len(), causes(&report)), (0, vec![Cause::Protocol]));
    assert!(report.requests < 40, "{}", report.requests);
}

#[tokio::test]
async fn thousands_of_broken_objects_are_found_in_seconds() {
    let registry = registry_with(&app()).await;
    for n in 0..4 {
        registry.push(&format!("lost:{n}"), &Image::raw(MANIFEST, layers(4_000, &n.to_string())));
    }
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(report.failures.len(), 16_000);
    assert!(report.duration_seconds < 60.0, "{}", report.duration_seconds);
}

#[tokio::test]
async fn indexes_nested_more_than_eight_deep_are_not_walked() {
    let registry = registry_with(&app()).await;
    let mut image = Image::manifest().named("core");
    for _ in 0..12 {
        image = Image::index().containing([image]);
    }
    registry.push("deep:1", &image);
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((reasons(&report), causes(&report)), (vec![], vec![Cause::Protocol]));
    assert!(report.unverified[0].detail.contains("more than 8 deep"));
}

#[tokio::test]
async fn texts_of_a_registry_are_shown_in_part() {
    let long = "x".repeat(1_000_000);
    let registry = registry_with(&app()).await;
    let blob = Digest::sha256(b"absent");
    let child = Digest::sha256(b"absent child");
    let index = format!(
        r#"{{"manifests":[{{"digest":"{child}","size":5,"mediaType":"{long}","platform":{{"os":"{long}","architecture":"{long}"}}}}]}}"#
    );
    for (name, media_type, manifest) in [
        ("index", INDEX, index),
        ("layers", MANIFEST, format!(r#"{{"layers":[{{"digest":"{blob}","size":"{long}"}}]}}"#)),
        ("digest", MANIFEST, format!(r#"{{"layers":[{{"digest":"{long}"}}]}}"#)),
    ] {
        let image = Image::raw(media_type, manifest);
        registry.push(&format!("{name}:1"), &image);
        let root = image.root();
        // distribution itself would not serve these, but not every registry looks into what it serves.
        let served = answers_with(200, media_type, root.bytes.clone());
        let served = served.header("Docker-Content-Digest", root.digest.to_string());
        registry.fault(on_tag("1").in_repository(name), served.clone());
        registry.fault(on(&root.digest), served);
    }
    let tags = answers_with(200, "application/json", format!(r#"{{"tags":"{long}"}}"#));
    registry.fault(at(Endpoint::Tags).in_repository("whole"), tags);
    let report = Sweeping::of(&registry).sweep().await;
    let size = serde_json::to_vec(&report).unwrap().len();
    assert!(size < 50_000, "{size} bytes of report");
    assert_eq!(reasons(&report), [Reason::Malformed, Reason::Missing, Reason::Malformed], "{:?}", report.unverified);
}

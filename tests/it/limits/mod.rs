//! What a registry may cost at most.

mod bombs;
mod gentle;
mod memory;
mod paced;

use registry_integrity_probe::config::{Limits, Target};
use registry_integrity_probe::demo::fault::{
    answers, answers_with, at, many_headers, on, on_tag, pads_body_to, redirects_to,
};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::report::{Cause, Outcome, Reason, Report};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

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
        registry.push(&format!("lost:{n}"), &Image::raw(MANIFEST, layers(1_000, &n.to_string())));
    }
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(report.failures.len(), 4_000);
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

/// Sweeps with other limits, and again with those that the settings have anyway.
async fn with_and_without(registry: &Registry, limits: Limits) -> (Report, Report) {
    let limited = Sweeping::of(registry).with(|target| target.limits = limits).sweep().await;
    (limited, Sweeping::of(registry).sweep().await)
}

/// Says that nothing failed and something could not be judged, for this reason alone.
fn assert_limited(report: &Report, why: &str) {
    assert_eq!(reasons(report), []);
    assert!(!report.unverified.is_empty(), "{why}: nothing was limited");
    for entry in &report.unverified {
        assert_eq!(entry.cause, Cause::Protocol, "{entry:?}");
        assert!(entry.detail.contains(why), "{entry:?}");
    }
}

#[tokio::test]
async fn limits_of_what_is_read_are_as_configured() {
    let registry = registry_with(&app()).await;
    let image = Image::index().named("nested").containing([Image::index().named("inner").platforms(["linux/amd64"])]);
    registry.push("nested:1", &image);
    let layers = Image::manifest().named("layers").with_layers(9);
    registry.push("layers:1", &layers);
    registry.push("layers:2", &layers);
    let defaults = Limits::default();
    for (limits, why, judged) in [
        (Limits { manifest_bytes: 1024, ..defaults }, "longer than 1024 bytes", 3),
        (Limits { depth: 1, ..defaults }, "nested more than 1 deep", 4),
        (Limits { descriptors: 9, ..defaults }, "names more than 9 objects", 3),
        (Limits { objects: 10, ..defaults }, "the repository has more than 10 objects", 3),
    ] {
        let (limited, whole) = with_and_without(&registry, limits).await;
        assert_limited(&limited, why);
        assert_eq!((limited.outcome, limited.images.intact), (Outcome::Partial, judged), "{why}");
        assert_eq!((whole.outcome, whole.images.intact), (Outcome::Complete, 5));
    }
}

#[tokio::test]
async fn names_beyond_the_configured_limit_are_reported() {
    let registry = registry_with(&app()).await;
    for n in 0..4 {
        registry.push(&format!("tags:{n}"), &app());
    }
    let defaults = Limits::default();
    let limits = Limits { repositories: 2, ..defaults };
    let (limited, _) = with_and_without(&registry, limits).await;
    assert_limited(&limited, "more than 2 names");
    assert_eq!((limited.outcome, limited.repositories, limited.images.intact), (Outcome::Failed, 2, 5));
    let (enough, _) = with_and_without(&registry, Limits { repositories: 3, tags: 4, ..defaults }).await;
    assert_eq!((enough.outcome, enough.images.intact), (Outcome::Complete, 6));
    let (limited, _) = with_and_without(&registry, Limits { tags: 3, ..defaults }).await;
    assert_limited(&limited, "more than 3 names");
    assert_eq!((limited.outcome, limited.images.intact), (Outcome::Partial, 5));

    // The same where the names come a few a page.
    registry.page_tags_by(2);
    let (limited, whole) = with_and_without(&registry, Limits { tags: 2, ..defaults }).await;
    assert_limited(&limited, "more than 2 names");
    assert_eq!((limited.images.intact, whole.images.intact), (4, 6));

    registry.fault(at(Endpoint::Catalog), pads_body_to(2_000));
    let (limited, whole) = with_and_without(&registry, Limits { list_page_bytes: 1024, ..defaults }).await;
    assert_limited(&limited, "a page is longer than 1024 bytes");
    assert_eq!((limited.outcome, whole.outcome), (Outcome::Failed, Outcome::Complete));
}

#[tokio::test]
async fn headers_redirects_and_retries_are_as_configured() {
    let (registry, elsewhere) = (registry_with(&app()).await, registry_with(&app()).await);
    let defaults = Limits::default();
    let headers = registry.fault(at(Endpoint::Tags), many_headers(60));
    let (limited, whole) = with_and_without(&registry, Limits { response_headers: 40, ..defaults }).await;
    assert_limited(&limited, "the answer is not HTTP");
    assert_eq!(whole.outcome, Outcome::Complete);
    headers.lift();
    let headers = registry.fault(at(Endpoint::Tags), many_headers(150));
    let (raised, whole) = with_and_without(&registry, Limits { response_headers: 400, ..defaults }).await;
    assert_eq!((raised.outcome, whole.outcome), (Outcome::Complete, Outcome::Partial));
    headers.lift();

    let redirect = registry.fault(at(Endpoint::Blob), redirects_to(elsewhere.url()));
    let (limited, whole) = with_and_without(&registry, Limits { redirects: 0, ..defaults }).await;
    assert_limited(&limited, "more than 0 redirects");
    assert_eq!(whole.outcome, Outcome::Complete);
    redirect.lift();

    for (retries, asked) in [(0, 1), (2, 3)] {
        let fault = registry.fault(on_tag("1").in_repository("app"), answers(503));
        registry.clear_requests();
        let report = Sweeping::of(&registry)
            .with(|target: &mut Target| {
                target.limits.retries = retries;
                target.confirm.attempts = 1;
            })
            .sweep()
            .await;
        fault.lift();
        assert_eq!(reasons(&report), [Reason::Unreadable], "one object alone");
        let heads =
            registry.requests().iter().filter(|r| r.path == "/v2/app/manifests/1" && r.method == "HEAD").count();
        assert_eq!(heads, asked, "the question, and {retries} times more");
    }
}

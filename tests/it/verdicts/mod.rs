//! What a sweep says of a registry that is whole, broken or in trouble: the in-process registry over a real socket.

mod judge;
mod oracle;
mod random_faults;
mod refusals;

use std::time::Duration;

use registry_integrity_probe::config::{ByteEvidence, Filter};
use registry_integrity_probe::demo::fault::{
    answers, answers_html, answers_with, at, caps_pages_at, cuts_body_after, drops_connection, everything, hangs,
    ignores_range, in_repository, on, on_tag, resets, without_digest,
};
use registry_integrity_probe::demo::{Endpoint, Headers, Image, Registry, images};
use registry_integrity_probe::oci::{Algorithm, Digest};
use registry_integrity_probe::report::{Cause, ImageCounts, Kind, Outcome, Reason, Report};

use crate::testkit::sweeping::Sweeping;

fn index(name: &str) -> Image {
    Image::index().named(name).platforms(["linux/amd64", "linux/arm64"]).with_attestation()
}

/// What failed, as (kind, reason, digest) in the report's order.
fn failed(report: &Report) -> Vec<(Kind, Reason, Option<Digest>)> {
    report.failures.iter().map(|failure| (failure.kind, failure.reason, failure.digest.clone())).collect()
}

fn names(images: &[registry_integrity_probe::oci::Image]) -> Vec<String> {
    images.iter().map(ToString::to_string).collect()
}

async fn registry_with(name: &str, image: &Image) -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push(name, image);
    registry
}

#[tokio::test]
async fn every_kind_of_content_is_walked_and_found_intact() {
    let registry = Registry::start().await.unwrap();
    let plain = index("plain");
    registry.push("a/index:1", &plain);
    registry.push("a/index:again", &plain);
    registry.push("a/nested:1", &Image::index().containing([index("x"), index("y")]));
    registry.push("a/docker:1", &index("docker").docker());
    registry.push("a/single:1", &Image::manifest().named("single"));
    registry.push("a/untyped:1", &Image::manifest().named("untyped").without_media_type());
    registry.push("a/untyped:index", &index("untyped index").without_media_type());
    registry.push("a/artifact:1", &Image::artifact("application/spdx+json").named("sbom"));
    registry.push("a/chart:1", &Image::helm_chart().named("chart"));
    registry.push("a/foreign:1", &Image::manifest().named("foreign").with_layer_urls(["https://elsewhere.example/l"]));
    registry.push("a/sha512:1", &Image::manifest().named("sha512").digests(Algorithm::Sha512));
    registry.push(&format!("a/index:{}", plain.signature_tag()), &Image::signature_of(&plain));
    registry.push("a/dangling-subject:1", &Image::manifest().named("s").with_subject(&Digest::sha256(b"nowhere")));
    registry.add_empty_repository("a/empty");

    let report = Sweeping::of(&registry).sweep().await;

    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(failed(&report), []);
    assert_eq!(report.images, ImageCounts { intact: 13, broken: 0, unverified: 0 });
    assert_eq!(report.repositories, 11);
}

#[tokio::test]
async fn object_shared_by_tags_is_requested_once() {
    let image = index("shared");
    let registry = Registry::start().await.unwrap();
    for tag in ["1", "1.0", "1.0.0", "latest"] {
        registry.push(&format!("app:{tag}"), &image);
    }
    registry.push("other:1", &image);

    let report = Sweeping::of(&registry).sweep().await;

    let objects = image.parts().len();
    assert_eq!(report.objects.total(), 2 * objects as u64);
    let asked = |path: &str| registry.requests().iter().filter(|request| request.path == path).count();
    for part in image.parts() {
        let (manifest, blob) = (format!("/v2/app/manifests/{}", part.digest), format!("/v2/app/blobs/{}", part.digest));
        assert_eq!(asked(&manifest) + asked(&blob), 1, "{part:?}");
    }
    // The catalog and the proof of its end, two tag lists, five tags.
    assert_eq!(registry.request_count(), 2 * objects + 4 + 5);
    assert_eq!(report.requests as usize, registry.request_count());
}

#[tokio::test]
async fn missing_child_names_every_broken_image_and_path() {
    let registry = Registry::start().await.unwrap();
    let broken = images::populate(&registry);

    let report = Sweeping::of(&registry).sweep().await;

    let mut blamed: Vec<_> = broken.iter().map(|breakage| breakage.digest.clone()).collect();
    let mut found: Vec<_> = report.failures.iter().filter_map(|failure| failure.digest.clone()).collect();
    blamed.sort();
    found.sort();
    assert_eq!(found, blamed);
    let child = report
        .failures
        .iter()
        .find(|failure| failure.platform.as_deref() == Some("linux/amd64") && failure.kind == Kind::Child)
        .unwrap();
    assert_eq!(names(&child.images), ["infra-ci:5319f03e", "infra-ci:latest"]);
    assert_eq!(child.path.len(), 3);
    assert_eq!(child.path[0], "infra-ci:5319f03e");
    assert_eq!(child.path[2], child.digest.clone().unwrap().to_string());
    assert_eq!((child.reason, child.attestation), (Reason::Missing, false));
    assert!(child.detail.starts_with("GET 404 MANIFEST_UNKNOWN, confirmed 2 times in "), "{}", child.detail);
    assert!(report.failures.iter().any(|failure| failure.attestation && failure.kind == Kind::Child));
    let lying = report.failures.iter().find(|failure| failure.kind == Kind::Layer).unwrap();
    assert_eq!(lying.reason, Reason::Unreadable);
    assert_eq!(report.unverified, []);
    assert_eq!(report.outcome, Outcome::Complete);
}

#[tokio::test]
async fn all_broken_objects_of_an_image_are_found() {
    let image = index("app").with_layers(3);
    let registry = registry_with("app:1", &image).await;
    registry.push("whole:1", &index("whole"));
    let layers: Vec<_> = image.layers().collect();
    registry.remove_blob("app", &layers[0].digest);
    registry.replace("app", &layers[1].digest, layers[1].truncated(10), Headers::Follow);
    registry.replace("app", &layers[2].digest, layers[2].truncated(0), Headers::Stale);
    let config = image.configs().next().unwrap();
    registry.remove_blob("app", &config.digest);

    let report = Sweeping::of(&registry).sweep().await;

    let mut expected = vec![
        (Kind::Config, Reason::Missing, Some(config.digest.clone())),
        (Kind::Layer, Reason::Missing, Some(layers[0].digest.clone())),
        (Kind::Layer, Reason::SizeMismatch, Some(layers[1].digest.clone())),
        (Kind::Layer, Reason::Unreadable, Some(layers[2].digest.clone())),
    ];
    let mut found = failed(&report);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert!(report.failures.iter().all(|failure| names(&failure.images) == ["app:1"]));
    assert_eq!(report.images, ImageCounts { intact: 1, broken: 1, unverified: 0 });
}

#[tokio::test]
async fn manifests_are_hashed_and_held_against_their_descriptors() {
    let registry = Registry::start().await.unwrap();
    let altered = index("altered");
    registry.push("altered:1", &altered);
    let child = altered.child("linux/amd64").unwrap();
    registry.replace("altered", &child.digest, child.flipped(), Headers::Follow);
    let lying = Image::manifest().named("lying").with_layers(1).claiming_layer_size(7);
    registry.push("lying:1", &lying);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let rubbish = Image::raw(media_type, &b"{\"no\":\"manifest\"}"[..]);
    registry.push("rubbish:1", &rubbish);
    let (bytes, digest) = (rubbish.root().bytes.clone(), rubbish.root().digest.to_string());
    let served = at(Endpoint::Manifest).in_repository("rubbish");
    registry.fault(served, answers_with(200, media_type, bytes).header("docker-content-digest", digest));

    let report = Sweeping::of(&registry).sweep().await;

    assert_eq!(report.unverified, []);
    let reason_in = |name: &str| -> Vec<Reason> {
        report.failures.iter().filter(|f| &*f.repository == name).map(|f| f.reason).collect()
    };
    assert_eq!(reason_in("altered"), [Reason::DigestMismatch]);
    assert_eq!(reason_in("lying"), [Reason::SizeMismatch]);
    assert_eq!(reason_in("rubbish"), [Reason::Malformed]);
    assert_eq!(report.failures.len(), 3);
}

#[tokio::test]
async fn dangling_tag_is_missing_without_digest() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.add_dangling_tag("app:gone");
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(failed(&report), [(Kind::Manifest, Reason::Missing, None)]);
    assert_eq!(names(&report.failures[0].images), ["app:gone"]);
    assert_eq!(report.failures[0].path, ["app:gone"]);
}

#[tokio::test]
async fn a_404_that_passes_is_nothing() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    let fault = registry.fault(on(&image.layers().next().unwrap().digest).times(2), answers(404));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((failed(&report).len(), report.unverified.len(), fault.strikes()), (0, 0, 2));
    assert_eq!(report.outcome, Outcome::Complete);
}

#[tokio::test]
async fn a_404_to_head_alone_is_nothing() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    registry.fault(everything().in_repository("app").head_only(), answers(404));
    let report = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await;
    assert_eq!(failed(&report), []);
    assert_eq!(report.unverified, []);
}

#[tokio::test]
async fn objects_deleted_or_moved_mid_sweep_are_ignored() {
    let (old, new) = (index("old"), index("new"));
    let registry = std::sync::Arc::new(registry_with("app:deleted", &old).await);
    registry.push("app:moved", &old);
    registry.remove_manifest("app", &old.child("linux/amd64").unwrap().digest);
    // When the sweep asks for the lost child again, the tags have changed.
    let lost = old.child("linux/amd64").unwrap().digest.clone();
    let watcher = {
        let (registry, new) = (std::sync::Arc::clone(&registry), new.clone());
        tokio::spawn(async move {
            let path = format!("/v2/app/manifests/{lost}");
            while !registry.requests().iter().any(|request| request.path == path) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            registry.delete_tag("app:deleted");
            registry.push("app:moved", &new);
        })
    };
    let report = Sweeping::of(&registry).with(|target| target.confirm.delay = Duration::from_millis(200)).sweep().await;
    watcher.await.unwrap();
    assert_eq!(failed(&report), []);
    assert_eq!(report.images, ImageCounts { intact: 1, broken: 0, unverified: 0 });
    let root = format!("/v2/app/manifests/{}", new.child("linux/arm64").unwrap().digest);
    assert!(registry.requests().iter().any(|request| request.path == root), "the new content was not walked");
}

/// Swept without retries, which take their time and change no verdict.
async fn swept_once(registry: &Registry) -> Report {
    let hurry = |target: &mut registry_integrity_probe::config::Target| {
        target.request_timeout = Duration::from_millis(300);
        target.limits.retries = 0;
    };
    Sweeping::of(registry).with(hurry).sweep().await
}

#[tokio::test]
async fn trouble_is_unverified_and_never_a_failure() {
    for (effect, cause) in
        [(answers(401), Cause::Unauthorized), (answers(429), Cause::RateLimited), (hangs(), Cause::Timeout)]
    {
        let image = index("app");
        let registry = registry_with("app:1", &image).await;
        registry.push("whole:1", &index("whole"));
        let layer = image.layers().next().unwrap();
        registry.fault(on(&layer.digest).in_repository("app"), effect);
        let report = swept_once(&registry).await;
        assert_eq!(failed(&report), [], "{cause}");
        assert_eq!(report.outcome, Outcome::Partial);
        assert_eq!(report.images, ImageCounts { intact: 1, broken: 0, unverified: 1 }, "{cause}");
        let [unverified] = &report.unverified[..] else { panic!("{:?}", report.unverified) };
        assert_eq!((unverified.cause, unverified.kind), (cause, Some(Kind::Layer)));
        assert_eq!(unverified.reference, layer.digest.to_string());
        assert_eq!(names(&unverified.images), ["app:1"]);
    }
}

#[tokio::test]
async fn one_refused_blob_is_unreadable_all_are_unverified() {
    for (effect, cause) in [
        (answers(403), Cause::Unauthorized),
        (answers(418), Cause::Protocol),
        (resets(), Cause::Unreachable),
        (drops_connection(), Cause::Unreachable),
    ] {
        let image = index("app");
        let registry = registry_with("app:1", &image).await;
        registry.push("whole:1", &index("whole"));
        for part in [image.layers().next().unwrap(), image.configs().next().unwrap()] {
            let one = registry.fault(on(&part.digest).in_repository("app"), effect.clone());
            let report = swept_once(&registry).await;
            one.lift();
            let [failure] = &report.failures[..] else { panic!("{cause}: {report:#?}") };
            assert_eq!((failure.reason, failure.digest.as_ref()), (Reason::Unreadable, Some(&part.digest)), "{cause}");
            assert_eq!(report.images, ImageCounts { intact: 1, broken: 1, unverified: 0 }, "{cause}");
        }
        for at_large in [at(Endpoint::Blob), at(Endpoint::Blob).in_repository("app")] {
            let fault = registry.fault(at_large, effect.clone());
            let report = swept_once(&registry).await;
            fault.lift();
            assert_eq!(failed(&report), [], "{cause}");
            assert!(report.images.unverified > 0);
            assert!(report.unverified.iter().all(|entry| entry.cause == cause), "{:?}", report.unverified);
        }
    }
}

#[tokio::test]
async fn one_5xx_is_unreadable_many_are_unverified() {
    let registry = Registry::start().await.unwrap();
    let all: Vec<_> = (0..6).map(|n| Image::manifest().named(&format!("app {n}")).with_layers(4)).collect();
    for (n, image) in all.iter().enumerate() {
        registry.push(&format!("app-{n}:1"), image);
    }
    let layer = &all[0].layers().next().unwrap().digest;
    let one = registry.fault(on(layer), answers(500));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(failed(&report), [(Kind::Layer, Reason::Unreadable, Some(layer.clone()))]);
    one.lift();

    // Four of twenty-four.
    let at_large: Vec<_> = all[0].layers().map(|layer| registry.fault(on(&layer.digest), answers(500))).collect();
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(failed(&report), []);
    assert_eq!(report.unverified.len(), at_large.len());
    assert!(report.unverified.iter().all(|unverified| unverified.cause == Cause::ServerError));
}

#[tokio::test]
async fn html_404_is_missing_only_beside_served_neighbour() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    let layer = &image.layers().next().unwrap().digest;
    let one = registry.fault(on(layer), answers_html(404));
    assert_eq!(failed(&Sweeping::of(&registry).sweep().await), [(Kind::Layer, Reason::Missing, Some(layer.clone()))]);
    one.lift();
    registry.fault(at(Endpoint::Blob), answers_html(404));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(failed(&report), []);
    assert!(!report.unverified.is_empty() && report.unverified.iter().all(|entry| entry.cause == Cause::Protocol));
}

#[tokio::test]
async fn failure_survives_an_outage_and_resolves_after_repair() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    registry.push("other:1", &index("other"));
    let child = image.child("linux/arm64").unwrap();
    registry.remove_manifest("app", &child.digest);
    let mut sweeping = Sweeping::of(&registry);
    let first = sweeping.sweep().await;
    assert_eq!(failed(&first), [(Kind::Child, Reason::Missing, Some(child.digest.clone()))]);

    for (selector, effect) in [
        (everything(), answers(503)),
        (at(Endpoint::Tags), answers(401)),
        (in_repository("app"), drops_connection()),
        (on(&image.root().digest), answers(403)),
        (on(&child.digest), resets()),
    ] {
        let outage = registry.fault(selector, effect);
        let during = sweeping.sweep().await;
        outage.lift();
        assert_eq!(during.failures, first.failures);
        assert_ne!(during.outcome, Outcome::Complete);
        assert_eq!(during.images.broken, 1);
        assert!(sweeping.changes.appeared.is_empty() && sweeping.changes.gone.is_empty());
    }

    registry.push("app:1", &image);
    let mended = sweeping.sweep().await;
    assert_eq!(failed(&mended), []);
    assert_eq!(sweeping.changes.gone, first.failures);
    assert_eq!(mended.images, ImageCounts { intact: 2, broken: 0, unverified: 0 });
}

#[tokio::test]
async fn a_failure_stays_while_the_manifest_above_it_cannot_be_read() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    registry.push("other:1", &index("other"));
    let layer = &image.layers().next().unwrap().digest;
    registry.remove_blob("app", layer);
    let mut sweeping = Sweeping::of(&registry);
    let first = sweeping.sweep().await;
    assert_eq!(failed(&first), [(Kind::Layer, Reason::Missing, Some(layer.clone()))]);

    registry.remove_manifest("app", &image.child("linux/amd64").unwrap().digest);
    let second = sweeping.sweep().await;
    assert_eq!(second.failures.len(), 2);
    assert!(second.failures.contains(&first.failures[0]), "it was not disproved: nobody could look");
    assert_eq!(second.images, ImageCounts { intact: 1, broken: 1, unverified: 0 });

    registry.push("app:1", &index("new content"));
    assert_eq!(failed(&sweeping.sweep().await), []);
    assert_eq!(sweeping.changes.gone.len(), 2);
}

/// Found by the oracle of `tests/hostile`.
#[tokio::test]
async fn tag_that_resolves_again_is_no_longer_missing() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    registry.remove_manifest("app", &image.root().digest);
    let mut sweeping = Sweeping::of(&registry);
    assert_eq!(failed(&sweeping.sweep().await), [(Kind::Manifest, Reason::Missing, None)]);
    registry.push("app:1", &image);
    registry.fault(on(&image.children().next().unwrap().digest), answers(403));
    let report = sweeping.sweep().await;
    assert_eq!((failed(&report), report.unverified.len()), (vec![], 1), "{report:#?}");
}

#[tokio::test]
async fn a_failure_goes_when_nothing_needs_the_object_any_more() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    registry.push("app:2", &index("two"));
    registry.remove_manifest("app", &image.child("linux/arm64").unwrap().digest);
    registry.add_dangling_tag("app:dangling");
    let mut sweeping = Sweeping::of(&registry);
    assert_eq!(sweeping.sweep().await.failures.len(), 2);
    registry.delete_tag("app:1");
    registry.delete_tag("app:dangling");
    assert_eq!(sweeping.sweep().await.failures.len(), 0);
    assert_eq!(sweeping.changes.gone.len(), 2);
}

#[tokio::test]
async fn registry_down_fails_and_keeps_image_states() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.go_down().await;
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(!report.catalog_accessible && !report.catalog_reached);
    assert_eq!(report.images, ImageCounts::default());
    let [catalog] = &report.unverified[..] else { panic!("{:?}", report.unverified) };
    assert_eq!((catalog.reference.as_str(), catalog.kind, catalog.cause), ("_catalog", None, Cause::Unreachable));
}

#[tokio::test]
async fn unreadable_tag_list_names_its_repository() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.push("b:1", &index("b"));
    registry.fault(at(Endpoint::Tags).in_repository("app"), answers(500));
    let report = Sweeping::of(&registry).sweep().await;
    let [list] = &report.unverified[..] else { panic!("{:?}", report.unverified) };
    assert_eq!((list.reference.as_str(), list.kind, list.cause), ("app", None, Cause::ServerError));
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(report.images.intact, 1);
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let registry = Registry::start().await.unwrap();
    let image = Image::manifest().named("small").with_layers(1);
    for n in 0..1_203 {
        registry.push(&format!("r{n}:1"), &image);
    }
    for n in 0..50 {
        registry.push(&format!("r0:t{n}"), &image);
    }
    registry.page_tags_by(7);
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.repositories, report.images.intact), (1_203, 1_253));
    assert_eq!(report.outcome, Outcome::Complete);
}

#[tokio::test]
async fn head_without_digest_falls_back_to_get() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.fault(at(Endpoint::Manifest), without_digest());
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 1), "{report:#?}");
}

#[tokio::test]
async fn a_range_that_is_ignored_costs_little_and_proves_small_blobs() {
    let image = Image::manifest().named("big").with_layers(1).with_layer_size(3_000_000);
    let registry = registry_with("app:1", &image).await;
    registry.fault(at(Endpoint::Blob), ignores_range());
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 1));
    assert!(report.received_bytes < 1_000_000, "{}", report.received_bytes);
    registry.fault(on(&image.layers().next().unwrap().digest), cuts_body_after(100));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].reason, Reason::Unreadable);
}

#[tokio::test]
async fn filters_platforms_and_named_images() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    registry.push("app:dev", &Image::manifest().named("dev"));
    registry.push("skipped:1", &index("skipped"));
    registry.remove_manifest("app", &image.child("linux/arm64").unwrap().digest);
    let regex = |text: &str| regex::Regex::new(&format!("^(?:{text})$")).unwrap();
    let report = Sweeping::of(&registry)
        .with(|target| {
            target.repositories = Filter { include: vec![regex("app|other")], exclude: Vec::new() };
            target.tags = Filter { include: Vec::new(), exclude: vec![regex("dev")] };
            target.platforms = vec!["linux/amd64".parse().unwrap()];
        })
        .sweep()
        .await;
    assert_eq!(report.images, ImageCounts { intact: 1, broken: 0, unverified: 0 });
    assert_eq!(report.repositories, 1);
    assert_eq!(report.objects.child, 2, "linux/amd64 and its attestation");

    registry.fault(at(Endpoint::Catalog), answers(404));
    let named = Sweeping::of(&registry).with(|target| {
        target.images = registry_integrity_probe::config::Config::parse(
            "registries: [{url: 'http://x', images: [skipped, 'app:dev']}]",
            std::path::Path::new("inline"),
        )
        .unwrap()
        .registries
        .remove(0)
        .images;
    });
    let report = { named }.sweep().await;
    assert_eq!(report.images, ImageCounts { intact: 2, broken: 0, unverified: 0 });
    assert!(report.catalog_accessible);
}

#[tokio::test]
async fn sweep_timeout_is_partial_and_names_unreached_objects() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.push("b:1", &index("b"));
    registry.fault(on_tag("1").in_repository("app"), hangs());
    let report =
        Sweeping::of(&registry).with(|target| target.sweep_timeout = Some(Duration::from_millis(1_000))).sweep().await;
    assert_eq!(report.outcome, Outcome::Partial);
    let [unreached] = &report.unverified[..] else { panic!("{:?}", report.unverified) };
    assert_eq!((unreached.cause, unreached.reference.as_str()), (Cause::Timeout, "1"));
    assert_eq!(report.images, ImageCounts { intact: 1, broken: 0, unverified: 1 });
    assert!(report.duration_seconds < 3.0);
}

#[tokio::test]
async fn sweep_timeout_while_the_catalog_is_read_keeps_its_names() {
    let registry = Registry::start().await.unwrap();
    (0..3).for_each(|n| registry.push(&format!("r{n}:1"), &index("app")));
    registry.fault(at(Endpoint::Catalog), caps_pages_at(2));
    registry.fault(at(Endpoint::Catalog).after(1), hangs());
    let report =
        Sweeping::of(&registry).with(|target| target.sweep_timeout = Some(Duration::from_millis(1_000))).sweep().await;
    assert_eq!((report.outcome, report.repositories, report.catalog_accessible), (Outcome::Partial, 2, false));
    let unreached: Vec<_> = report.unverified.iter().map(|it| (it.cause, it.reference.as_str())).collect();
    let timeout = |reference| (Cause::Timeout, reference);
    assert_eq!(unreached, [timeout("_catalog"), timeout("r0"), timeout("r1")]);
}

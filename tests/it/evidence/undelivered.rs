//! HEAD promises a blob, and GET does not deliver it: whatever comes in place of its bytes, it is not intact.

use futures_util::future::join_all;
use registry_integrity_probe::config::ByteEvidence;
use registry_integrity_probe::demo::fault::{
    Effect, answers, answers_html, answers_with, at, cuts_body_after, ignores_range, on, redirects_to, resets,
};
use registry_integrity_probe::demo::{Endpoint, Headers, Image, Registry};
use registry_integrity_probe::report::{Cause, Reason, Report};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

/// What a storage backend answers, what it is called where it answers everything so, and what the report says of it.
fn of_storages() -> Vec<(&'static str, Effect, Cause, &'static str)> {
    let xml = |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    let answers_xml = |status, code| answers_with(status, "application/xml", xml(code));
    vec![
        ("a session that is over", answers_xml(400, "ExpiredToken"), Cause::Protocol, "GET 400 ExpiredToken from "),
        ("an archived blob", answers_xml(409, "BlobArchived"), Cause::Protocol, "GET 409 BlobArchived from "),
        ("a bill that is not paid", answers_with(402, "", ""), Cause::Protocol, "GET 402 from "),
        (
            "an archived object",
            answers_xml(403, "InvalidObjectState"),
            Cause::Unauthorized,
            "GET 403 InvalidObjectState from ",
        ),
        ("a redirect to nowhere", answers_with(301, "", ""), Cause::Protocol, "a redirect leads nowhere"),
        ("a page for people", answers_html(200), Cause::Protocol, "with an HTML page"),
        (
            "a part without bytes",
            answers_with(206, "", "").header("Content-Range", "bytes 9-9/10"),
            Cause::Protocol,
            "GET 206 from ",
        ),
        ("a part without bytes or range", answers_with(206, "", ""), Cause::Protocol, "brought no bytes"),
        ("a connection that breaks", resets(), Cause::Unreachable, "the connection broke"),
    ]
}

/// A registry of 16 images whose HEADs are all answered, and a storage that its GETs of blobs are redirected to.
async fn registry_and_storage() -> (Registry, Registry, Vec<Image>) {
    let (registry, storage) = (Registry::start().await.unwrap(), Registry::start().await.unwrap());
    let images: Vec<_> = (0..16).map(|n| Image::manifest().named(&format!("app {n}")).with_layers(1)).collect();
    for (n, image) in images.iter().enumerate() {
        registry.push(&format!("app-{n}:1"), image);
        storage.push(&format!("app-{n}:1"), image);
    }
    registry.fault(at(Endpoint::Blob).get_only(), redirects_to(storage.url()));
    (registry, storage, images)
}

async fn swept(registry: &Registry, byte: ByteEvidence) -> Report {
    let settings = |target: &mut registry_integrity_probe::config::Target| {
        target.evidence.byte = byte;
        target.limits.retries = 0;
    };
    Sweeping::of(registry).with(settings).sweep().await
}

const IN_EVERY_SWEEP: ByteEvidence = ByteEvidence::Within(std::time::Duration::ZERO);

#[tokio::test]
async fn storage_that_serves_nothing_leaves_every_image_unverified() {
    join_all(of_storages().into_iter().map(|(what, effect, cause, said)| async move {
        let (registry, storage, _) = registry_and_storage().await;
        storage.fault(at(Endpoint::Blob), effect);
        let report = swept(&registry, IN_EVERY_SWEEP).await;
        assert_eq!((reasons(&report), report.images.intact), (vec![], 0), "{what}: {:#?}", report.failures);
        assert_eq!(causes(&report), vec![cause; 32], "{what}: {:#?}", report.unverified);
        for entry in &report.unverified {
            assert!(entry.detail.contains(said), "{what}: {}", entry.detail);
        }
    }))
    .await;
}

#[tokio::test]
async fn a_layer_that_a_storage_refuses_alone_is_unreadable() {
    join_all(of_storages().into_iter().map(|(what, effect, _, said)| async move {
        let (registry, storage, images) = registry_and_storage().await;
        let layer = images[0].layers().next().unwrap();
        storage.fault(on(&layer.digest), effect);
        let report = swept(&registry, IN_EVERY_SWEEP).await;
        let [failure] = &report.failures[..] else { panic!("{what}: {report:#?}") };
        assert_eq!((failure.reason, failure.digest.as_ref()), (Reason::Unreadable, Some(&layer.digest)), "{what}");
        assert!(failure.detail.contains(said), "{what}: {}", failure.detail);
        assert!(failure.detail.contains("confirmed 2 times"), "{what}: {}", failure.detail);
        assert_eq!((report.images.intact, report.unverified.len()), (15, 0), "{what}: {:#?}", report.unverified);
    }))
    .await;
}

#[tokio::test]
async fn what_answered_is_named() {
    let (registry, storage, images) = registry_and_storage().await;
    let layer = &images[0].layers().next().unwrap().digest;
    storage.fault(on(layer), answers(410));
    let report = swept(&registry, IN_EVERY_SWEEP).await;
    let said = format!("GET 410 UNKNOWN from {}, confirmed 2 times", storage.address());
    assert!(report.failures[0].detail.starts_with(&said), "{}", report.failures[0].detail);
}

#[tokio::test]
async fn a_redirect_that_goes_round_in_the_storage_is_no_proof() {
    let (registry, storage, images) = registry_and_storage().await;
    let fault = storage.fault(at(Endpoint::Blob), redirects_to(storage.url()));
    let report = swept(&registry, IN_EVERY_SWEEP).await;
    assert_eq!((reasons(&report), causes(&report)), (vec![], vec![Cause::Protocol; 32]));
    fault.lift();
    storage.fault(on(&images[3].layers().next().unwrap().digest), redirects_to(storage.url()));
    assert_eq!(reasons(&swept(&registry, IN_EVERY_SWEEP).await), [Reason::Unreadable]);
}

#[tokio::test]
async fn unauthorized_or_rate_limited_layer_is_unverified() {
    for (status, cause) in [(401, Cause::Unauthorized), (429, Cause::RateLimited)] {
        let (registry, storage, images) = registry_and_storage().await;
        storage.fault(on(&images[0].layers().next().unwrap().digest), answers(status));
        let report = swept(&registry, IN_EVERY_SWEEP).await;
        assert_eq!((reasons(&report), causes(&report)), (vec![], vec![cause]), "{status}");
    }
}

#[tokio::test]
async fn head_only_sweep_reads_nothing_and_misses_it() {
    let (registry, storage, _) = registry_and_storage().await;
    storage.fault(at(Endpoint::Blob), answers(410));
    let report = swept(&registry, ByteEvidence::Off).await;
    assert_eq!((report.images.intact, storage.request_count()), (16, 0));
}

#[tokio::test]
async fn one_truncated_body_is_unreadable_all_are_unverified() {
    let image = Image::manifest().named("large").with_layers(3).with_layer_size(300_000);
    for (effect, name) in [(cuts_body_after(0), "at once"), (ignores_range().and(cuts_body_after(10)), "halfway")] {
        let registry = registry_with(&image).await;
        let fault = registry.fault(at(Endpoint::Blob).get_only(), effect.clone());
        let report = swept(&registry, IN_EVERY_SWEEP).await;
        fault.lift();
        assert_eq!((reasons(&report), report.images.intact), (vec![], 0), "{name}: {:#?}", report.failures);
        assert!(causes(&report).iter().all(|&cause| cause == Cause::Unreachable), "{name}: {:?}", causes(&report));
        registry.fault(on(&image.layers().next().unwrap().digest), effect);
        let report = swept(&registry, IN_EVERY_SWEEP).await;
        assert_eq!(reasons(&report), [Reason::Unreadable], "{name}: {:#?}", report.unverified);
    }
}

#[tokio::test]
async fn ignored_range_reads_blob_up_to_the_limit() {
    let image = Image::manifest().named("large").with_layers(1).with_layer_size(300_000);
    let layer = image.layers().next().unwrap();
    let sweep = async |change: &dyn Fn(&Registry), unranged_bytes: u64| {
        let registry = registry_with(&image).await;
        registry.fault(at(Endpoint::Blob), ignores_range());
        change(&registry);
        Sweeping::of(&registry).with(|target| target.limits.unranged_bytes = unranged_bytes).sweep().await
    };
    let flipped = |registry: &Registry| registry.replace("app", &layer.digest, layer.flipped(), Headers::Stale);
    let cut = |registry: &Registry| drop(registry.fault(on(&layer.digest), cuts_body_after(200_000)));
    for (change, reason) in [(&flipped as &dyn Fn(&Registry), Reason::DigestMismatch), (&cut, Reason::Unreadable)] {
        let report = sweep(change, 64 << 10).await;
        assert_eq!((reasons(&report), report.images.intact), (vec![], 2), "its length is as it should be");
        assert!(report.received_bytes < 250_000, "{}", report.received_bytes);
        assert_eq!(reasons(&sweep(change, 300_000).await), [reason]);
    }
    let report = sweep(&|_| {}, 300_000).await;
    assert_eq!((reasons(&report), report.images.intact), (vec![], 2), "{:#?}", report.unverified);
    assert!(report.received_bytes > 300_000, "{}", report.received_bytes);
}

/// A byte that was not asked for, or a refused range, is followed by a question for everything, and never by HEAD alone.
#[tokio::test]
async fn a_server_without_ranges_is_asked_for_all_of_a_blob() {
    let image = app();
    let layer = image.layers().next().unwrap();
    for (name, effect) in [
        ("416", answers(416)),
        ("416 of the right length", answers(416).header("Content-Range", format!("bytes */{}", layer.bytes.len()))),
        ("another byte", registry_integrity_probe::demo::fault::answers_range(0, 0)),
    ] {
        let registry = registry_with(&image).await;
        let fault = registry.fault(on(&layer.digest).ranged_only(), effect.clone());
        assert_eq!(Sweeping::of(&registry).sweep().await.images.intact, 2, "{name}");
        registry.replace("app", &layer.digest, layer.flipped(), Headers::Stale);
        let report = Sweeping::of(&registry).sweep().await;
        assert_eq!(reasons(&report), [Reason::DigestMismatch], "{name}: {report:#?}");
        assert!(fault.strikes() > 0);
        let heads =
            registry.requests().iter().filter(|it| it.method == "HEAD" && it.endpoint == Endpoint::Blob).count();
        assert_eq!(heads, 0, "{name}");
    }
}

//! What counts as proof of a blob, whatever a server makes of a range.

mod content;
mod hashing;
mod replicas;
mod undelivered;

use std::time::Duration;

use futures_util::future::join_all;
use registry_integrity_probe::config::ByteEvidence;
use registry_integrity_probe::demo::fault::{
    answers, answers_range, at, claims_digest, claims_length, cuts_body_after, endless_body, hides_total,
    ignores_range, on, on_tag, slow_body, stalls_body_after,
};
use registry_integrity_probe::demo::{Endpoint, Headers, Image};
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::render::{self, Terminal};
use registry_integrity_probe::report::{Cause, Outcome, Reason, Report};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

/// Larger than what is read of a blob whose range was ignored.
fn large() -> Image {
    Image::manifest().named("large").with_layers(1).with_layer_size(300_000)
}

#[tokio::test]
async fn stale_cache_is_found_by_the_last_byte() {
    for image in [app(), large()] {
        let layer = image.layers().next().unwrap();
        for length in [0, layer.bytes.len() / 2, layer.bytes.len() - 1] {
            let registry = registry_with(&image).await;
            registry.replace("app", &layer.digest, layer.truncated(length), Headers::Stale);
            assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::Unreadable], "{length}");
            let report = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await;
            assert_eq!(reasons(&report), [], "HEAD cannot tell");
        }
    }
}

#[tokio::test]
async fn uncached_truncation_is_a_size_mismatch() {
    let image = large();
    let layer = image.layers().next().unwrap();
    for byte in [ByteEvidence::Off, ByteEvidence::Within(Duration::ZERO)] {
        for length in [0, 1, 299_999] {
            let registry = registry_with(&image).await;
            registry.replace("app", &layer.digest, layer.truncated(length), Headers::Follow);
            let report = Sweeping::of(&registry).with(|target| target.evidence.byte = byte).sweep().await;
            assert_eq!(reasons(&report), [Reason::SizeMismatch], "{length}: {report:#?}");
        }
    }
}

#[tokio::test]
async fn what_servers_make_of_a_range() {
    let image = large();
    let layer = &image.layers().next().unwrap().digest;
    for (name, effect, intact) in [
        ("ignored", ignores_range(), true),
        ("another one", answers_range(0, 0), true),
        ("everything", answers_range(0, 299_999), true),
        ("without a total", hides_total(), true),
        ("206 without Content-Range", answers_range(0, 0).without_header("Content-Range"), true),
        ("a range that makes no sense", answers(206).header("Content-Range", "bytes 9-3/1"), true),
        ("the end of all numbers", answers(206).header("Content-Range", "bytes 0-18446744073709551615/*"), true),
        ("416 without a length", answers(416), true),
        ("416 of the right length", answers(416).header("Content-Range", "bytes */300000"), true),
    ] {
        let registry = registry_with(&image).await;
        registry.fault(on(layer).ranged_only(), effect);
        let report = Sweeping::of(&registry).sweep().await;
        assert_eq!(reasons(&report), [], "{name}: {:#?}", report.failures);
        assert_eq!(report.images.intact == 2, intact, "{name}: {:#?}", report.unverified);
        assert!(report.received_bytes < 500_000, "{name}: {} bytes", report.received_bytes);
    }
}

#[tokio::test]
async fn range_without_total_still_shows_a_size_mismatch() {
    let image = large();
    let layer = image.layers().next().unwrap();
    let registry = registry_with(&image).await;
    registry.replace("app", &layer.digest, [&layer.bytes[..], b"more"].concat(), Headers::Follow);
    registry.fault(on(&layer.digest), hides_total());
    assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::SizeMismatch]);
}

#[tokio::test]
async fn a_blob_that_comes_whole_anyway_is_hashed() {
    let image = app();
    let layer = image.layers().next().unwrap();
    let registry = registry_with(&image).await;
    registry.replace("app", &layer.digest, layer.flipped(), Headers::Follow);
    registry.fault(at(Endpoint::Blob), ignores_range());
    assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::DigestMismatch]);
}

/// A blob whose range is ignored, and which is too large to be read, is proved by its length.
#[tokio::test]
async fn blobs_that_only_their_length_proves_are_counted() {
    let registry = registry_with(&large()).await;
    let fault = registry.fault(at(Endpoint::Blob), ignores_range());
    let mut sweeping = Sweeping::of(&registry);
    let report = sweeping.sweep().await;
    assert_eq!((report.outcome, report.length_only), (Outcome::Complete, 1), "{report:#?}");
    let mut out = Vec::new();
    render::text(std::slice::from_ref(&report), Terminal::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").ends_with("repositories, 1 object by length only"));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["length_only"], 1);
    let mut stored = json;
    stored.as_object_mut().unwrap().remove("length_only");
    assert_eq!(serde_json::from_value::<Report>(stored).unwrap().length_only, 0, "a report of an earlier version");

    let report = Sweeping::of(&registry).with(|target| target.limits.unranged_bytes = 1 << 20).sweep().await;
    assert_eq!(report.length_only, 0, "read to its end");
    let report = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await;
    assert_eq!(report.length_only, 0, "nothing more was wanted");
    fault.lift();
    assert_eq!(Sweeping::of(&registry).sweep().await.length_only, 0);
}

#[tokio::test]
async fn a_contradicting_digest_header_is_found_by_head_alone() {
    let image = app();
    let registry = registry_with(&image).await;
    registry.fault(on(&image.layers().next().unwrap().digest), claims_digest(&Digest::sha256(b"another")));
    let report = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await;
    assert_eq!(reasons(&report), [Reason::DigestMismatch]);
}

#[tokio::test]
async fn tag_digest_header_contradicting_bytes_is_digest_mismatch() {
    let registry = registry_with(&app()).await;
    let other = Digest::sha256(b"never pushed");
    registry.fault(on_tag("1").in_repository("app"), claims_digest(&other));
    assert!(!Sweeping::of(&registry).sweep().await.failures.is_empty());
}

#[tokio::test]
async fn get_of_a_tag_outranks_a_stale_head() {
    let registry = registry_with(&app()).await;
    let stale = Digest::sha256(b"what the tag was before");
    registry.fault(on_tag("1").in_repository("app").head_only(), claims_digest(&stale));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(reasons(&report), [], "{:#?}", report.failures);
    assert_eq!(report.images.intact, 2, "{:#?}", report.unverified);
}

#[tokio::test]
async fn endless_and_slow_bodies_are_bounded_and_unverified() {
    let cases = [
        ("endless", endless_body(), Some(Cause::Protocol)),
        ("slow", slow_body(Duration::from_secs(1)), Some(Cause::Timeout)),
        ("stalled", stalls_body_after(10), Some(Cause::Timeout)),
    ];
    // They mostly wait.
    join_all(cases.map(|(name, effect, cause)| async move {
        let registry = registry_with(&app()).await;
        registry.fault(at(Endpoint::Manifest).in_repository("app").get_only(), effect);
        let report =
            Sweeping::of(&registry).with(|target| target.request_timeout = Duration::from_millis(400)).sweep().await;
        assert_eq!(reasons(&report), [], "{name}");
        assert_eq!(causes(&report), Vec::from_iter(cause), "{name}: {:#?}", report.unverified);
        assert!(report.received_bytes < 30_000_000, "{name}: {}", report.received_bytes);
        assert!(report.duration_seconds < 8.0, "{name}: {}", report.duration_seconds);
    }))
    .await;
}

#[tokio::test]
async fn an_endless_blob_costs_a_few_kilobytes() {
    let image = app();
    let layer = &image.layers().next().unwrap().digest;
    let registry = registry_with(&image).await;
    registry.fault(on(layer), endless_body());
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(reasons(&report), []);
    assert!(report.received_bytes < 3_000_000, "{}", report.received_bytes);
}

#[tokio::test]
async fn truncated_body_is_unreadable_only_if_repeated() {
    let image = app();
    let layer = &image.layers().next().unwrap().digest;
    let registry = registry_with(&image).await;
    let once = registry.fault(on(layer).times(1), cuts_body_after(0));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, reasons(&report)), (Outcome::Complete, vec![]));
    once.lift();
    registry.fault(on(layer), cuts_body_after(0));
    assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::Unreadable]);
}

#[tokio::test]
async fn a_length_that_one_answer_claims_is_not_believed() {
    let image = app();
    let registry = registry_with(&image).await;
    registry.fault(on(&image.layers().next().unwrap().digest).times(1), claims_length(7));
    assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), []);
}

/// Found by the random answers of `fuzz_parsers`: 416 is no trouble to a blob, and was none to a tag.
#[tokio::test]
async fn a_416_to_a_tag_does_not_resolve_it() {
    let registry = registry_with(&app()).await;
    let digest = app().root().digest.to_string();
    registry.fault(on_tag("1").in_repository("app"), answers(416).header("Docker-Content-Digest", digest));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((reasons(&report), causes(&report)), (vec![], vec![Cause::Protocol]));
}

//! Blobs that are hashed: what only their bytes tell, and what a body that stalls or never ends does to a sweep.

use std::sync::Arc;
use std::time::{Duration, Instant};

use registry_integrity_probe::check::evidence::EvidenceSchedule;
use registry_integrity_probe::check::manifest_cache::ManifestCache;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::{Confirm, Target};
use registry_integrity_probe::demo::fault::{cuts_body_after, endless_body, on, slow_body, stalls_body_after};
use registry_integrity_probe::demo::{Headers, Image, Registry};
use registry_integrity_probe::registry::{HttpRegistry, Traffic};
use registry_integrity_probe::report::{Cause, Outcome, Reason, Report};

/// More than is kept of a body, so that it is hashed as it comes.
const LONG: usize = 300 * 1024;

async fn registry_with(image: &Image) -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", image);
    registry.push("whole:1", &Image::manifest().named("whole"));
    registry
}

/// A sweep that hashes every blob, of a registry that may be silent for `patience`.
async fn hash_all(registry: &Registry, patience: Duration) -> Report {
    let mut target = Target::with_defaults(registry.url().parse().unwrap());
    target.confirm = Confirm { attempts: 2, delay: Duration::from_millis(10) };
    target.request_timeout = patience;
    target.evidence.content = Some(Duration::ZERO);
    let traffic = Arc::new(Traffic::default());
    let client = Arc::new(HttpRegistry::new(&target, Arc::clone(&traffic)).unwrap());
    let proofs = Arc::new(EvidenceSchedule::one_shot(&target.evidence));
    sweep(
        client,
        Job {
            target: &target,
            evidence_schedule: proofs,
            manifests: Arc::new(ManifestCache::none()),
            blob_hasher: None,
            traffic,
            known: &[],
            catalog: &Default::default(),
            contradictions: Arc::default(),
            progress: Arc::default(),
        },
    )
    .await
    .0
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn full_hash_of_intact_blobs_finds_nothing() {
    let image = Image::index().platforms(["linux/amd64", "linux/arm64"]).with_layers(2).with_layer_size(LONG);
    let registry = registry_with(&image).await;
    let report = hash_all(&registry, PATIENT).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.failures, []);
    assert!(report.received_bytes > 4 * LONG as u64);
}

#[tokio::test]
async fn flipped_byte_is_found_in_any_blob_length() {
    for size in [100, LONG] {
        let image = Image::manifest().with_layers(2).with_layer_size(size);
        let registry = registry_with(&image).await;
        let layer = image.layers().next().unwrap();
        registry.replace("app", &layer.digest, layer.flipped(), Headers::Stale);
        let report = hash_all(&registry, PATIENT).await;
        let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
        assert_eq!((failure.reason, failure.digest.as_ref()), (Reason::DigestMismatch, Some(&layer.digest)));
        assert!(failure.detail.contains("bytes hash to sha256:"), "{}", failure.detail);
    }
}

#[tokio::test]
async fn truncated_blob_is_unreadable_other_length_a_mismatch() {
    let image = Image::manifest().with_layers(3).with_layer_size(LONG);
    let registry = registry_with(&image).await;
    let layers: Vec<_> = image.layers().collect();
    registry.fault(on(&layers[0].digest), cuts_body_after(LONG / 2));
    registry.replace("app", &layers[1].digest, layers[1].truncated(LONG / 2), Headers::Follow);
    registry.fault(on(&layers[2].digest), endless_body());
    let report = hash_all(&registry, PATIENT).await;
    let reasons: Vec<_> = layers
        .iter()
        .map(|layer| report.failures.iter().find(|failure| failure.digest.as_ref() == Some(&layer.digest)))
        .map(|failure| failure.map(|failure| failure.reason))
        .collect();
    let expected = [Reason::Unreadable, Reason::SizeMismatch, Reason::SizeMismatch].map(Some);
    assert_eq!(reasons, expected, "{report:#?}");
}

#[tokio::test]
async fn slow_body_passes_and_stalled_body_times_out() {
    let (slow, stalling) = (Image::manifest().with_layer_size(15), Image::manifest().with_layer_size(LONG));
    let registry = registry_with(&slow).await;
    registry.push("app:2", &stalling);
    let stalled = stalling.layers().next().unwrap();
    registry.fault(on(&slow.layers().next().unwrap().digest), slow_body(Duration::from_millis(100)));
    registry.fault(on(&stalled.digest), stalls_body_after(LONG / 2));
    let (patience, began) = (Duration::from_millis(700), Instant::now());
    let report = hash_all(&registry, patience).await;
    assert!(began.elapsed() > patience);
    assert_eq!(report.failures, []);
    let [unverified] = report.unverified.as_slice() else { panic!("{report:#?}") };
    assert_eq!((unverified.cause, unverified.reference.as_str()), (Cause::Timeout, &*stalled.digest.to_string()));
    assert!(unverified.detail.contains("stalled for 700ms after"), "{}", unverified.detail);
}

#[tokio::test]
async fn hashing_asks_for_no_range() {
    let image = Image::manifest().with_layer_size(LONG);
    let registry = registry_with(&image).await;
    assert_eq!(hash_all(&registry, PATIENT).await.outcome, Outcome::Complete);
    assert!(registry.requests().iter().all(|request| request.range.is_none()));
}

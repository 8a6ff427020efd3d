//! Hand-made reports and states, for the tests of what renders them.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use registry_integrity_probe::config::Target;
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::report::{
    Cause, Failure, ImageCounts, Kind, ObjectCounts, Outcome, Reason, Report, Unverified,
};

/// 2026-04-19T09:00:00Z.
pub fn nine_o_clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_776_589_200)
}

/// A target with the documented defaults.
pub fn target(name: &str) -> Target {
    let url = "https://registry.example.com:5050".parse().unwrap();
    Target { name: name.to_string(), ..Target::with_defaults(url) }
}

/// A sweep that found 62 images whole.
pub fn intact(registry: &str) -> Report {
    Report {
        registry: registry.to_string(),
        url: "https://registry.example.com:5050/".to_string(),
        started_at: nine_o_clock(),
        duration_seconds: 1.9,
        outcome: Outcome::Complete,
        catalog_accessible: true,
        catalog_reached: true,
        catalog: Default::default(),
        empty: false,
        repositories: 22,
        images: ImageCounts { intact: 62, broken: 0, unverified: 0 },
        objects: ObjectCounts { manifest: 63, child: 118, config: 120, layer: 840 },
        length_only: 0,
        requests: 1210,
        received_bytes: 340_112,
        failures: Vec::new(),
        unverified: Vec::new(),
    }
}

/// A sweep of a registry without images.
pub fn empty(registry: &str) -> Report {
    let (images, objects) = (ImageCounts::default(), ObjectCounts::default());
    Report { empty: true, repositories: 0, images, objects, ..intact(registry) }
}

/// A sweep that found some failures.
pub fn broken(registry: &str, failures: Vec<Failure>) -> Report {
    let mut images: Vec<_> = failures.iter().flat_map(|failure| &failure.images).collect();
    images.sort();
    images.dedup();
    let images = ImageCounts { broken: images.len() as u64, ..intact(registry).images };
    Report { images, failures, ..intact(registry) }
}

/// A sweep that could not judge something.
pub fn partial(registry: &str, unverified: Vec<Unverified>) -> Report {
    let mut images: Vec<_> = unverified.iter().flat_map(|entry| &entry.images).collect();
    images.sort();
    images.dedup();
    let images = ImageCounts { unverified: images.len() as u64, ..intact(registry).images };
    Report { outcome: Outcome::Partial, images, unverified, ..intact(registry) }
}

/// A sweep that nobody answered.
pub fn failed(registry: &str) -> Report {
    let catalog = Unverified {
        repository: None,
        reference: Unverified::CATALOG.to_string(),
        kind: None,
        cause: Cause::Unreachable,
        images: Vec::new(),
        detail: "GET /v2/_catalog: connection refused".to_string(),
    };
    Report {
        outcome: Outcome::Failed,
        catalog_accessible: false,
        catalog_reached: false,
        repositories: 0,
        images: ImageCounts::default(),
        objects: ObjectCounts::default(),
        unverified: vec![catalog],
        ..intact(registry)
    }
}

/// The incident's failure: the child of an index that two tags name.
pub fn orphan_child() -> Failure {
    let (index, child) = (Digest::sha256(b"index"), Digest::sha256(b"child"));
    Failure {
        repository: "infra-ci".parse().unwrap(),
        digest: Some(child.clone()),
        kind: Kind::Child,
        reason: Reason::Missing,
        media_type: Some("application/vnd.oci.image.manifest.v1+json".to_string()),
        platform: Some("linux/amd64".to_string()),
        attestation: false,
        images: vec!["infra-ci:5319f03e".parse().unwrap(), "infra-ci:latest".parse().unwrap()],
        path: vec!["infra-ci:5319f03e".to_string(), index.to_string(), child.to_string()],
        detail: "HEAD 404 MANIFEST_UNKNOWN, confirmed 3 times in 4.1s".to_string(),
        first_seen: nine_o_clock() + Duration::from_secs(1),
        last_seen: nine_o_clock() + Duration::from_secs(5),
    }
}

/// A layer that is bad in some way.
pub fn bad_layer(content: &str, reason: Reason, images: &[&str]) -> Failure {
    let digest = Digest::sha256(content.as_bytes());
    let images: Vec<_> = images.iter().map(|image| image.parse().unwrap()).collect();
    let first: &registry_integrity_probe::oci::Image = &images[0];
    Failure {
        repository: first.repository.clone(),
        digest: Some(digest.clone()),
        kind: Kind::Layer,
        reason,
        media_type: Some("application/vnd.oci.image.layer.v1.tar+gzip".to_string()),
        path: vec![first.to_string(), digest.to_string()],
        detail: "206 for the last byte and the connection ended, confirmed 3 times in 4.0s".to_string(),
        images,
        ..orphan_child()
    }
}

/// A layer that could not be judged.
pub fn unjudged_layer(content: &str, cause: Cause, images: &[&str]) -> Unverified {
    Unverified {
        repository: images.first().and_then(|image| image.split_once(':')).map(|(name, _)| name.to_string()),
        reference: Digest::sha256(content.as_bytes()).to_string(),
        kind: Some(Kind::Layer),
        cause,
        images: images.iter().map(|image| image.parse().unwrap()).collect(),
        detail: "HEAD timed out after 30s, 4 times".to_string(),
    }
}

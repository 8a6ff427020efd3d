//! The parts that every object passes through, without a network: `cargo bench --bench pure`.

#![allow(missing_docs, reason = "criterion's macros write the functions")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use registry_integrity_probe::check::evidence::EvidenceSchedule;
use registry_integrity_probe::check::judge;
use registry_integrity_probe::check::manifest_cache::ManifestCache;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::{ByteEvidence, Target};
use registry_integrity_probe::oci::{Digest, Reference, Repository, parse_manifest};
use registry_integrity_probe::registry::{Answer, Body, List, ListEnd, Listing, Method, Object, Question, Trouble};
use registry_integrity_probe::render::metrics;
use registry_integrity_probe::report::Outcome;
use registry_integrity_probe::state::State;

#[path = "../load/images.rs"]
#[allow(dead_code, reason = "the load benchmark uses all of it")]
mod images;

use images::{OBJECTS, imagined, imagined_size, repository};

fn answer(method: Method, digest: &Digest, length: u64, body: Body) -> Answer {
    Answer {
        method,
        status: 200,
        error_code: None,
        storage_code: None,
        redirected_to: None,
        has_retry_after: false,
        content_digest: Some(digest.to_string()),
        content_type: None,
        content_length: Some(length),
        content_range: None,
        is_encoded: false,
        body,
        ends_with_connection: false,
        exchanges: 1,
    }
}

/// A registry that answers at once.
struct Instant {
    manifests: HashMap<String, (Digest, Bytes)>,
    repositories: Vec<String>,
}

impl registry_integrity_probe::registry::Registry for Instant {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        match &question.object {
            Object::Blob(digest) => {
                let size = imagined_size(digest.as_bytes()[0], digest.as_bytes()[1]);
                Ok(answer(Method::Head, digest, size, Body::Unread))
            }
            Object::Manifest(reference) => {
                let key = match reference {
                    Reference::Tag(tag) => format!("{}:{tag}", question.repository),
                    Reference::Digest(digest) => digest.to_string(),
                };
                let Some((digest, bytes)) = self.manifests.get(&key) else {
                    return Err(Trouble::new(registry_integrity_probe::report::Cause::Protocol, "no such manifest"));
                };
                Ok(answer(Method::Get, digest, bytes.len() as u64, Body::Whole(bytes.clone())))
            }
        }
    }

    async fn list(&self, list: &List) -> Listing {
        let names = match list {
            List::Catalog => self.repositories.clone(),
            List::Tags(_) => (0..images::TAGS).map(|tag| format!("1.0.{tag}")).collect(),
        };
        Listing { names, end: ListEnd::Complete }
    }

    fn has_room(&self) -> bool {
        true
    }
}

fn instant(repositories: usize) -> Instant {
    let mut registry = Instant { manifests: HashMap::new(), repositories: Vec::new() };
    for number in 0..repositories {
        let made = repository(number, imagined);
        for (tag, digest) in &made.tags {
            let manifest = made.manifests.iter().find(|it| it.digest == *digest).expect("an index of its own");
            let bytes = Bytes::from(manifest.bytes.clone());
            registry.manifests.insert(format!("{}:{tag}", made.name), (digest.clone(), bytes));
        }
        for manifest in made.manifests {
            registry.manifests.insert(manifest.digest.to_string(), (manifest.digest, manifest.bytes.into()));
        }
        registry.repositories.push(made.name);
    }
    registry
}

fn judging(c: &mut Criterion) {
    let made = repository(0, imagined);
    let manifest = made.manifests.iter().max_by_key(|it| it.bytes.len()).expect("manifests");
    let mut group = c.benchmark_group("judge");
    group.throughput(Throughput::Bytes(manifest.bytes.len() as u64));
    group.bench_function("parse a manifest", |b| b.iter(|| parse_manifest(black_box(&manifest.bytes))));
    let bytes = Bytes::from(manifest.bytes.clone());
    let got = Ok(answer(Method::Get, &manifest.digest, bytes.len() as u64, Body::Whole(bytes)));
    group.bench_function("a manifest: hash, parse", |b| {
        b.iter(|| judge::manifest(black_box(&manifest.digest), None, None, black_box(&got)));
    });
    let (digest, size, _) = &made.blobs[0];
    let head = Ok(answer(Method::Head, digest, *size, Body::Unread));
    group.throughput(Throughput::Elements(1));
    group.bench_function("a blob's HEAD", |b| b.iter(|| judge::blob(black_box(digest), Some(*size), black_box(&head))));
    let proofs = EvidenceSchedule::one_shot(&Target::with_defaults("http://r".parse().expect("a URL")).evidence);
    let name: Repository = made.name.parse().expect("a name");
    group.bench_function("which proof a blob needs", |b| {
        b.iter(|| proofs.wanted(black_box(&name), black_box(digest), SystemTime::now()));
    });
    group.finish();
}

fn walking(c: &mut Criterion) {
    const REPOSITORIES: usize = 20;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let registry = Arc::new(instant(REPOSITORIES));
    let mut target = Target::with_defaults("http://r".parse().expect("a URL"));
    target.evidence.byte = ByteEvidence::Off;
    let mut group = c.benchmark_group("walk");
    group.throughput(Throughput::Elements((REPOSITORIES * OBJECTS) as u64)).sample_size(20);
    group.bench_function("graphs, answers at once", |b| {
        b.iter(|| {
            let job = Job {
                target: &target,
                evidence_schedule: Arc::new(EvidenceSchedule::one_shot(&target.evidence)),
                manifests: Arc::new(ManifestCache::none()),
                blob_hasher: None,
                traffic: Arc::default(),
                known: &[],
                catalog: &Default::default(),
                contradictions: Arc::default(),
                progress: Arc::default(),
            };
            let (report, _) = runtime.block_on(sweep(Arc::clone(&registry), job));
            assert_eq!(report.outcome, Outcome::Complete);
        });
    });
    group.finish();
}

fn rendering(c: &mut Criterion) {
    let targets: Vec<Target> =
        (0..20).map(|n| Target::with_defaults(format!("http://registry{n}.example").parse().expect("a URL"))).collect();
    let state = State::new(&targets);
    c.bench_function("metrics of 20 registries", |b| b.iter(|| metrics::render(black_box(&state))));
}

criterion_group!(benches, judging, walking, rendering);
criterion_main!(benches);

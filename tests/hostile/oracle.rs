//! Random graphs with random faults, and an oracle that knows which verdicts they must lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use registry_integrity_probe::demo::fault::{answers, answers_with, cuts_body_after, on, on_tag, resets};
use registry_integrity_probe::demo::{Headers, Image, Part, Registry, Role};
use registry_integrity_probe::oci::{Descriptor, Digest, Platform};
use registry_integrity_probe::report::{Reason, Report};

use crate::sweeping::Sweeping;

/// One tag's image, in words that make it again.
#[derive(Clone, Debug)]
struct Planned {
    repository: usize,
    shape: Shape,
    /// Images of one base share their first layers.
    base: usize,
    layers: usize,
    /// The first layer lies elsewhere, and the registry need not hold it.
    foreign: bool,
}

#[derive(Clone, Debug)]
enum Shape {
    Manifest,
    Index {
        platforms: usize,
        attestations: bool,
    },
    Nested,
    /// A manifest that is none, under its right digest.
    Rubbish,
}

/// What is done to one object of a repository, chosen by its number.
#[derive(Clone, Debug)]
enum Damage {
    Removed,
    Flipped,
    /// Another digest in a child: as long, still JSON. (What a tag leads to has no digest of its own then.)
    Altered,
    Truncated,
    TruncatedUnderStaleCache,
    Cut,
    Refused,
    Resets,
    PassingNotFound,
    PassingServerError,
}

fn planned() -> impl Strategy<Value = Planned> {
    let shape = prop_oneof![
        3 => Just(Shape::Manifest),
        3 => (1..4usize, any::<bool>()).prop_map(|(platforms, attestations)| Shape::Index { platforms, attestations }),
        1 => Just(Shape::Nested),
        1 => Just(Shape::Rubbish),
    ];
    (0..3usize, shape, 0..3usize, 1..4usize, prop::bool::weighted(0.2))
        .prop_map(|(repository, shape, base, layers, foreign)| Planned { repository, shape, base, layers, foreign })
}

fn damage() -> impl Strategy<Value = (usize, Damage)> {
    let damage = prop_oneof![
        Just(Damage::Removed),
        Just(Damage::Flipped),
        Just(Damage::Altered),
        Just(Damage::Truncated),
        Just(Damage::TruncatedUnderStaleCache),
        Just(Damage::Cut),
        Just(Damage::Refused),
        Just(Damage::Resets),
        Just(Damage::PassingNotFound),
        Just(Damage::PassingServerError),
    ];
    (any::<usize>(), damage)
}

fn image(plan: &Planned, number: usize) -> Image {
    let platforms = ["linux/amd64", "linux/arm64", "linux/s390x"];
    let held = if plan.foreign { "foreign" } else { "base" };
    let (name, base) = (format!("image {number}"), format!("{held} {}", plan.base));
    let of = |image: Image| {
        let image = image.named(&name).based_on(&base).with_layers(plan.layers);
        if plan.foreign { image.with_layer_urls(["https://elsewhere.example/layer"]) } else { image }
    };
    match plan.shape {
        Shape::Manifest => of(Image::manifest()),
        Shape::Index { platforms: count, attestations } => {
            let index = of(Image::index().platforms(platforms[..count].iter().copied()));
            if attestations { index.with_attestation() } else { index }
        }
        Shape::Rubbish => {
            Image::raw("application/vnd.oci.image.manifest.v1+json", format!(r#"{{"layers":"none of {number}"}}"#))
        }
        Shape::Nested => {
            Image::index().named(&name).containing([of(Image::index().platforms(platforms[..2].iter().copied()))])
        }
    }
}

/// What must be found of an object: nothing, a failure, or that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    Broken(Reason),
    Unknown,
}

type Key = (String, Option<Digest>);

fn inflict(registry: &Registry, repository: &str, part: &Part, damage: &Damage) -> Option<Truth> {
    let is_manifest = matches!(part.role, Role::Root | Role::Child);
    let only_here = on(&part.digest).in_repository(repository);
    match damage {
        Damage::Removed if is_manifest => registry.remove_manifest(repository, &part.digest),
        Damage::Removed => registry.remove_blob(repository, &part.digest),
        // A flipped byte of a blob is found by hashing alone, and of a manifest it may leave no JSON: 500.
        Damage::Flipped | Damage::Truncated | Damage::TruncatedUnderStaleCache if is_manifest => return None,
        Damage::Flipped => return None,
        Damage::Altered => {
            let text = String::from_utf8_lossy(&part.bytes).into_owned();
            let at = text.rfind("sha256:").filter(|_| part.role == Role::Child)?;
            let first = if text[at..].starts_with("sha256:0") { "1" } else { "0" };
            let altered = text[..at].to_string() + "sha256:" + first + &text[at + 8..];
            registry.replace(repository, &part.digest, altered, Headers::Follow);
            return Some(Truth::Broken(Reason::DigestMismatch));
        }
        Damage::Truncated => {
            registry.replace(repository, &part.digest, part.truncated(part.bytes.len() / 2), Headers::Follow);
            return Some(Truth::Broken(Reason::SizeMismatch));
        }
        Damage::TruncatedUnderStaleCache => {
            registry.replace(repository, &part.digest, part.truncated(part.bytes.len() / 2), Headers::Stale);
            return Some(Truth::Broken(Reason::Unreadable));
        }
        Damage::Cut => {
            registry.fault(only_here, cuts_body_after(0));
            return Some(Truth::Broken(Reason::Unreadable));
        }
        Damage::Refused => {
            registry.fault(only_here, answers(403));
            return Some(Truth::Unknown);
        }
        Damage::Resets => {
            registry.fault(only_here, resets());
            return Some(Truth::Unknown);
        }
        Damage::PassingNotFound => {
            registry.fault(only_here.times(1), answers(404));
            return None;
        }
        Damage::PassingServerError => {
            registry.fault(only_here.times(2), answers(503));
            return None;
        }
    }
    Some(Truth::Broken(Reason::Missing))
}

/// Walks the plan's own parts: what can be seen from the tags, given what cannot be read.
fn expected(
    image: &Image,
    repository: &str,
    truths: &BTreeMap<Key, Truth>,
    only: Option<&Platform>,
) -> BTreeMap<Key, Truth> {
    let mut seen = BTreeMap::new();
    let by_digest: BTreeMap<&Digest, &Part> = image.parts().iter().map(|part| (&part.digest, part)).collect();
    let mut open = vec![&image.root().digest];
    while let Some(digest) = open.pop() {
        let key = (repository.to_string(), Some(digest.clone()));
        let Some(part) = by_digest.get(digest) else { continue };
        match truths.get(&key) {
            Some(truth) => drop(seen.insert(key, *truth)),
            None if matches!(part.role, Role::Root | Role::Child) => {
                let manifest = registry_integrity_probe::oci::parse_manifest(&part.bytes).unwrap();
                // An attestation is wanted if that is what it speaks of.
                let is_wanted = |child: &&Descriptor| {
                    let subject = by_digest.get(child.attestation_subject.as_ref().unwrap_or(&child.digest));
                    let platform = subject.and_then(|subject| subject.platform.as_ref());
                    only.is_none() || platform.is_none() || platform == only
                };
                let children = manifest.manifests.iter().filter(is_wanted);
                let named = children.chain(&manifest.config).chain(&manifest.layers);
                let named: BTreeSet<Digest> = named.map(|descriptor| descriptor.digest.clone()).collect();
                open.extend(image.parts().iter().map(|part| &part.digest).filter(|digest| named.contains(digest)));
            }
            None => {}
        }
    }
    seen
}

fn found(report: &Report) -> BTreeMap<Key, Truth> {
    let failures = report
        .failures
        .iter()
        .map(|failure| ((failure.repository.to_string(), failure.digest.clone()), Truth::Broken(failure.reason)));
    let unverified = report
        .unverified
        .iter()
        .map(|entry| ((entry.repository.clone().unwrap_or_default(), entry.reference.parse().ok()), Truth::Unknown));
    failures.chain(unverified).collect()
}

async fn compare(
    plans: Vec<Planned>,
    damages: Vec<(usize, Damage)>,
    only: Option<Platform>,
) -> Result<(), TestCaseError> {
    let registry = Registry::start().await.unwrap();
    // Neighbours that are served, so that every kind of evidence can be believed.
    registry.push("neighbour:1", &Image::index().named("neighbour").platforms(["linux/amd64"]));
    let mut images: Vec<(String, Image)> = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let repository = format!("r{}", plan.repository);
        let image = image(plan, number);
        registry.push(&format!("{repository}:t{number}"), &image);
        images.push((repository, image));
    }
    let objects: Vec<(String, Part)> = images
        .iter()
        .flat_map(|(repository, image)| image.parts().iter().map(move |part| (repository.clone(), part.clone())))
        .collect();
    let mut truths: BTreeMap<Key, Truth> = BTreeMap::new();
    let mut damaged = BTreeSet::new();
    for (number, (repository, image)) in images.iter().enumerate() {
        if !matches!(plans[number].shape, Shape::Rubbish) {
            continue;
        }
        let tag = &format!("t{number}");
        let key = (repository.clone(), Some(image.root().digest.clone()));
        // distribution itself would not serve it.
        let root = image.root();
        let served = answers_with(200, "application/vnd.oci.image.manifest.v1+json", root.bytes.clone())
            .header("Docker-Content-Digest", root.digest.to_string());
        registry.fault(on(&root.digest).in_repository(repository), served.clone());
        registry.fault(on_tag(tag).in_repository(repository), served);
        damaged.insert(key.clone());
        truths.insert(key, Truth::Broken(Reason::Malformed));
    }
    for (number, damage) in &damages {
        let (repository, part) = &objects[number % objects.len()];
        let key = (repository.clone(), Some(part.digest.clone()));
        // A tag's own manifest is asked for by its tag first, which a fault on the digest does not strike.
        let is_root_that_is_gone = part.role == Role::Root && matches!(damage, Damage::Removed);
        let lies_elsewhere = !part.urls.is_empty();
        if is_root_that_is_gone || lies_elsewhere || !damaged.insert(key.clone()) {
            continue;
        }
        if let Some(truth) = inflict(&registry, repository, part, damage) {
            truths.insert(key, truth);
        }
    }
    let expected: BTreeMap<Key, Truth> =
        images.iter().flat_map(|(repository, image)| expected(image, repository, &truths, only.as_ref())).collect();

    let wanted = only.iter().cloned().collect();
    let report = Sweeping::of(&registry).with(|target| target.platforms = wanted).sweep().await;

    prop_assert_eq!(found(&report), expected.clone(), "{:#?}", report);
    let broken = |(repository, image): &(String, Image)| {
        let seen = self::expected(image, repository, &truths, only.as_ref());
        if seen.values().any(|truth| matches!(truth, Truth::Broken(_))) { 0 } else { usize::from(!seen.is_empty()) + 1 }
    };
    let states: Vec<usize> = images.iter().map(broken).collect();
    let count = |state: usize| states.iter().filter(|&&of| of == state).count() as u64;
    prop_assert_eq!(report.images.broken, count(0));
    prop_assert_eq!(report.images.intact, count(1) + 1);
    prop_assert_eq!(report.images.unverified, count(2));
    Ok(())
}

#[test]
fn random_graphs_with_random_faults_lead_to_the_verdicts_of_the_oracle() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(Config { cases, max_shrink_iters: 30, failure_persistence: None, ..Config::default() });
    let only = prop::option::weighted(0.3, prop::sample::select(vec!["linux/amd64", "linux/arm64"]));
    let only = only.prop_map(|only| only.map(|platform| platform.parse().unwrap()));
    let plans = (prop::collection::vec(planned(), 1..8), prop::collection::vec(damage(), 0..6), only);
    runner
        .run(&plans, |(plans, damages, only)| {
            runtime.block_on(async {
                tokio::time::timeout(Duration::from_secs(60), compare(plans, damages, only))
                    .await
                    .unwrap_or_else(|_| Err(TestCaseError::fail("the sweep did not end within a minute")))
            })
        })
        .unwrap();
}

//! Healthy registries whose network is not: one request in five goes wrong, at random.

use std::time::Duration;

use futures_util::future::join_all;
use registry_integrity_probe::config::{Limits, Target};
use registry_integrity_probe::demo::fault::{answers, everything, hangs, resets};
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::report::Report;

use crate::testkit::sweeping::Sweeping;

/// 2,000 objects in one registry take most of a minute, nearly all of it waiting: they are spread over this many.
const REGISTRIES: usize = 6;
/// Manifests of a config and six layers.
const IMAGES: usize = 252;

/// A registry of some images, ten in a repository.
async fn healthy(images: usize, seed: u64) -> Registry {
    let registry = Registry::start().await.unwrap();
    for n in 0..images {
        let image = Image::manifest().named(&format!("{seed} {n}")).with_layers(6);
        registry.push(&format!("r{}:{}", n / 10, n % 10), &image);
    }
    for (number, effect) in [answers(500), resets(), answers(429), hangs()].into_iter().enumerate() {
        registry.fault(everything().at_rate(0.05, seed * 10 + number as u64), effect);
    }
    registry
}

async fn sweep(registry: &Registry) -> Report {
    // As many retries as by default: the figures are about them.
    let as_by_default = |target: &mut Target| {
        (target.request_timeout, target.limits.retries) = (Duration::from_millis(250), Limits::default().retries);
    };
    Sweeping::of(registry).with(as_by_default).sweep().await
}

#[expect(clippy::print_stderr, reason = "the figures of the run are worth reading")]
fn print(registry: &Registry, report: &Report) {
    eprintln!(
        "20 % of requests fail: {} objects, {} requests, {} failures, {} unverified, {:.1} s, at most {} in flight",
        report.objects.total(),
        registry.request_count(),
        report.failures.len(),
        report.unverified.len(),
        report.duration_seconds,
        registry.most_in_flight(),
    );
}

/// With `RANDOM_FAULTS_REGISTRIES=1` everything lies in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_in_five_goes_wrong_and_nothing_is_called_broken() {
    let registries = std::env::var("RANDOM_FAULTS_REGISTRIES").map_or(REGISTRIES, |text| text.parse().unwrap());
    let sweeps = (0..registries).map(|seed| async move {
        let registry = healthy(IMAGES / registries, seed as u64).await;
        let report = sweep(&registry).await;
        print(&registry, &report);
        report
    });
    let reports = join_all(sweeps).await;
    let (mut objects, mut unverified) = (0, 0);
    for report in reports {
        assert_eq!(report.failures, []);
        assert!(report.catalog_accessible);
        objects += report.objects.total();
        unverified += report.unverified.len() as u64;
    }
    assert!(objects >= 2_000, "{objects}");
    assert!(unverified * 1_000 <= objects, "{unverified} of {objects}");
}

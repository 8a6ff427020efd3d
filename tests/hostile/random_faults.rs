//! A healthy registry whose network is not: one request in five goes wrong, at random.

use std::time::Duration;

use registry_integrity_probe::demo::fault::{answers, everything, hangs, resets};
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::report::Report;

use crate::sweeping::Sweeping;

/// 2,000 objects: 250 manifests of a config and six layers.
async fn healthy() -> Registry {
    let registry = Registry::start().await.unwrap();
    for n in 0..25 {
        for tag in 0..10 {
            let image = Image::manifest().named(&format!("{n}/{tag}")).with_layers(6);
            registry.push(&format!("r{n}:{tag}"), &image);
        }
    }
    registry
}

async fn sweep(registry: &Registry) -> Report {
    Sweeping::of(registry).with(|target| target.request_timeout = Duration::from_millis(250)).sweep().await
}

#[expect(clippy::print_stderr, reason = "the figures of the run are worth reading")]
fn print(name: &str, registry: &Registry, report: &Report) {
    let objects = report.objects.total();
    eprintln!(
        "{name}: {objects} objects, {} requests, {} failures, {} unverified, {:.1} s, at most {} in flight",
        registry.request_count(),
        report.failures.len(),
        report.unverified.len(),
        report.duration_seconds,
        registry.most_in_flight(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_in_five_goes_wrong_and_nothing_is_called_broken() {
    let registry = healthy().await;
    for (seed, (effect, rate)) in
        [(answers(500), 0.05), (resets(), 0.05), (answers(429), 0.05), (hangs(), 0.05)].into_iter().enumerate()
    {
        registry.fault(everything().at_rate(rate, seed as u64), effect);
    }
    let report = sweep(&registry).await;
    print("20 % of requests fail", &registry, &report);
    assert_eq!(report.failures, []);
    assert!(report.catalog_accessible);
    let objects = report.objects.total();
    assert!(objects >= 1_998, "{objects}");
    assert!(report.unverified.len() as u64 * 1_000 <= objects, "{} of {objects}", report.unverified.len());
}

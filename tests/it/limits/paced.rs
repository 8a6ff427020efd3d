//! A sweep that is paced, request by request.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::config::{Config, Spread, Target};
use registry_integrity_probe::demo::{Endpoint, Image, LoggedRequest, Registry};
use registry_integrity_probe::service::schedule::Schedule;
use registry_integrity_probe::state::State;
use tokio::runtime::Handle;

use crate::testkit::poll_until;

const BOUND: Duration = Duration::from_secs(30);
const SPREAD: Duration = Duration::from_secs(3);
const WINDOW: Duration = Duration::from_millis(150);

fn push(registry: &Registry, repositories: std::ops::Range<usize>) {
    for repository in repositories {
        // Of different lengths, as repositories are.
        for tag in 0..3 + repository * 7 % 20 {
            let image = Image::manifest().named(&format!("{repository} {tag}")).with_layers(2);
            registry.push(&format!("app{repository}:{tag}"), &image);
        }
    }
}

/// So many requests that follow each other are of all kinds.
const KINDS_WITHIN: usize = 60;

/// The most requests within any window.
fn densest(requests: &[LoggedRequest]) -> usize {
    let within =
        |first: &LoggedRequest| requests.iter().filter(|it| it.at >= first.at && it.at < first.at + WINDOW).count();
    requests.iter().map(within).max().unwrap_or_default()
}

fn repository(request: &LoggedRequest) -> Option<String> {
    request.path.strip_prefix("/v2/")?.split('/').next().map(str::to_string)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_come_evenly_and_mixed_even_if_the_registry_has_grown() {
    let registry = Registry::start().await.unwrap();
    push(&registry, 0..20);
    let mut target = Target::with_defaults(registry.url().parse().unwrap());
    (target.name, target.interval, target.spread) = ("r".to_string(), Duration::from_secs(6), Spread::Over(SPREAD));
    let state = Arc::new(State::new([&target]));
    let known = || state.registry("r").unwrap().known();
    let schedule =
        Schedule::start(Arc::clone(&state), &Config { registries: vec![target] }, &Handle::current()).unwrap();
    let sweeps = || known().sweeps[0];
    poll_until(BOUND, async || (sweeps() == 1).then_some(())).await;
    let first = registry.request_count();

    push(&registry, 20..27);
    registry.clear_requests();
    // One that is asked for is not paced: the next one comes by itself.
    poll_until(BOUND, async || (sweeps() == 2).then_some(())).await;
    let requests = registry.requests();
    schedule.end();
    assert!(requests.len() * 4 > first * 5, "{} and {first}", requests.len());
    let took = requests.last().unwrap().at - requests[0].at;
    assert!(took > SPREAD * 5 / 4, "the last were hurried: {took:?}");
    let share = first as f64 * WINDOW.as_secs_f64() / SPREAD.as_secs_f64();
    let densest = densest(&requests);
    assert!((densest as f64) < 3.0 * share, "{densest} in {WINDOW:?}, which is to have {share:.1}");
    for part in requests.chunks(requests.len().div_ceil(5)) {
        let repositories: HashSet<_> = part.iter().filter_map(repository).collect();
        assert!(repositories.len() > 3, "{repositories:?}");
    }
    for (number, part) in requests.chunks_exact(KINDS_WITHIN).enumerate() {
        let of = |endpoint| part.iter().filter(|it| it.endpoint == endpoint).count() * 10;
        let is_mixed = of(Endpoint::Manifest) > part.len() && of(Endpoint::Blob) > part.len();
        assert!(is_mixed, "one kind after the other: {number}: {} {}", of(Endpoint::Manifest), of(Endpoint::Blob));
    }
}

//! `evidence` in `serve`: last bytes are read in turn, and blobs are hashed beside the sweeps, which do not wait for that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use registry_integrity_probe::config::{ByteEvidence, Config, Confirm, Spread, Target};
use registry_integrity_probe::demo::fault::{answers, on};
use registry_integrity_probe::demo::{Endpoint, Headers, Image, LoggedRequest, Registry};
use registry_integrity_probe::report::Reason;
use registry_integrity_probe::service::schedule::Schedule;
use registry_integrity_probe::state::State;
use tokio::runtime::Handle;

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::poll_until;
use crate::testkit::reports::reasons;

/// Swept every 300 ms, and hashed within the shortest period that is not "in every sweep".
fn config(registry: &Registry, budget: Option<u64>) -> Config {
    let mut target = Target::with_defaults(registry.url().parse().unwrap());
    target.interval = Duration::from_millis(300);
    target.spread = Spread::Over(Duration::ZERO);
    target.confirm = Confirm { attempts: 2, delay: Duration::from_millis(10) };
    target.evidence.content = Some(Duration::from_secs(1));
    target.evidence.content_budget = budget;
    Config { registries: vec![target] }
}

#[tokio::test]
async fn flipped_byte_found_by_hashing_resolves_after_repair() {
    let registry = registry_with(&app()).await;
    let image = app();
    let layer = image.layers().next().unwrap();
    registry.replace("app", &layer.digest, layer.flipped(), Headers::Follow);
    let config = config(&registry, None);
    let state = Arc::new(State::new(&config.registries));
    let _schedule = Schedule::start(Arc::clone(&state), &config, &Handle::current()).unwrap();
    let report = || state.registries()[0].known().report;
    poll_until(Duration::from_secs(30), async || {
        report().filter(|report| reasons(report) == [Reason::DigestMismatch]).map(drop)
    })
    .await;
    let sweeps = || state.registries()[0].known().sweeps.iter().sum::<u64>();
    let then = sweeps();
    poll_until(Duration::from_secs(30), async || (sweeps() >= then + 4).then_some(())).await;
    assert_eq!(reasons(&report().unwrap()), [Reason::DigestMismatch], "its last byte does not clear it");
    assert_eq!(report().unwrap().images.broken, 1);
    registry.replace("app", &layer.digest, layer.bytes.clone(), Headers::Follow);
    poll_until(Duration::from_secs(60), async || report().filter(|report| reasons(report).is_empty()).map(drop)).await;
}

/// Its last byte was read in the first sweep and is not due for a day; the sweeps in between ask by HEAD, which is answered.
#[tokio::test]
async fn unhashable_blob_is_read_by_the_next_sweep() {
    let registry = registry_with(&app()).await;
    let config = config(&registry, None);
    let state = Arc::new(State::new(&config.registries));
    let _schedule = Schedule::start(Arc::clone(&state), &config, &Handle::current()).unwrap();
    let known = || state.registries()[0].known();
    poll_until(Duration::from_secs(30), async || (known().sweeps[0] >= 2).then_some(())).await;
    let image = app();
    let refused = registry.fault(on(&image.layers().next().unwrap().digest).get_only(), answers(410));
    let is_unreadable = || known().report.is_some_and(|report| reasons(&report) == [Reason::Unreadable]);
    poll_until(Duration::from_secs(30), async || is_unreadable().then_some(())).await;
    let then = known().sweeps[0];
    poll_until(Duration::from_secs(30), async || (known().sweeps[0] >= then + 3).then_some(())).await;
    assert!(is_unreadable(), "HEAD does not clear it");
    refused.lift();
    poll_until(Duration::from_secs(30), async || (known().report.unwrap().images.intact == 2).then_some(())).await;
}

#[tokio::test]
async fn a_budget_that_lasts_for_hours_holds_up_no_sweep() {
    let registry = registry_with(&app()).await;
    let config = config(&registry, Some(10));
    let state = Arc::new(State::new(&config.registries));
    let _schedule = Schedule::start(Arc::clone(&state), &config, &Handle::current()).unwrap();
    poll_until(Duration::from_secs(30), async || (state.registries()[0].known().sweeps[0] >= 4).then_some(())).await;
    assert_eq!(reasons(&state.registries()[0].known().report.unwrap()), []);
}

/// Thirty blobs, of which each is asked for in every sweep.
async fn thirty_blobs() -> Registry {
    let registry = Registry::start().await.unwrap();
    for n in 0..10 {
        registry.push(&format!("r{n}:1"), &Image::manifest().named(&format!("{n}")));
    }
    registry
}

type Asked = BTreeMap<String, Vec<LoggedRequest>>;

fn of_blobs(registry: &Registry) -> Asked {
    let mut asked = Asked::new();
    for request in registry.requests().into_iter().filter(|request| request.endpoint == Endpoint::Blob) {
        asked.entry(request.path.clone()).or_default().push(request);
    }
    asked
}

/// The requests for each blob, in their order, once the service has run for this long and has proved each of them three
/// times in a way.
async fn asked_of_blobs(registry: &Registry, target: Target, is_proof: fn(&LoggedRequest) -> bool) -> Asked {
    let config = Config { registries: vec![target] };
    let state = Arc::new(State::new(&config.registries));
    let schedule = Schedule::start(Arc::clone(&state), &config, &Handle::current()).unwrap();
    tokio::time::sleep(RUN).await;
    let asked = poll_until(Duration::from_secs(60), async || {
        let asked = of_blobs(registry);
        let is_proved = |requests: &Vec<LoggedRequest>| requests.iter().filter(|it| is_proof(it)).count() >= 3;
        (asked.len() == 30 && asked.values().all(is_proved)).then_some(asked)
    })
    .await;
    drop(schedule);
    assert_eq!(reasons(&state.registries()[0].known().report.unwrap()), []);
    asked
}

/// How long the service runs at least.
const RUN: Duration = Duration::from_secs(9);
const PERIOD: Duration = Duration::from_secs(3);

/// The longest time without a request of a kind, of any blob.
fn longest_gap(asked: &Asked, is_it: impl Fn(&LoggedRequest) -> bool) -> Duration {
    let gap = |requests: &Vec<LoggedRequest>| {
        let times: Vec<_> = requests.iter().filter(|request| is_it(request)).map(|request| request.at).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max()
    };
    asked.values().filter_map(gap).max().unwrap()
}

/// Both mostly wait.
#[tokio::test]
async fn every_proof_comes_within_its_period_and_the_budget_holds() {
    tokio::join!(last_bytes_come_in_time_and_heads_in_between(), contents_come_in_time_and_within_the_budget());
}

async fn last_bytes_come_in_time_and_heads_in_between() {
    let registry = thirty_blobs().await;
    let mut target = config(&registry, None).registries.remove(0);
    target.evidence.content = None;
    target.evidence.byte = ByteEvidence::Within(PERIOD);
    let is_byte = |request: &LoggedRequest| request.method == "GET" && request.range.is_some();
    let asked = asked_of_blobs(&registry, target, is_byte).await;
    // On a busy machine a sweep comes late; a proof is never later than two of them.
    let pause = longest_gap(&asked, |_| true);
    let gap = longest_gap(&asked, is_byte);
    assert!(gap < PERIOD + Duration::from_secs(1) + 2 * pause, "{gap:?}, sweeps up to {pause:?} apart");
    let all: Vec<&LoggedRequest> = asked.values().flatten().collect();
    let heads = all.iter().filter(|request| request.method == "HEAD").count();
    let bytes = all.iter().filter(|request| is_byte(request)).count();
    assert_eq!(heads + bytes, all.len(), "nothing else was asked");
    assert!(heads * 2 > bytes, "{heads} HEADs, {bytes} last bytes");
    // After the first sweep, in which all were due, not all at once again: a tenth of a second holds few of them.
    let first = all.iter().map(|request| request.at).min().unwrap() + Duration::from_secs(1);
    let later: Vec<_> = all.iter().filter(|request| is_byte(request) && request.at > first).map(|it| it.at).collect();
    let at_once = |&from| later.iter().filter(|&&at| at >= from && at < from + Duration::from_millis(100)).count();
    let densest = later.iter().map(at_once).max().unwrap();
    assert!(densest <= 20 || pause > Duration::from_secs(1), "{densest} of thirty came in one sweep");
}

async fn contents_come_in_time_and_within_the_budget() {
    let registry = thirty_blobs().await;
    let mut target = config(&registry, Some(20_000)).registries.remove(0);
    target.evidence.content = Some(PERIOD);
    target.evidence.byte = ByteEvidence::Off;
    let began = Instant::now();
    let is_whole = |request: &LoggedRequest| request.method == "GET" && request.range.is_none();
    let asked = asked_of_blobs(&registry, target, is_whole).await;
    let pause = longest_gap(&asked, |_| true);
    let gap = longest_gap(&asked, is_whole);
    assert!(gap < PERIOD + Duration::from_secs(2) + 2 * pause, "{gap:?}, sweeps up to {pause:?} apart");
    // Two layers of 512 bytes and a config of less: no more than the budget, and a second of it at once.
    let hashed = asked.values().flatten().filter(|request| is_whole(request)).count() as u64;
    assert!(hashed * 512 < 20_000 * (began.elapsed().as_secs() + 2), "{hashed} blobs");
}

//! `evidence.content` in `serve`: blobs are hashed beside the sweeps, and no sweep waits for that.

use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::config::{Config, Confirm, Spread, Target};
use registry_integrity_probe::demo::{Headers, Registry};
use registry_integrity_probe::report::Reason;
use registry_integrity_probe::schedule::Schedule;
use registry_integrity_probe::state::State;
use registry_integrity_probe::sweep_thread::SweepThread;

use super::{app, reasons, registry_with};
use crate::support::poll_until;

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
async fn a_flipped_byte_is_found_between_sweeps_stays_and_goes_when_it_is_mended() {
    let registry = registry_with(&app()).await;
    let image = app();
    let layer = image.layers().next().unwrap();
    registry.replace("app", &layer.digest, layer.flipped(), Headers::Follow);
    let config = config(&registry, None);
    let state = Arc::new(State::new(&config.registries));
    let _schedule = Schedule::start(Arc::clone(&state), &config, SweepThread::start().unwrap()).unwrap();
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

#[tokio::test]
async fn a_budget_that_lasts_for_hours_holds_up_no_sweep() {
    let registry = registry_with(&app()).await;
    let config = config(&registry, Some(10));
    let state = Arc::new(State::new(&config.registries));
    let _schedule = Schedule::start(Arc::clone(&state), &config, SweepThread::start().unwrap()).unwrap();
    poll_until(Duration::from_secs(30), async || (state.registries()[0].known().sweeps[0] >= 4).then_some(())).await;
    assert_eq!(reasons(&state.registries()[0].known().report.unwrap()), []);
}

//! A configuration reload is atomic.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use registry_integrity_probe::config::{Config, Target};
use registry_integrity_probe::registry::HttpRegistry;
use registry_integrity_probe::service::schedule::{NotStarted, Schedule};
use registry_integrity_probe::service::sweep_thread::SweepThread;
use registry_integrity_probe::state::State;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::testkit::tls::PrivateCa;

/// A target that trusts a CA.
fn target_with_ca(ca: &PrivateCa, name: &str) -> Target {
    let mut target = Target::with_defaults("https://127.0.0.1:1".parse().unwrap());
    target.name = name.to_string();
    target.tls.ca_file = Some(ca.ca_file());
    target
}

/// How often a file is opened while something runs.
fn opens_during(file: &Path, run: impl FnOnce()) -> usize {
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    // Equal events in a row are reported once, so that closing is watched too.
    inotify::add_watch(&watch, file, WatchFlags::OPEN | WatchFlags::CLOSE_NOWRITE).unwrap();
    run();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let mut opens = 0;
    while let Ok(event) = reader.next() {
        opens += usize::from(event.events().contains(ReadFlags::OPEN));
    }
    opens
}

#[tokio::test]
async fn reload_builds_each_client_once() {
    let ca = PrivateCa::new();
    let target = target_with_ca(&ca, "r");
    let opens_per_client = opens_during(&ca.ca_file(), || drop(HttpRegistry::new(&target, Arc::default()).unwrap()));
    assert!(opens_per_client > 0);

    let state = Arc::new(State::new([]));
    let thread = SweepThread::start().unwrap();
    let schedule = Schedule::start(state, &Config { registries: Vec::new() }, thread.handle()).unwrap();
    let config = Config { registries: vec![target] };
    assert_eq!(opens_during(&ca.ca_file(), || schedule.apply(&config).unwrap()), opens_per_client);
    assert!(schedule.sweep_now("r") != Err(NotStarted::UnknownRegistry));
}

#[tokio::test]
async fn reload_with_one_invalid_client_changes_nothing() {
    let (ca, invalid) = (PrivateCa::new(), PrivateCa::new());
    let mut config = Config { registries: vec![target_with_ca(&ca, "r")] };
    let interval = config.registries[0].interval;
    let state = Arc::new(State::new(&config.registries));
    let thread = SweepThread::start().unwrap();
    let schedule = Schedule::start(Arc::clone(&state), &config, thread.handle()).unwrap();
    config.registries[0].interval = interval * 2;
    config.registries.push(target_with_ca(&invalid, "invalid"));
    fs::write(invalid.ca_file(), "no certificate").unwrap();
    assert!(schedule.apply(&config).is_err());
    let names: Vec<_> = state.registries().iter().map(|registry| registry.name.clone()).collect();
    assert_eq!(names, ["r"]);
    assert_eq!(state.registry("r").unwrap().interval(), interval);
    assert_eq!(schedule.sweep_now("invalid"), Err(NotStarted::UnknownRegistry));
    assert!(schedule.sweep_now("r") != Err(NotStarted::UnknownRegistry));

    fs::copy(ca.ca_file(), invalid.ca_file()).unwrap();
    schedule.apply(&config).unwrap();
    assert_eq!(state.registry("r").unwrap().interval(), interval * 2);
    assert!(schedule.sweep_now("invalid") != Err(NotStarted::UnknownRegistry));
}

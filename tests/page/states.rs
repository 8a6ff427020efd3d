//! States as a service meets them.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use registry_integrity_probe::oci::{Descriptor, Digest, Manifest, Tag};
use registry_integrity_probe::report::{Cause, Failure, Reason, Report};
use registry_integrity_probe::state::history::Retention;
use registry_integrity_probe::state::{RegistryState, State};

use crate::testkit::sample::{bad_layer, broken, failed, intact, orphan_child, partial, target, unjudged_layer};

pub const NAME: &str = "registry.example.com:5050";

pub fn ago(minutes: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(60 * minutes)
}

/// A sweep that began so many minutes ago and took half a minute.
fn swept(registry: &RegistryState, report: Report, minutes: u64) {
    registry.finish_sweep(Report { started_at: ago(minutes), ..report }, ago(minutes) + Duration::from_secs(30));
}

fn seen(failure: Failure, first: u64, last: u64) -> Failure {
    Failure {
        first_seen: ago(first) + Duration::from_secs(5),
        last_seen: ago(last) + Duration::from_secs(5),
        ..failure
    }
}

fn state() -> (State, std::sync::Arc<RegistryState>) {
    let state = State::new(&[target(NAME)]);
    let registry = state.registry(NAME).unwrap();
    (state, registry)
}

pub fn unconfigured() -> State {
    State::default()
}

pub fn unknown() -> State {
    let (state, registry) = state();
    registry.begin_sweep(SystemTime::now(), Default::default());
    state
}

pub fn healthy() -> State {
    let (state, registry) = state();
    for minutes in [45, 30, 15] {
        swept(&registry, intact(NAME), minutes);
    }
    swept(&registry, intact(NAME), 0);
    state
}

pub fn broken_between_two_sweeps() -> State {
    let (state, registry) = state();
    swept(&registry, intact(NAME), 30);
    for minutes in [15, 1] {
        let layer = bad_layer("x", Reason::Unreadable, &["tools/make:1"]);
        swept(&registry, broken(NAME, vec![seen(orphan_child(), 15, minutes), seen(layer, 15, minutes)]), minutes);
    }
    know_the_tree(&registry);
    state
}

/// The incident's index: one child is known, the other is what is missing.
fn know_the_tree(registry: &RegistryState) {
    let descriptor = |name: &str, platform: Option<&str>| -> Descriptor {
        let (os, architecture) = platform.and_then(|text| text.split_once('/')).unwrap_or_default();
        let mut json = serde_json::json!({"digest": Digest::sha256(name.as_bytes()), "size": 1234, "mediaType": "a/b"});
        if platform.is_some() {
            json["platform"] = serde_json::json!({"os": os, "architecture": architecture});
        }
        serde_json::from_value(json).unwrap()
    };
    let repository = "infra-ci".parse().unwrap();
    let [index, other] = ["index", "other child"].map(|name| Digest::sha256(name.as_bytes()));
    let children = vec![descriptor("child", Some("linux/amd64")), descriptor("other child", Some("linux/arm64"))];
    let now = SystemTime::now();
    let store = &registry.manifests;
    store.hashed(&repository, &index, &Manifest { manifests: children, ..Manifest::default() }, 900, now);
    let layers = vec![descriptor("layer", None)];
    let config = Some(descriptor("config", None));
    store.hashed(&repository, &other, &Manifest { config, layers, ..Manifest::default() }, 500, now);
    let tag = |name: &str| -> (Tag, Digest) { (name.parse().unwrap(), index.clone()) };
    store.walked(&repository, vec![tag("latest"), tag("5319f03e")], &HashSet::from([&index, &other]));
}

/// Platforms of the image that [`a_large_image`] knows, and layers of each.
pub const LARGE: (usize, usize) = (40, 50);

/// One image with so many platforms that its tree takes several parts.
pub fn a_large_image() -> State {
    let (state, registry) = state();
    swept(&registry, intact(NAME), 1);
    let repository = "large".parse().unwrap();
    let descriptor = |name: String| -> Descriptor {
        let json = serde_json::json!({"digest": Digest::sha256(name.as_bytes()), "size": 1234, "mediaType": "a/b"});
        serde_json::from_value(json).unwrap()
    };
    let (platforms, layers) = LARGE;
    let now = SystemTime::now();
    let index = Digest::sha256(b"large index");
    let children: Vec<Descriptor> = (0..platforms).map(|n| descriptor(format!("large child {n}"))).collect();
    for (n, child) in children.iter().enumerate() {
        let manifest = Manifest {
            config: Some(descriptor(format!("large config {n}"))),
            layers: (0..layers).map(|layer| descriptor(format!("large layer {n} {layer}"))).collect(),
            ..Manifest::default()
        };
        registry.manifests.hashed(&repository, &child.digest, &manifest, 500, now);
    }
    let known: Vec<Digest> = children.iter().map(|child| child.digest.clone()).chain([index.clone()]).collect();
    registry.manifests.hashed(&repository, &index, &Manifest { manifests: children, ..Manifest::default() }, 900, now);
    registry.manifests.walked(&repository, vec![("1".parse().unwrap(), index)], &known.iter().collect());
    state
}

pub fn resolved() -> State {
    let state = broken_between_two_sweeps();
    swept(&state.registry(NAME).unwrap(), intact(NAME), 0);
    state
}

pub fn down() -> State {
    let (state, registry) = state();
    swept(&registry, intact(NAME), 20);
    swept(&registry, failed(NAME), 5);
    state
}

pub fn a_thousand_failures() -> State {
    let (state, registry) = state();
    let failures =
        (0..1000).map(|n| bad_layer(&n.to_string(), Reason::ALL[n % 5], &[&format!("team-{}/app:{n}", n % 7)]));
    let mut report = broken(NAME, failures.map(|failure| seen(failure, 3, 3)).collect());
    let entries = (0..1000).map(|n| unjudged_layer(&format!("u{n}"), Cause::Timeout, &["other:1"])).collect();
    report.unverified = partial(NAME, entries).unverified;
    swept(&registry, report, 3);
    state
}

pub const HOSTILE: &str =
    "\"><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}gnp.exe\u{1b}[2J'; reboot; '";

pub fn hostile() -> State {
    let state = State::new(&[target(HOSTILE)]);
    let long = "x".repeat(2000);
    let failure = Failure {
        detail: format!("{HOSTILE}{long}"),
        platform: Some(HOSTILE.to_string()),
        media_type: Some(HOSTILE.to_string()),
        path: vec![HOSTILE.to_string(), long.clone()],
        ..orphan_child()
    };
    let mut report = broken(HOSTILE, vec![failure]);
    report.unverified = partial(HOSTILE, vec![unjudged_layer("y", Cause::Protocol, &["infra-ci:latest"])]).unverified;
    report.unverified[0].repository = Some(HOSTILE.to_string());
    report.unverified[0].reference = format!("{HOSTILE}{long}");
    swept(&state.registry(HOSTILE).unwrap(), report, 1);
    state
}

/// As many sweeps as are kept, each of which found something else broken than the one before.
pub fn restless() -> State {
    let (state, registry) = state();
    for n in 0..600 {
        let layer = bad_layer(&n.to_string(), Reason::Missing, &["app:1"]);
        swept(&registry, broken(NAME, vec![seen(layer, 600 - n, 600 - n)]), 600 - n);
    }
    assert!(Retention::default().sweeps > 600);
    state
}

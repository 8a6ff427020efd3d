//! The probe among hostile and odd registries: it never cries wolf, is never fooled and is never hurt. What each test
//! shows is listed in `docs/behaviour.md`.

#[path = "../support/mod.rs"]
mod support;
#[path = "../sweeping/mod.rs"]
mod sweeping;

mod authentication;
mod catalogs;
mod credentials_first;
mod descriptors;
mod documented;
mod environment;
mod evidence;
mod fuzz_parsers;
mod gentle;
mod hashing;
mod limits;
mod memory;
mod names;
mod oracle;
mod paging;
mod panics;
mod positions;
mod proxies_in_front;
mod pull_through;
mod random_faults;
mod redirects;
mod refusals;
mod replicas;
mod scopes;
mod secrets;
mod undelivered;

use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::report::{Cause, Reason, Report};

/// A registry with two images of a manifest, a config and two layers each: `app:1`, and `whole:1` as its neighbour.
async fn registry_with(image: &Image) -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", image);
    registry.push("whole:1", &Image::manifest().named("whole"));
    registry
}

fn app() -> Image {
    Image::manifest().named("app")
}

fn reasons(report: &Report) -> Vec<Reason> {
    report.failures.iter().map(|failure| failure.reason).collect()
}

fn causes(report: &Report) -> Vec<Cause> {
    report.unverified.iter().map(|entry| entry.cause).collect()
}

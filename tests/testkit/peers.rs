//! The peers of the tests: programs that a test needs beside the Rust toolchain and coreutils. A test whose peer is missing
//! is skipped.
//!
//! `/bin/sh` is part of every Unix system, as the C library is. A shell that is found through `PATH` is a peer.
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The path of a program; `None` if it is not installed, see [`not_installed`].
pub fn peer(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file());
    found.or_else(|| not_installed(program))
}

/// The registry program of distribution 3: the one that `DISTRIBUTION_V3` names, or `distribution-v3`.
pub fn distribution_v3() -> Option<PathBuf> {
    let named = std::env::var_os("DISTRIBUTION_V3").map(PathBuf::from).filter(|file| file.is_file());
    named.or_else(|| peer("distribution-v3"))
}

/// Reports a test, or a step of it, as skipped because a peer is missing. `.ci/peers` lists the names.
///
/// # Panics
///
/// If `REQUIRE_PEERS=1` is set.
pub fn not_installed<T>(name: &str) -> Option<T> {
    assert!(std::env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "{name} is not installed");
    skipped(&format!("{name} is not installed"));
    None
}

/// Prints that a test, or a step of it, is skipped, and why; the same line only once.
pub fn skipped(why: &str) {
    static PRINTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    // The test harness names each test's thread after the test.
    let thread = std::thread::current();
    let line = format!("SKIPPED: {why} ({})\n", thread.name().unwrap_or("unnamed thread"));
    if PRINTED.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        // The harness captures what the print macros write, and drops it if the test passes.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

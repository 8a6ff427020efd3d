//! What the tests share: real peers, a pusher, the probe's own binary, TLS, raw HTTP.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub mod docker_registry;
pub mod probe;
pub mod push;
pub mod raw_http;
pub mod skopeo;
pub mod tls;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Between two looks of [`poll_until`].
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// Where a program lies. If it is not installed, the test that asks is skipped with a printed line, or fails where
/// `REQUIRE_PEERS=1` is set.
pub fn peer(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var("REQUIRE_PEERS").as_deref() != Ok("1"), "{program} is not installed");
        skipped(program);
    }
    found
}

#[expect(clippy::print_stderr, reason = "a skipped test says so where its output is read")]
fn skipped(program: &str) {
    eprintln!("SKIPPED: {program} is not installed");
}

/// Looks again and again until there is something to see.
///
/// # Panics
///
/// If there is nothing within the bound.
pub async fn poll_until<T>(bound: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < bound, "nothing to see within {bound:?}");
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

/// A loopback address on which nobody listens now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound listener has an address")
}

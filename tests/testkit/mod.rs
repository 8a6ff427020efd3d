//! What the tests share: real peers, a pusher, the probe's own binary, TLS, raw HTTP.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub mod crane;
pub mod docker_registry;
pub mod front;
pub mod in_process;
pub mod monitoring;
pub mod olareg;
pub mod peers;
pub mod probe;
pub mod push;
pub mod raw_http;
pub mod reports;
pub mod sample;
pub mod scan_tree;
pub mod skopeo;
pub mod sweep_command;
pub mod sweeping;
pub mod tls;
pub mod tunnels;
pub mod web_service;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

pub use peers::peer;

/// Between two looks of [`poll_until`].
const POLL_PAUSE: Duration = Duration::from_millis(20);

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

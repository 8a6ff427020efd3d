//! A log of requests, for tests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::route::Endpoint;
use super::wire::{Answer, Request};

/// Maximum number of entries, so that a demo can run for days.
const REQUESTS_KEPT: usize = 100_000;

/// A request and its result.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// When it was received.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// `Host`.
    pub host: Option<String>,
    /// `Range`.
    pub range: Option<String>,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// The status of the response; `None` if there is none.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
pub(super) struct RequestLog {
    requests: Mutex<VecDeque<LoggedRequest>>,
    total: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    connections: AtomicUsize,
}

/// A request in progress.
pub(super) struct InFlight<'a>(&'a RequestLog);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RequestLog {
    pub(super) fn enter(&self) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        InFlight(self)
    }

    pub(super) fn record(&self, request: &Request, answer: &Answer) {
        let header = |name| request.header(name).map(str::to_string);
        let entry = LoggedRequest {
            at: Instant::now(),
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            endpoint: request.route.endpoint(),
            host: header("host"),
            range: header("range"),
            authorization: header("authorization"),
            status: (!answer.is_silent()).then_some(answer.status),
        };
        self.total.fetch_add(1, Ordering::SeqCst);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == REQUESTS_KEPT {
            requests.pop_front();
        }
        requests.push_back(entry);
    }

    pub(super) fn requests(&self) -> Vec<LoggedRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.total.store(0, Ordering::SeqCst);
        self.most_in_flight.store(self.in_flight.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    pub(super) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::SeqCst)
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::SeqCst)
    }
}

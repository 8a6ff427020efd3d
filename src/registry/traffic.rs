//! Counts what the probe asks of a registry.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// With a body in the answer.
    Get,
    /// Without.
    Head,
}

impl Method {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Get, Self::Head];

    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// How an exchange ended, as the `code` label says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Success.
    Success,
    /// Redirection.
    Redirection,
    /// The client's error.
    ClientError,
    /// The server's error.
    ServerError,
    /// No connection, or one that broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// An answer that is no HTTP, or makes no sense.
    Protocol,
}

impl Code {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
        Self::Unreachable,
        Self::Timeout,
        Self::Protocol,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
        }
    }

    /// The code of an HTTP status.
    pub const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::Protocol,
        }
    }
}

/// Upper bounds of the duration histogram's buckets, in seconds: from a cached HEAD on loopback to the default timeout.
pub const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 30.0];

/// The requests to one registry since the process began; shared between the client, which counts, and the metrics.
#[derive(Debug, Default)]
pub struct Traffic {
    methods: [PerMethod; Method::ALL.len()],
    received_bytes: AtomicU64,
    token_requests: [AtomicU64; Code::ALL.len()],
    /// 0: no client has said it yet.
    concurrency: AtomicU64,
}

#[derive(Debug, Default)]
struct PerMethod {
    codes: [AtomicU64; Code::ALL.len()],
    buckets: [AtomicU64; DURATION_BUCKETS.len()],
    nanoseconds: AtomicU64,
}

/// A histogram's state: cumulative counts below each bound of [`DURATION_BUCKETS`], the number of observations and their
/// sum in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Durations {
    /// Observations at most as long as the bound of the same index.
    pub cumulative: [u64; DURATION_BUCKETS.len()],
    /// All observations.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum: f64,
}

impl Traffic {
    /// Counts one exchange: from sending the request to the response headers or an error.
    pub fn count(&self, method: Method, code: Code, took: Duration) {
        let of = &self.methods[method as usize];
        of.codes[code as usize].fetch_add(1, Ordering::Relaxed);
        of.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(bucket) = DURATION_BUCKETS.iter().position(|&bound| took.as_secs_f64() <= bound) {
            of.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts bytes of a body.
    pub fn count_received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts one exchange with a token service, which [`Self::count`] counts among the others too.
    pub fn count_token_request(&self, code: Code) {
        self.token_requests[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how many requests may be in flight now.
    pub fn set_concurrency(&self, limit: usize) {
        self.concurrency.store(limit as u64, Ordering::Relaxed);
    }

    /// Exchanges with a token service that ended in a way.
    pub fn token_requests(&self, code: Code) -> u64 {
        self.token_requests[code as usize].load(Ordering::Relaxed)
    }

    /// Requests that may be in flight now; `None` before there is a client.
    pub fn concurrency(&self) -> Option<u64> {
        Some(self.concurrency.load(Ordering::Relaxed)).filter(|&limit| limit > 0)
    }

    /// Exchanges of a method that ended in a way.
    pub fn requests(&self, method: Method, code: Code) -> u64 {
        self.methods[method as usize].codes[code as usize].load(Ordering::Relaxed)
    }

    /// All exchanges.
    pub fn all_requests(&self) -> u64 {
        Method::ALL.into_iter().flat_map(|method| Code::ALL.map(|code| self.requests(method, code))).sum()
    }

    /// Bytes of bodies.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// How long the exchanges of a method took.
    pub fn durations(&self, method: Method) -> Durations {
        let of = &self.methods[method as usize];
        let mut cumulative = [0; DURATION_BUCKETS.len()];
        let mut below = 0;
        for (total, bucket) in cumulative.iter_mut().zip(&of.buckets) {
            below += bucket.load(Ordering::Relaxed);
            *total = below;
        }
        let count = of.codes.iter().map(|code| code.load(Ordering::Relaxed)).sum::<u64>().max(below);
        #[expect(clippy::cast_precision_loss, reason = "a sum of seconds needs no more than a double's precision")]
        let sum = of.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        Durations { cumulative, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_method_code_and_duration() {
        let traffic = Traffic::default();
        traffic.count(Method::Get, Code::of_status(206), Duration::from_millis(2));
        traffic.count(Method::Get, Code::of_status(503), Duration::from_secs(40));
        traffic.count(Method::Head, Code::Timeout, Duration::from_secs(30));
        assert_eq!(traffic.requests(Method::Get, Code::Success), 1);
        assert_eq!(traffic.requests(Method::Get, Code::ServerError), 1);
        assert_eq!(traffic.requests(Method::Head, Code::Timeout), 1);
        assert_eq!(traffic.all_requests(), 3);
        let durations = traffic.durations(Method::Get);
        assert_eq!(durations.cumulative[0], 0);
        assert_eq!(durations.cumulative[1], 1);
        assert_eq!(durations.cumulative[11], 1);
        assert_eq!(durations.count, 2);
        assert!((durations.sum - 40.002).abs() < 1e-9);
    }
}

//! A token bucket shared by all requests.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One request per interval, and bursts.
#[derive(Debug)]
pub struct RateLimit {
    interval: Duration,
    burst: f64,
    /// Tokens left at that time.
    bucket: Mutex<(f64, Instant)>,
}

impl RateLimit {
    /// A full bucket.
    pub fn new(interval: Duration, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { interval, burst, bucket: Mutex::new((burst, Instant::now())) }
    }

    /// Takes a token if there is one.
    pub fn admits(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *bucket;
        let grown = now.saturating_duration_since(since).as_secs_f64() / self.interval.as_secs_f64();
        let tokens = (left + grown).min(self.burst);
        let is_admitted = tokens >= 1.0;
        *bucket = (if is_admitted { tokens - 1.0 } else { tokens }, now);
        is_admitted
    }

    /// The maximum time until the next token.
    pub fn interval(&self) -> Duration {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_followed_by_one_per_interval() {
        let limit = RateLimit::new(Duration::from_secs(2), 3);
        let start = Instant::now();
        let admitted = |seconds: u64| limit.admits(start + Duration::from_secs(seconds));
        assert_eq!(
            [0, 0, 0, 0, 1, 2, 2, 3, 4].map(admitted),
            [true, true, true, false, false, true, false, false, true]
        );
        // Idle time accumulates one burst at most.
        assert_eq!([100, 100, 100, 100].map(admitted), [true, true, true, false]);
    }
}

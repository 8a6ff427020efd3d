//! Limits the bytes per second that are read for hashing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Paces reading by waiting after each read, so that the connection's flow control slows the registry down.
pub struct Budget {
    bytes_per_second: Option<u64>,
    paid_until: Mutex<Instant>,
}

impl Budget {
    /// A budget in bytes per second; `None`: no limit.
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.filter(|&rate| rate > 0), paid_until: Mutex::new(Instant::now()) }
    }

    /// Waits until the bytes just read fit the budget, which all readers share.
    pub async fn spend(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let paid_until = {
            let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            #[expect(clippy::cast_precision_loss, reason = "a duration of some bytes")]
            let price = Duration::from_secs_f64(bytes as f64 / rate as f64);
            *paid_until = (*paid_until).max(Instant::now()) + price;
            *paid_until
        };
        sleep_until(paid_until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readers_share_what_there_is() {
        let budget = Budget::new(Some(1000));
        let began = Instant::now();
        let reader = || async {
            for _ in 0..10 {
                budget.spend(100).await;
            }
        };
        tokio::join!(reader(), reader());
        assert!((1.99..2.01).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_no_limit() {
        let began = Instant::now();
        Budget::new(None).spend(u64::MAX).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

//! Retries of temporary errors, and the circuit breaker that ends them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Trouble;
use super::client::HttpRegistry;
use super::request::{Kind, Request};
use super::response::Exchanged;
use crate::report::Cause;

/// Before the first retry; doubled before each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

impl HttpRegistry {
    /// Sends a request until it is answered, or temporary errors have been retried enough.
    pub(super) async fn persist(&self, request: &Arc<Request>) -> Result<Box<Exchanged>, Trouble> {
        if let Some(trouble) = self.open_breaker(request.kind).await {
            return Err(trouble);
        }
        let budget = self.limits.retries;
        let mut spent = 0;
        let mut exchanges = 0;
        loop {
            exchanges += 1;
            let result = self.exchange(request).await;
            let trouble = match &result {
                Ok(exchanged) => exchanged.answer.trouble(),
                Err(trouble) => Some(trouble.clone()),
            };
            // 501 does not pass, unlike the rest of 5xx.
            let is_lasting = result.as_ref().is_ok_and(|exchanged| exchanged.answer.status == 501);
            let cost = |trouble: &Trouble| if is_lasting { budget } else { retry_cost(trouble.cause, budget) };
            match trouble.as_ref().map(cost) {
                Some(cost) if spent < budget => spent += cost,
                _ => {
                    self.note(request, &result, trouble.as_ref());
                    return result.map(|mut exchanged| {
                        exchanged.answer.exchanges = exchanges;
                        exchanged
                    });
                }
            }
            let backoff = FIRST_BACKOFF * 2u32.saturating_pow(exchanges - 1);
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    /// The error to return instead of sending, if the breaker of this kind is open. Before it opens, the canary is requested:
    /// if that is still served, only a part of the registry fails, or the credentials do not cover it.
    async fn open_breaker(&self, kind: Kind) -> Option<Trouble> {
        let breaker = &self.breakers[kind as usize];
        let is_in_doubt = || breaker.is_in_doubt(self.has_answered.load(Ordering::Relaxed));
        if is_in_doubt() {
            let _alone = self.probing.lock().await;
            if is_in_doubt() {
                let canary = self.canaries[kind as usize].lock().unwrap_or_else(PoisonError::into_inner).clone();
                breaker.decide(match canary {
                    None => false,
                    Some(request) => {
                        let result = Box::pin(self.exchange(&request)).await;
                        result.is_ok_and(|exchanged| exchanged.answer.trouble().is_none())
                    }
                });
            }
        }
        breaker.open()
    }

    fn note(&self, request: &Arc<Request>, result: &Result<Box<Exchanged>, Trouble>, trouble: Option<&Trouble>) {
        self.breakers[request.kind as usize].note(trouble);
        if trouble.is_none() {
            self.has_answered.store(true, Ordering::Relaxed);
        }
        // Hashing a blob again would cost as much as the first time.
        if !request.is_of_content()
            && result.as_ref().is_ok_and(|exchanged| (200..300).contains(&exchanged.answer.status))
        {
            let mut canary = self.canaries[request.kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
            *canary = Some(Arc::clone(request));
        }
    }
}

/// The share of the retries that one retry uses up: errors that pass are retried most, slow ones half as often, and those
/// that hardly ever pass once.
fn retry_cost(cause: Cause, budget: u32) -> u32 {
    match cause {
        Cause::Unreachable | Cause::RateLimited | Cause::ServerError => 1,
        Cause::Timeout => 2,
        Cause::Incomplete | Cause::Unauthorized | Cause::Protocol => budget,
    }
}

//! Circuit breaker: stops requests of one kind after too many of them in a row failed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::Trouble;
use crate::report::Cause;

/// Failed requests in a row that open the breaker.
const GIVEN_UP_AFTER: u32 = 20;
/// The same if access was denied while other requests succeed: the credentials may not cover some repositories.
const REFUSED_AFTER: u32 = 200;
/// While open, one request is let through this often.
const TRIED_AGAIN_EVERY: Duration = Duration::from_secs(5);

/// Stops requests of one kind after too many of them in a row went unanswered.
#[derive(Debug, Default)]
pub struct CircuitBreaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    unanswered: u32,
    last_trouble: Option<Trouble>,
    given_up: Option<GivenUp>,
}

#[derive(Debug)]
struct GivenUp {
    try_again_at: Instant,
}

impl CircuitBreaker {
    /// Records a request's result after all retries.
    pub fn note(&self, trouble: Option<&Trouble>) {
        let mut state = self.lock();
        match trouble {
            None => *state = State::default(),
            Some(trouble) => {
                state.unanswered = state.unanswered.saturating_add(1);
                state.last_trouble = Some(trouble.clone());
            }
        }
    }

    /// True if so many requests failed that the breaker may have to open. `answers_others`: the registry has answered other
    /// requests.
    pub fn is_in_doubt(&self, answers_others: bool) -> bool {
        let state = self.lock();
        let is_refused = state.last_trouble.as_ref().is_some_and(|trouble| trouble.cause == Cause::Unauthorized);
        let after = if is_refused && answers_others { REFUSED_AFTER } else { GIVEN_UP_AFTER };
        state.given_up.is_none() && state.unanswered >= after
    }

    /// Opens the breaker, or closes it if a request of this kind is known to succeed.
    pub fn decide(&self, is_answered: bool) {
        let mut state = self.lock();
        if is_answered {
            *state = State::default();
        } else {
            state.given_up = Some(GivenUp { try_again_at: Instant::now() + TRIED_AGAIN_EVERY });
        }
    }

    /// The error to return instead of sending a request, while the breaker is open. Now and then one request is let through, so
    /// that recovery is noticed.
    pub fn open(&self) -> Option<Trouble> {
        let mut state = self.lock();
        let unanswered = state.unanswered;
        let given_up = state.given_up.as_mut()?;
        let now = Instant::now();
        if now >= given_up.try_again_at {
            given_up.try_again_at = now + TRIED_AGAIN_EVERY;
            return None;
        }
        state.last_trouble.clone().map(|trouble| Trouble {
            detail: format!(
                "not requested: requests of this kind were stopped after {unanswered} failures in a row; the last: {}",
                trouble.detail
            ),
            is_refusal: false,
            ..trouble
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_never_answered_is_given_up_and_tried_again() {
        let breaker = CircuitBreaker::default();
        let trouble = Trouble::new(Cause::Unreachable, "connection refused");
        for _ in 0..GIVEN_UP_AFTER {
            assert!(!breaker.is_in_doubt(true));
            breaker.note(Some(&trouble));
        }
        assert!(breaker.is_in_doubt(true));
        assert_eq!(breaker.open(), None);
        breaker.decide(false);
        assert!(!breaker.is_in_doubt(true));
        let told = breaker.open().unwrap();
        assert_eq!(told.cause, Cause::Unreachable);
        assert!(told.detail.contains("connection refused"));
        tokio::time::advance(TRIED_AGAIN_EVERY).await;
        assert_eq!(breaker.open(), None, "one is let through");
        assert!(breaker.open().is_some(), "and no more");
        breaker.note(None);
        assert_eq!(breaker.open(), None);
    }

    #[test]
    fn refusals_count_less_where_others_are_answered() {
        let refused = Trouble::new(Cause::Unauthorized, "GET 403");
        let breaker = CircuitBreaker::default();
        (0..GIVEN_UP_AFTER).for_each(|_| breaker.note(Some(&refused)));
        assert!(breaker.is_in_doubt(false) && !breaker.is_in_doubt(true));
        (GIVEN_UP_AFTER..REFUSED_AFTER).for_each(|_| breaker.note(Some(&refused)));
        assert!(breaker.is_in_doubt(true));
        breaker.decide(true);
        assert!(!breaker.is_in_doubt(true));
        assert_eq!(breaker.open(), None);
    }
}

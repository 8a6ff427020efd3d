//! The first request to a registry for which credentials are configured: `GET /v2/`, as `docker login` sends it.
//!
//! A registry with any public content does not challenge a request that it can answer with the public part. Only `/v2/`
//! shows how the credentials are to be sent, and whether they are accepted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::login::Login;
use crate::registry::Trouble;
use crate::report::Cause;

/// Refused credentials are not tried again within this time unless they change: repeated refusals lock accounts.
const REFUSAL_KEPT: Duration = Duration::from_secs(5 * 60);
/// Accepted credentials are not checked again within this time, however many repositories refuse them.
const ACCEPTANCE_KEPT: Duration = Duration::from_secs(10);

/// How far a registry knows the probe.
#[derive(Default)]
pub struct Introduction {
    /// Held during the requests, so that there is one at a time.
    pub alone: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    settled: Option<Settled>,
    /// Introductions that brought no answer, and why the last one did not: requests that waited for it share its end.
    failures: u64,
    last_failure: Option<Trouble>,
}

/// The result for a login.
pub struct Settled {
    login: Arc<Login>,
    at: Instant,
    refusal: Option<Trouble>,
}

impl Introduction {
    /// Has the credentials checked again before the next request, since the registry rejected a request with them.
    pub fn distrust(&self) {
        let mut state = self.lock();
        state.settled.take_if(|settled| settled.refusal.is_none() && settled.at.elapsed() >= ACCEPTANCE_KEPT);
    }

    /// The result, if there is one that holds for a login.
    pub fn result(&self, login: &Login) -> Option<Result<(), Trouble>> {
        let state = self.lock();
        let settled = state.settled.as_ref()?;
        match &settled.refusal {
            None => Some(Ok(())),
            Some(trouble) if settled.at.elapsed() < REFUSAL_KEPT && settled.login.is_same(login) => {
                Some(Err(trouble.clone()))
            }
            Some(_) => None,
        }
    }

    pub fn failures(&self) -> u64 {
        self.lock().failures
    }

    pub fn failure_since(&self, failures: u64) -> Option<Trouble> {
        let state = self.lock();
        state.last_failure.clone().filter(|_| state.failures > failures)
    }

    pub fn settle(&self, settled: Settled) -> Result<(), Trouble> {
        let refusal = settled.refusal.clone();
        self.lock().settled = Some(settled);
        refusal.map_or(Ok(()), Err)
    }

    pub fn fail(&self, trouble: Trouble) -> Trouble {
        let mut state = self.lock();
        state.failures += 1;
        state.last_failure = Some(trouble.clone());
        trouble
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settled {
    pub fn accepted(login: Arc<Login>) -> Self {
        Self { login, at: Instant::now(), refusal: None }
    }

    pub fn refused(login: Arc<Login>, detail: impl Into<String>) -> Self {
        let refusal = Some(Trouble::new(Cause::Unauthorized, detail));
        Self { login, at: Instant::now(), refusal }
    }
}

//! Selects the requests that a fault affects.

use crate::demo::route::Endpoint;
use crate::demo::wire::Request;
use crate::oci::Digest;

/// A set of requests; each method narrows it.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    reference: Option<String>,
    repository: Option<String>,
    endpoint: Option<Endpoint>,
    method: Option<&'static str>,
    ranged_only: bool,
    skip: usize,
    alternate: bool,
    times: Option<usize>,
    rate: Option<f64>,
    seed: u64,
}

/// Every request.
pub fn everything() -> Selector {
    Selector::default()
}

/// Requests for this digest in any repository.
pub fn on(digest: &Digest) -> Selector {
    Selector { reference: Some(digest.to_string()), ..Selector::default() }
}

/// Requests for the manifest of a tag in any repository.
pub fn on_tag(tag: &str) -> Selector {
    Selector { reference: Some(tag.to_string()), ..Selector::default() }
}

/// All requests for a repository.
pub fn in_repository(name: &str) -> Selector {
    Selector { repository: Some(name.to_string()), ..Selector::default() }
}

/// Requests to an endpoint.
pub fn at(endpoint: Endpoint) -> Selector {
    Selector { endpoint: Some(endpoint), ..Selector::default() }
}

impl Selector {
    /// Only in this repository.
    pub fn in_repository(self, name: &str) -> Self {
        Self { repository: Some(name.to_string()), ..self }
    }

    /// Only at this endpoint.
    pub fn at(self, endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }

    /// Only HEAD.
    pub fn head_only(self) -> Self {
        Self { method: Some("HEAD"), ..self }
    }

    /// Only GET.
    pub fn get_only(self) -> Self {
        Self { method: Some("GET"), ..self }
    }

    /// Only requests with a `Range` header.
    pub fn ranged_only(self) -> Self {
        Self { ranged_only: true, ..self }
    }

    /// Only the first requests.
    pub fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Skips the first requests.
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// Every second request, starting with the first that is not skipped.
    pub fn alternately(self) -> Self {
        Self { alternate: true, ..self }
    }

    /// Each request with a probability from 0 to 1; the choices depend only on the seed.
    pub fn at_rate(self, rate: f64, seed: u64) -> Self {
        Self { rate: Some(rate), seed, ..self }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        let route = &request.route;
        self.reference.as_deref().is_none_or(|reference| route.reference() == Some(reference))
            && self.repository.as_deref().is_none_or(|repository| route.repository() == Some(repository))
            && self.endpoint.is_none_or(|endpoint| route.endpoint() == endpoint)
            && self.method.is_none_or(|method| request.method == method)
            && (!self.ranged_only || request.header("range").is_some())
    }

    /// Whether the fault applies to a match after `before` earlier ones.
    pub(super) fn covers_occurrence(&self, before: usize, dice: &mut fastrand::Rng) -> bool {
        before >= self.skip
            && (!self.alternate || (before - self.skip).is_multiple_of(2))
            && self.times.is_none_or(|times| before - self.skip < times)
            && self.rate.is_none_or(|rate| dice.f64() < rate)
    }
}

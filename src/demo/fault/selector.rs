//! Which requests a fault strikes.

use crate::demo::route::Endpoint;
use crate::demo::wire::Request;
use crate::oci::Digest;

/// A set of requests; each word narrows it further.
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

/// Requests that name this digest, in any repository.
pub fn on(digest: &Digest) -> Selector {
    Selector { reference: Some(digest.to_string()), ..Selector::default() }
}

/// Requests for the manifest of a tag, in any repository.
pub fn on_tag(tag: &str) -> Selector {
    Selector { reference: Some(tag.to_string()), ..Selector::default() }
}

/// Requests for anything of a repository.
pub fn in_repository(name: &str) -> Selector {
    Selector { repository: Some(name.to_string()), ..Selector::default() }
}

/// Requests to an endpoint.
pub fn at(endpoint: Endpoint) -> Selector {
    Selector { endpoint: Some(endpoint), ..Selector::default() }
}

impl Selector {
    /// In this repository alone.
    pub fn in_repository(self, name: &str) -> Self {
        Self { repository: Some(name.to_string()), ..self }
    }

    /// At this endpoint alone.
    pub fn at(self, endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }

    /// HEAD alone.
    pub fn head_only(self) -> Self {
        Self { method: Some("HEAD"), ..self }
    }

    /// GET alone.
    pub fn get_only(self) -> Self {
        Self { method: Some("GET"), ..self }
    }

    /// Requests with a `Range` alone.
    pub fn ranged_only(self) -> Self {
        Self { ranged_only: true, ..self }
    }

    /// The first of those requests alone.
    pub fn times(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The first of those requests are spared.
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// Every other of those requests, beginning with the first that is not spared.
    pub fn alternately(self) -> Self {
        Self { alternate: true, ..self }
    }

    /// Each of those requests with this probability, from 0 to 1; the same seed makes the same choices.
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

    /// Whether the fault strikes at a match that `before` others preceded.
    pub(super) fn covers_occurrence(&self, before: usize, dice: &mut fastrand::Rng) -> bool {
        before >= self.skip
            && (!self.alternate || (before - self.skip).is_multiple_of(2))
            && self.times.is_none_or(|times| before - self.skip < times)
            && self.rate.is_none_or(|rate| dice.f64() < rate)
    }
}

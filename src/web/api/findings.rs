//! `GET /api/v1/findings`: failures and unverified objects.

use std::cmp::Reverse;
use std::fmt;
use std::time::SystemTime;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Extracted};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::context::Api;
use super::pages::{Page, clipped};
use super::query::{PointInTime, given, parsed, point_in_time};
use crate::report::{Failure, Reason, Report, Unverified, closed_set, rfc3339};
use crate::state::history::{Change, ResolvedLife};
use crate::state::{Snapshot, State};
use crate::web::api_error::{ApiError, ErrorAnswer};
use crate::web::rendered::Rendered;
use crate::web::response_cache::Freshness;

/// Failures and unverified objects of the registries.
#[derive(Serialize, ToSchema)]
pub struct FindingsAnswer<'a> {
    /// Broken objects.
    failures: Vec<FailureEntry<'a>>,
    /// Objects that the last sweeps could not verify; empty with `state=resolved`.
    unverified: Vec<UnverifiedEntry<'a>>,
    /// The `cursor` of the next page, `null` on the last one; absent without `limit` and `cursor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    next: Option<Option<String>>,
}

/// A failure with its registry.
#[derive(Serialize, ToSchema)]
pub struct FailureEntry<'a> {
    /// The registry's configured name.
    registry: &'a str,
    #[serde(flatten)]
    failure: &'a Failure,
    /// The end of the sweep that resolved it: the object was intact, or no longer referenced. Only for resolved failures.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_rfc3339")]
    #[schema(value_type = String, format = DateTime, required = false)]
    disproved_at: Option<SystemTime>,
    /// Changes between detection and resolution. Only for resolved failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Change>, required = false)]
    changes: Option<&'a [Change]>,
}

/// An unverified object with its registry.
#[derive(Serialize, ToSchema)]
pub struct UnverifiedEntry<'a> {
    /// The registry's configured name.
    registry: &'a str,
    #[serde(flatten)]
    entry: &'a Unverified,
}

impl<'a> FailureEntry<'a> {
    /// An open failure.
    pub fn open(registry: &'a str, failure: &'a Failure) -> Self {
        Self { registry, failure, disproved_at: None, changes: None }
    }

    fn resolved(registry: &'a str, life: &'a ResolvedLife) -> Self {
        Self { registry, failure: &life.failure, disproved_at: Some(life.disproved_at), changes: Some(&life.changes) }
    }
}

impl<'a> UnverifiedEntry<'a> {
    /// An unverified object of a report.
    pub fn of(registry: &'a str, entry: &'a Unverified) -> Self {
        Self { registry, entry }
    }
}

closed_set! {
    /// The state of the requested failures.
    Phase {
        /// Open failures.
        Open = "open",
        /// Resolved failures in the history.
        Resolved = "resolved",
    }
}

/// The query parameters.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Only this registry; all if empty.
    #[param(required = false)]
    registry: String,
    /// Only this repository; all if empty.
    #[param(required = false)]
    repository: String,
    /// Only failures with this reason; any if empty. Excludes unverified objects, which have none.
    #[param(required = false, inline, value_type = ReasonOrNone)]
    reason: String,
    /// Open failures (the default), or resolved ones, the latest first.
    #[param(required = false, inline, value_type = Phase)]
    state: Option<String>,
    /// Only open failures first seen, or resolved failures resolved, at or after this time. Excludes unverified objects.
    /// RFC 3339, or Unix time in seconds.
    #[param(required = false, inline, value_type = PointInTime)]
    since: Option<String>,
    /// Maximum number of entries per page, both lists together, ordered by registry and repository.
    #[param(required = false, value_type = u32, minimum = 1, maximum = 10_000)]
    limit: Option<String>,
    /// The start of the page: `next` of the previous one.
    #[param(required = false)]
    cursor: Option<String>,
}

#[derive(Clone, Debug)]
struct Question {
    registry: Option<String>,
    repository: Option<String>,
    reason: Option<Reason>,
    state: Phase,
    since: Option<SystemTime>,
    page: Option<Page>,
}

impl Question {
    fn parse(parameters: Parameters) -> Result<Self, ApiError> {
        let Parameters { registry, repository, reason, state, since, limit, cursor } = parameters;
        let reason = given(reason).map(|reason| reason.parse()).transpose();
        let state = state.map_or(Ok(Phase::Open), |state| state.parse());
        Ok(Self {
            registry: given(registry),
            repository: given(repository),
            reason: reason.map_err(|error| ApiError::bad_request(format!("reason: {error}")))?,
            state: state.map_err(|error| ApiError::bad_request(format!("state: {error}")))?,
            since: since.as_deref().map(point_in_time).transpose()?,
            page: Page::parse(limit.as_deref(), cursor)?,
        })
    }

    fn admits(&self, repository: Option<&str>, reason: Option<Reason>, time: Option<SystemTime>) -> bool {
        (self.repository.is_none() || self.repository.as_deref() == repository)
            && (self.reason.is_none() || self.reason == reason)
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
    }

    fn answer(&self, state: &State) -> Result<Rendered, ApiError> {
        let known: Vec<(String, Snapshot)> = state
            .registries()
            .iter()
            .filter(|registry| self.registry.as_ref().is_none_or(|name| *name == registry.name))
            .map(|registry| (registry.name.clone(), registry.known()))
            .collect();
        let answer = match self.state {
            Phase::Open => self.open(&known)?,
            Phase::Resolved => self.resolved(&known)?,
        };
        Rendered::json(&answer)
    }

    fn open<'a>(&self, known: &'a [(String, Snapshot)]) -> Result<FindingsAnswer<'a>, ApiError> {
        let reports = || known.iter().filter_map(|(name, known)| Some((name.as_str(), known.report.as_deref()?)));
        let failures = reports()
            .flat_map(|(registry, report): (&str, &Report)| {
                report.failures.iter().map(move |failure| FailureEntry::open(registry, failure))
            })
            .filter(|FailureEntry { failure, .. }| {
                self.admits(Some(&failure.repository), Some(failure.reason), Some(failure.first_seen))
            });
        let unverified = reports()
            .flat_map(|(registry, report)| {
                report.unverified.iter().map(move |entry| UnverifiedEntry::of(registry, entry))
            })
            .filter(|UnverifiedEntry { entry, .. }| self.admits(entry.repository.as_deref(), None, None));
        let Some(page) = &self.page else {
            return Ok(FindingsAnswer { failures: failures.collect(), unverified: unverified.collect(), next: None });
        };
        let (page, next) =
            page.of(failures.map(Entry::Failure).chain(unverified.map(Entry::Unverified)), Entry::place)?;
        let mut answer = FindingsAnswer { failures: Vec::new(), unverified: Vec::new(), next: Some(next) };
        for entry in page {
            match entry {
                Entry::Failure(entry) => answer.failures.push(entry),
                Entry::Unverified(entry) => answer.unverified.push(entry),
            }
        }
        Ok(answer)
    }

    fn resolved<'a>(&self, known: &'a [(String, Snapshot)]) -> Result<FindingsAnswer<'a>, ApiError> {
        let mut lives: Vec<(&str, &ResolvedLife)> = known
            .iter()
            .flat_map(|(name, known)| known.history.resolved.iter().map(move |life| (name.as_str(), &**life)))
            .filter(|(_, life)| {
                let failure = &life.failure;
                self.admits(Some(&failure.repository), Some(failure.reason), Some(life.disproved_at))
            })
            .collect();
        let place = |(registry, life): &(&str, &ResolvedLife)| {
            (Reverse(seconds(life.disproved_at)), (*registry).to_string(), Reverse(life.id))
        };
        let mut next = None;
        match &self.page {
            None => lives.sort_by_cached_key(place),
            Some(page) => {
                let (page, cursor) = page.of(lives, place)?;
                (lives, next) = (page, Some(cursor));
            }
        }
        let failures = lives.into_iter().map(|(registry, life)| FailureEntry::resolved(registry, life)).collect();
        Ok(FindingsAnswer { failures, unverified: Vec::new(), next })
    }
}

/// A finding of either kind, for sorting.
enum Entry<'a> {
    Failure(FailureEntry<'a>),
    Unverified(UnverifiedEntry<'a>),
}

impl Entry<'_> {
    /// Failures first; then by registry, repository and object.
    fn place(&self) -> (bool, String, String, String) {
        match self {
            Self::Failure(FailureEntry { registry, failure, .. }) => {
                (false, (*registry).to_string(), failure.repository.to_string(), failure.reference())
            }
            Self::Unverified(UnverifiedEntry { registry, entry }) => {
                let repository = entry.repository.as_deref().unwrap_or_default();
                (true, (*registry).to_string(), clipped(repository), clipped(&entry.reference))
            }
        }
    }
}

/// Open failures and unverified objects, or resolved failures.
///
/// All filters must match; without a match the lists are empty. The lists are complete unless pages are requested.
#[utoipa::path(
    get, path = "/api/v1/findings", tag = "findings", params(Parameters),
    responses(
        (status = 200, body = FindingsAnswer, description = "The matching findings."),
        (status = 400, body = ErrorAnswer, description = "The query is invalid."),
        (status = 404, body = ErrorAnswer, description = "The cursor is not from a page of this list."),
    )
)]
pub async fn findings(
    Extracted(api): Extracted<Api>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let question = Question::parse(parsed(query)?)?;
    let key = format!("findings {question:?}");
    api.responses.get_or_render(key, Freshness::UntilNextSweep, &headers, move |state| question.answer(state)).await
}

/// The OpenAPI schema of a reason or an empty filter.
struct ReasonOrNone;

impl PartialSchema for ReasonOrNone {
    fn schema() -> RefOr<Schema> {
        let words = Reason::ALL.into_iter().map(Reason::as_str).chain([""]);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
    }
}

impl ToSchema for ReasonOrNone {}

/// Unix time in seconds, the precision of times in responses.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn some_rfc3339<S: serde::Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339::serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}

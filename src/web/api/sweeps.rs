//! `GET /api/v1/sweeps`: completed and current sweeps.

use std::cmp::Reverse;
use std::time::SystemTime;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Extracted};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::context::Api;
use super::findings::seconds;
use super::pages::Page;
use super::query::{PointInTime, given, parsed, point_in_time};
use crate::report::rfc3339;
use crate::state::history::SweepRecord;
use crate::state::{Snapshot, State};
use crate::web::api_error::{ApiError, ErrorAnswer};
use crate::web::rendered::Rendered;
use crate::web::response_cache::Freshness;

/// The sweeps of all registries.
#[derive(Serialize, ToSchema)]
pub struct SweepsAnswer<'a> {
    /// Completed sweeps in the history, the latest first.
    sweeps: Vec<SweepEntry<'a>>,
    /// Current sweeps.
    running: Vec<RunningSweep<'a>>,
    /// The `cursor` of the next page, `null` on the last one; absent without `limit` and `cursor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    next: Option<Option<String>>,
}

/// A completed sweep with its registry.
#[derive(Serialize, ToSchema)]
struct SweepEntry<'a> {
    /// The registry's configured name.
    registry: &'a str,
    #[serde(flatten)]
    sweep: &'a SweepRecord,
}

/// The progress of a sweep.
#[derive(Serialize, ToSchema)]
struct RunningSweep<'a> {
    /// The registry's configured name.
    registry: &'a str,
    /// When it began.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    started_at: SystemTime,
    /// Repositories to check; 0 until the catalog is read.
    repositories: u64,
    /// Repositories that have been checked.
    repositories_walked: u64,
    /// Objects that have been requested.
    objects: u64,
    /// Objects of the last complete sweep, as an estimate of the total; `null` before the first.
    objects_expected: Option<u64>,
}

/// The query parameters.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Only this registry; all if empty.
    #[param(required = false)]
    registry: String,
    /// Only sweeps that finished at or after this time; current sweeps are always included. RFC 3339, or Unix time in seconds.
    #[param(required = false, inline, value_type = PointInTime)]
    since: Option<String>,
    /// Maximum number of sweeps per page.
    #[param(required = false, value_type = u32, minimum = 1, maximum = 10_000)]
    limit: Option<String>,
    /// The start of the page: `next` of the previous one.
    #[param(required = false)]
    cursor: Option<String>,
}

#[derive(Clone, Debug)]
struct Question {
    registry: Option<String>,
    since: Option<SystemTime>,
    page: Option<Page>,
}

impl Question {
    fn parse(parameters: Parameters) -> Result<Self, ApiError> {
        let Parameters { registry, since, limit, cursor } = parameters;
        Ok(Self {
            registry: given(registry),
            since: since.as_deref().map(point_in_time).transpose()?,
            page: Page::parse(limit.as_deref(), cursor)?,
        })
    }

    fn answer(&self, state: &State) -> Result<Rendered, ApiError> {
        let known: Vec<(String, Snapshot)> = state
            .registries()
            .iter()
            .filter(|registry| self.registry.as_ref().is_none_or(|name| *name == registry.name))
            .map(|registry| (registry.name.clone(), registry.known()))
            .collect();
        let mut sweeps: Vec<SweepEntry<'_>> = known
            .iter()
            .flat_map(|(registry, known)| known.history.sweeps.iter().map(move |sweep| SweepEntry { registry, sweep }))
            .filter(|SweepEntry { sweep, .. }| self.since.is_none_or(|since| sweep.ended_at >= since))
            .collect();
        let place = |SweepEntry { registry, sweep }: &SweepEntry<'_>| {
            (Reverse(seconds(sweep.ended_at)), (*registry).to_string(), Reverse(sweep.id))
        };
        let mut next = None;
        match &self.page {
            None => sweeps.sort_by_cached_key(place),
            Some(page) => {
                let (page, cursor) = page.of(sweeps, place)?;
                (sweeps, next) = (page, Some(cursor));
            }
        }
        let running = known.iter().filter_map(|(registry, known)| RunningSweep::of(registry, known)).collect();
        Rendered::json(&SweepsAnswer { sweeps, running, next })
    }
}

impl<'a> RunningSweep<'a> {
    fn of(registry: &'a str, known: &Snapshot) -> Option<Self> {
        let sweeping = known.sweeping.as_ref()?;
        Some(Self {
            registry,
            started_at: sweeping.since,
            repositories: sweeping.progress.repositories(),
            repositories_walked: sweeping.progress.walked(),
            objects: sweeping.progress.objects(),
            objects_expected: Some(known.objects.total()).filter(|&objects| objects > 0),
        })
    }
}

/// Completed sweeps, and the progress of current ones.
#[utoipa::path(
    get, path = "/api/v1/sweeps", tag = "sweeps", params(Parameters),
    responses(
        (status = 200, body = SweepsAnswer, description = "The matching sweeps."),
        (status = 400, body = ErrorAnswer, description = "The query is invalid."),
        (status = 404, body = ErrorAnswer, description = "The cursor is not from a page of this list."),
    )
)]
pub async fn sweeps(
    Extracted(api): Extracted<Api>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let question = Question::parse(parsed(query)?)?;
    let key = format!("sweeps {question:?}");
    api.responses.get_or_render(key, Freshness::Briefly, &headers, move |state| question.answer(state)).await
}

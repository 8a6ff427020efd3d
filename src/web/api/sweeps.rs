//! Sweeps that ended, and how far those are that run.

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
    /// Those that ended, the latest first, as far back as the history goes.
    sweeps: Vec<SweepEntry<'a>>,
    /// Those that run now.
    running: Vec<RunningSweep<'a>>,
    /// The `cursor` of the next page, `null` on the last one; absent unless pages were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    next: Option<Option<String>>,
}

/// A sweep that ended, and the registry that it is of.
#[derive(Serialize, ToSchema)]
struct SweepEntry<'a> {
    /// The registry's configured name.
    registry: &'a str,
    #[serde(flatten)]
    sweep: &'a SweepRecord,
}

/// How far a sweep is.
#[derive(Serialize, ToSchema)]
struct RunningSweep<'a> {
    /// The registry's configured name.
    registry: &'a str,
    /// When it began.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    started_at: SystemTime,
    /// Repositories to walk; 0 until the catalog is read.
    repositories: u64,
    /// Repositories that have been walked.
    repositories_walked: u64,
    /// Objects that have been asked for.
    objects: u64,
    /// Objects of the last complete sweep, which is about how many there are; `null` before the first.
    objects_expected: Option<u64>,
}

/// The query as it was sent.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Only those of this registry; empty: of all.
    #[param(required = false)]
    registry: String,
    /// Only those that ended at this time or later; those that run are told in any case. RFC 3339, or Unix time in seconds.
    #[param(required = false, inline, value_type = PointInTime)]
    since: Option<String>,
    /// Answer in pages of so many sweeps.
    #[param(required = false, value_type = u32, minimum = 1, maximum = 10_000)]
    limit: Option<String>,
    /// Where the page begins: `next` of the page before it.
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

/// The sweeps that ended, and how far those are that run.
#[utoipa::path(
    get, path = "/api/v1/sweeps", tag = "sweeps", params(Parameters),
    responses(
        (status = 200, body = SweepsAnswer, description = "What the filters admit."),
        (status = 400, body = ErrorAnswer, description = "The query makes no sense."),
        (status = 404, body = ErrorAnswer, description = "The cursor names no page."),
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

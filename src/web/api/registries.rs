//! `GET /api/v1/registries`: the registries and their totals.

use std::time::SystemTime;

use axum::extract::State as Extracted;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::context::Api;
use crate::config::Mode;
use crate::report::{ImageCounts, ObjectCounts, Outcome};
use crate::state::{RegistryState, State};
use crate::web::api_error::ApiError;
use crate::web::rendered::Rendered;
use crate::web::response_cache::Freshness;

/// One registry. Unknown values are `null`.
///
/// The members from `started_at` on describe the last completed sweep, as in a report, but `failures` and `unverified` are
/// counts; `/api/v1/findings` has the lists.
#[derive(Serialize, ToSchema)]
struct Registry {
    /// Its configured name.
    name: String,
    /// Its URL, without credentials.
    url: String,
    /// `authoritative` or `pull_through`.
    mode: &'static str,
    /// Interval between the starts of two sweeps.
    interval_seconds: f64,
    /// Start of the current sweep; `null` if none is running.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = Option<String>, format = DateTime)]
    sweeping_since: Option<SystemTime>,
    /// End of the last sweep that reached the catalog.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_sweep: Option<SystemTime>,
    /// End of the last sweep that found everything intact.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success: Option<SystemTime>,
    /// Start of the last completed sweep.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<SystemTime>,
    /// Its duration.
    duration_seconds: Option<f64>,
    /// Its outcome.
    outcome: Option<Outcome>,
    /// True if it read the catalog completely.
    catalog_accessible: Option<bool>,
    /// True if the registry was reachable but had no image to check.
    empty: Option<bool>,
    /// Repositories to check.
    repositories: Option<u64>,
    /// Images by state.
    images: Option<ImageCounts>,
    /// Objects by kind.
    objects: Option<ObjectCounts>,
    /// Requests to the registry.
    requests: Option<u64>,
    /// Bytes of response bodies.
    received_bytes: Option<u64>,
    /// Number of open failures.
    failures: Option<usize>,
    /// Number of unverified objects.
    unverified: Option<usize>,
}

impl Registry {
    fn of(registry: &RegistryState) -> Self {
        let known = registry.known();
        let report = known.report.as_deref();
        Self {
            name: registry.name.clone(),
            url: registry.url.clone(),
            mode: mode(registry.mode()),
            interval_seconds: registry.interval().as_secs_f64(),
            sweeping_since: known.sweeping.map(|sweeping| sweeping.since),
            last_sweep: known.last_sweep,
            last_success: known.last_success,
            started_at: report.map(|report| report.started_at),
            duration_seconds: report.map(|report| report.duration_seconds),
            outcome: report.map(|report| report.outcome),
            catalog_accessible: report.map(|report| report.catalog_accessible),
            empty: report.map(|report| report.empty),
            repositories: report.map(|report| report.repositories),
            images: report.map(|report| report.images),
            objects: report.map(|report| report.objects),
            requests: report.map(|report| report.requests),
            received_bytes: report.map(|report| report.received_bytes),
            failures: report.map(|report| report.failures.len()),
            unverified: report.map(|report| report.unverified.len()),
        }
    }
}

/// Every configured registry.
#[derive(Serialize, ToSchema)]
pub struct RegistriesAnswer {
    /// In the order of the configuration.
    registries: Vec<Registry>,
}

/// Every registry with its totals.
///
/// Unknown values are `null`.
#[utoipa::path(get, path = "/api/v1/registries", tag = "registries", responses((status = 200, body = RegistriesAnswer, description = "Every configured registry.")))]
pub async fn registries(Extracted(api): Extracted<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let render = |state: &State| {
        let registries = state.registries().iter().map(|registry| Registry::of(registry)).collect();
        Rendered::json(&RegistriesAnswer { registries })
    };
    api.responses.get_or_render("registries".to_string(), Freshness::Briefly, &headers, render).await
}

fn rfc3339<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&humantime::format_rfc3339_seconds(*time)),
        None => serializer.serialize_none(),
    }
}

/// The mode as in the configuration.
fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Authoritative => "authoritative",
        Mode::PullThrough => "pull_through",
    }
}

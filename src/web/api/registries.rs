//! The registries, and what is known of each in numbers.

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

/// One registry, and what is known of it. What is not known yet is `null`.
///
/// The members from `started_at` on describe the sweep that ended last and mean what they mean in a report, but `failures`
/// and `unverified` are counts: `/api/v1/findings` has the lists.
#[derive(Serialize, ToSchema)]
struct Registry {
    /// Its configured name.
    name: String,
    /// Its URL, without credentials.
    url: String,
    /// `authoritative` or `pull_through`.
    mode: &'static str,
    /// Between the starts of two sweeps.
    interval_seconds: f64,
    /// When the sweep that runs now began; `null`: none runs.
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
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<SystemTime>,
    /// How long it took.
    duration_seconds: Option<f64>,
    /// How far it came.
    outcome: Option<Outcome>,
    /// True if it read the catalog to its end.
    catalog_accessible: Option<bool>,
    /// True if the registry answered it, and it checked no image.
    empty: Option<bool>,
    /// Repositories that it was to look at.
    repositories: Option<u64>,
    /// Images by state.
    images: Option<ImageCounts>,
    /// Objects by kind.
    objects: Option<ObjectCounts>,
    /// HTTP exchanges.
    requests: Option<u64>,
    /// Bytes of bodies that they brought.
    received_bytes: Option<u64>,
    /// How many objects are now known bad.
    failures: Option<usize>,
    /// How much it could not judge.
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
    /// In the configuration's order.
    registries: Vec<Registry>,
}

/// Each registry, and what is known of it.
///
/// What is not known yet is `null`.
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

/// The mode as the configuration spells it.
fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Authoritative => "authoritative",
        Mode::PullThrough => "pull_through",
    }
}

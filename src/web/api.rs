//! The JSON API.

use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use super::Web;
use crate::config::Mode;
use crate::report::{Failure, ImageCounts, ObjectCounts, Outcome, Reason, Unverified};
use crate::state::{Known, RegistryState};

/// A request that is not answered with what it asks for: `{"error": "why"}`.
pub struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    /// A refusal with a status and a reason for people.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// The refusal as plain text, for routes outside the API.
    pub fn into_text(self) -> Response {
        (self.status, self.why + "\n").into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.why }))).into_response()
    }
}

/// One registry in `GET /api/v1/registries`, which answers `{"registries": [...]}` in the configuration's order.
///
/// What is not known yet is `null`. The members from `started_at` on describe the sweep that ended last and mean what
/// they mean in a report, but `failures` and `unverified` are counts: `/api/v1/findings` has the lists.
#[derive(Serialize)]
struct Registry {
    name: String,
    url: String,
    /// `authoritative` or `pull_through`.
    mode: &'static str,
    /// Between the starts of two sweeps.
    interval_seconds: f64,
    /// When the sweep that runs now began; `null`: none runs.
    #[serde(serialize_with = "rfc3339")]
    sweeping_since: Option<SystemTime>,
    /// End of the last sweep that reached the catalog.
    #[serde(serialize_with = "rfc3339")]
    last_sweep: Option<SystemTime>,
    /// End of the last sweep that found everything intact.
    #[serde(serialize_with = "rfc3339")]
    last_success: Option<SystemTime>,
    #[serde(serialize_with = "rfc3339")]
    started_at: Option<SystemTime>,
    duration_seconds: Option<f64>,
    outcome: Option<Outcome>,
    catalog_accessible: Option<bool>,
    repositories: Option<u64>,
    images: Option<ImageCounts>,
    objects: Option<ObjectCounts>,
    requests: Option<u64>,
    received_bytes: Option<u64>,
    failures: Option<usize>,
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

/// The mode as the configuration spells it.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Authoritative => "authoritative",
        Mode::PullThrough => "pull_through",
    }
}

/// `GET /api/v1/registries`.
pub async fn registries(State(web): State<Web>) -> Json<serde_json::Value> {
    let registries: Vec<Registry> = web.state.registries().iter().map(|registry| Registry::of(registry)).collect();
    Json(json!({ "registries": registries }))
}

#[derive(Serialize)]
struct Findings<'a> {
    failures: Vec<Of<'a, Failure>>,
    unverified: Vec<Of<'a, Unverified>>,
}

/// A finding as the report has it, and the registry that it is of.
#[derive(Serialize)]
struct Of<'a, Finding> {
    registry: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// `GET /api/v1/findings[?registry=&repository=&reason=]`.
///
/// Filters narrow together; an empty one is none. What is unverified has no reason, so that a filter by reason leaves
/// none of it.
pub async fn findings(
    State(web): State<Web>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let filter = Filter::parse(query.map_err(|error| bad_request(error.body_text()))?.0)?;
    let known: Vec<(String, Known)> = web
        .state
        .registries()
        .iter()
        .filter(|registry| filter.registry.as_ref().is_none_or(|name| *name == registry.name))
        .map(|registry| (registry.name.clone(), registry.known()))
        .collect();
    let reports = || known.iter().filter_map(|(name, known)| Some((name.as_str(), known.report.as_deref()?)));
    let findings = Findings {
        failures: reports()
            .flat_map(|(registry, report)| report.failures.iter().map(move |finding| Of { registry, finding }))
            .filter(|entry| filter.admits(Some(&entry.finding.repository), Some(entry.finding.reason)))
            .collect(),
        unverified: reports()
            .flat_map(|(registry, report)| report.unverified.iter().map(move |finding| Of { registry, finding }))
            .filter(|entry| filter.admits(entry.finding.repository.as_deref(), None))
            .collect(),
    };
    Ok(Json(findings).into_response())
}

/// The query as it was sent. A misspelt or repeated key is refused, lest a filter pass for one that everything matches.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    registry: String,
    repository: String,
    reason: String,
}

struct Filter {
    registry: Option<String>,
    repository: Option<String>,
    reason: Option<Reason>,
}

impl Filter {
    fn parse(parameters: Parameters) -> Result<Self, Refusal> {
        let given = |value: String| Some(value).filter(|value| !value.is_empty());
        let reason = given(parameters.reason).map(|reason| reason.parse()).transpose();
        Ok(Self {
            registry: given(parameters.registry),
            repository: given(parameters.repository),
            reason: reason.map_err(|error| bad_request(format!("reason: {error}")))?,
        })
    }

    fn admits(&self, repository: Option<&str>, reason: Option<Reason>) -> bool {
        (self.repository.is_none() || self.repository.as_deref() == repository)
            && (self.reason.is_none() || self.reason == reason)
    }
}

fn bad_request(why: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, why)
}

fn rfc3339<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&humantime::format_rfc3339_seconds(*time)),
        None => serializer.serialize_none(),
    }
}

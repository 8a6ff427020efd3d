//! `GET /api/v1/images`: one image with the state of its objects.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Extracted};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::context::Api;
use super::findings::{FailureEntry, UnverifiedEntry};
use super::query::parsed;
use crate::oci::Image;
use crate::state::State;
use crate::state::images::{self, ImageSummary, ImageTree};
use crate::web::api_error::{ApiError, ErrorAnswer};
use crate::web::rendered::Rendered;
use crate::web::response_cache::Freshness;

/// One image.
#[derive(Serialize, ToSchema)]
pub struct ImageAnswer<'a> {
    /// The registry's configured name.
    registry: &'a str,
    #[serde(flatten)]
    summary: ImageSummary,
    /// Its objects; `null` if its digest is unknown.
    tree: Option<ImageTree>,
    /// Its broken objects.
    failures: Vec<FailureEntry<'a>>,
    /// Its objects that the last sweep could not verify.
    unverified: Vec<UnverifiedEntry<'a>>,
}

/// The query parameters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// The registry's configured name.
    #[param(example = "private")]
    registry: String,
    /// The image: `repository:tag` or `repository@digest`.
    #[param(inline, value_type = ImageName, example = "infra-ci:latest")]
    reference: String,
}

fn answer(state: &State, registry: &str, image: &Image) -> Result<Rendered, ApiError> {
    let Some(registry) = state.registry(registry) else {
        return Err(ApiError::not_found(format!(
            "no registry {registry:?} is configured; GET /api/v1/registries lists them"
        )));
    };
    let known = registry.known();
    let Some(summary) = images::find(&registry, image) else {
        let why = if known.report.is_some() {
            "no sweep has seen it, or it did not fit into memory"
        } else {
            "no sweep has finished yet"
        };
        return Err(ApiError::not_found(format!("no results for {image} in {}: {why}", registry.name)));
    };
    let report = known.report.as_deref();
    let failures = report.into_iter().flat_map(|report| &report.failures);
    let unverified = report.into_iter().flat_map(|report| &report.unverified);
    Rendered::json(&ImageAnswer {
        registry: &registry.name,
        summary,
        tree: images::tree(&registry, image),
        failures: failures
            .filter(|failure| failure.images.contains(image))
            .map(|failure| FailureEntry::open(&registry.name, failure))
            .collect(),
        unverified: unverified
            .filter(|entry| entry.images.contains(image))
            .map(|entry| UnverifiedEntry::of(&registry.name, entry))
            .collect(),
    })
}

/// One image with its index, platforms, configs and layers, and the state of each.
#[utoipa::path(
    get, path = "/api/v1/images", tag = "images", params(Parameters),
    responses(
        (status = 200, body = ImageAnswer, description = "The image."),
        (status = 400, body = ErrorAnswer, description = "The query is invalid."),
        (status = 404, body = ErrorAnswer, description = "The registry or the image is unknown."),
    )
)]
pub async fn image(
    Extracted(api): Extracted<Api>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Parameters { registry, reference } = parsed(query)?;
    let image: Image = reference.parse().map_err(|error| ApiError::bad_request(format!("reference: {error}")))?;
    let key = format!("image {registry:?} {image}");
    api.responses.get_or_render(key, Freshness::Briefly, &headers, move |state| answer(state, &registry, &image)).await
}

/// The OpenAPI schema of an image name.
struct ImageName;

impl PartialSchema for ImageName {
    fn schema() -> RefOr<Schema> {
        let name = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
        let digest = "sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}";
        let pattern = format!("^{name}(?:/{name})*(?::[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}|@(?:{digest}))$");
        // The pattern cannot express the maximum length of a repository name.
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).max_length(Some(255)).into()
    }
}

impl ToSchema for ImageName {}

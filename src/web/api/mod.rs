//! The JSON API: read-only views of the state.

mod context;
mod findings;
mod images;
mod openapi;
mod pages;
mod query;
mod registries;
mod sweeps;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};

use self::context::Api;
use super::context::{Views, Web};
use super::rendered::Rendered;
use super::{api_error, lifecycle};

/// The routes of the API below a prefix.
///
/// # Panics
///
/// If the description cannot be serialized, which is impossible.
pub fn router(prefix: &str, views: Views) -> Router<Web> {
    let at = |path: &str| format!("{prefix}/api{path}");
    let description =
        Rendered::json(&openapi::description(prefix)).expect("a description of strings and numbers is JSON");
    let api = Api { responses: views.responses, description: Arc::new(description) };
    Router::new()
        .without_v07_checks()
        .route(&at("/v1/registries"), get(registries::registries))
        .route(&at("/v1/findings"), get(findings::findings))
        .route(&at("/v1/images"), get(images::image))
        .route(&at("/v1/sweeps"), get(sweeps::sweeps))
        .route(&at("/v1/openapi.json"), get(openapi::openapi))
        .with_state(api)
        .route(&at("/v1/registries/{name}/sweep"), post(lifecycle::sweep))
        .method_not_allowed_fallback(api_error::unknown_method)
        .route(&at(""), any(api_error::unknown_path))
        .route(&at("/"), any(api_error::unknown_path))
        .route(&at("/{*rest}"), any(api_error::unknown_path))
}

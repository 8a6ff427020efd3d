//! The JSON API: views of the state, none of which changes anything.

mod findings;
mod images;
mod openapi;
mod pages;
mod query;
mod refusal;
mod registries;
mod sweeps;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};

pub use self::refusal::{ErrorAnswer, Refusal};
use super::{Answers, Holds, Rendered, Views, Web, lifecycle};
use crate::config::Mode;

/// What the API is made of.
#[derive(Clone)]
struct Api {
    answers: Arc<Answers>,
    /// The description of the API itself.
    description: Arc<Rendered>,
}

/// The API, each path of which lies below a prefix.
///
/// # Panics
///
/// If its description cannot be written as JSON, which no prefix can bring about.
pub fn router(prefix: &str, views: Views) -> Router<Web> {
    let at = |path: &str| format!("{prefix}/api{path}");
    let description =
        Rendered::json(&openapi::description(prefix)).expect("a description of strings and numbers is JSON");
    let api = Api { answers: views.answers, description: Arc::new(description) };
    Router::new()
        .without_v07_checks()
        .route(&at("/v1/registries"), get(registries::registries))
        .route(&at("/v1/findings"), get(findings::findings))
        .route(&at("/v1/images"), get(images::image))
        .route(&at("/v1/sweeps"), get(sweeps::sweeps))
        .route(&at("/v1/openapi.json"), get(openapi::openapi))
        .with_state(api)
        .route(&at("/v1/registries/{name}/sweep"), post(lifecycle::sweep))
        .method_not_allowed_fallback(refusal::unknown_method)
        .route(&at(""), any(refusal::unknown_path))
        .route(&at("/"), any(refusal::unknown_path))
        .route(&at("/{*rest}"), any(refusal::unknown_path))
}

/// The mode as the configuration spells it.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Authoritative => "authoritative",
        Mode::PullThrough => "pull_through",
    }
}

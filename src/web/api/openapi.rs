//! The API's description, made of the types that it answers with.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::openapi::{ContentBuilder, ObjectBuilder, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi, openapi};

use super::{Api, ErrorAnswer, findings, images, registries, sweeps};
use crate::web::lifecycle;

#[derive(OpenApi)]
#[openapi(
    info(title = "registry-integrity-probe", description = "What the probe knows of container registries."),
    paths(registries::registries, findings::findings, images::image, sweeps::sweeps, openapi, lifecycle::sweep),
    components(schemas(ErrorAnswer)),
    modifiers(&Guarded)
)]
struct Description;

/// What stands before every path if there is a web configuration.
struct Guarded;

impl Modify for Guarded {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let refusal = |why: &str| {
            let text =
                ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(openapi::Type::String))).build();
            ResponseBuilder::new().description(why).content("text/plain; charset=utf-8", text).build()
        };
        for path in document.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
                let responses = &mut operation.responses.responses;
                let unauthorized = refusal("The web configuration names users, and the request's is none of them.");
                responses.insert("401".to_string(), unauthorized.into());
                let too_many = refusal("The web configuration limits the rate of requests.");
                responses.insert("429".to_string(), too_many.into());
            }
        }
    }
}

/// The description of the API below a prefix.
pub fn description(prefix: &str) -> openapi::OpenApi {
    let mut description = Description::openapi();
    description.servers = Some(vec![Server::new(if prefix.is_empty() { "/" } else { prefix })]);
    description
}

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "description",
    responses((status = 200, body = serde_json::Value, content_type = "application/json"))
)]
pub async fn openapi(State(api): State<Api>, headers: HeaderMap) -> Response {
    api.description.answer(&headers)
}

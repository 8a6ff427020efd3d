//! The OpenAPI description, generated from the response types.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, Header, RefOr, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi, openapi};

use super::context::Api;
use super::{findings, images, registries, sweeps};
use crate::web::api_error::ErrorAnswer;
use crate::web::lifecycle;

#[derive(OpenApi)]
#[openapi(
    info(title = "registry-integrity-probe", description = "Integrity of container registries."),
    paths(registries::registries, findings::findings, images::image, sweeps::sweeps, openapi, lifecycle::sweep),
    components(schemas(ErrorAnswer)),
    modifiers(&Common)
)]
struct Description;

/// Changes that apply to every path.
struct Common;

/// Members that may be absent; all others are always present, if necessary as `null`.
const OPTIONAL: &[&str] = &["next", "disproved_at", "changes"];

impl Modify for Common {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for schema in document.components.iter_mut().flat_map(|components| components.schemas.values_mut()) {
            require_members(schema);
        }
        for path in document.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post].into_iter().flatten() {
                let unauthorized = "The web configuration requires a login.";
                let too_many = "The web configuration limits the rate of requests.";
                for (status, why) in [("401", unauthorized), ("429", too_many)] {
                    operation.responses.responses.insert(status.to_string(), by_the_guard(why).into());
                }
            }
            let Some(get) = &mut path.get else { continue };
            let unchanged = ResponseBuilder::new().description("`If-None-Match` contains the current `ETag`.").build();
            get.responses.responses.insert("304".to_string(), unchanged.into());
            if let Some(RefOr::T(answer)) = get.responses.responses.get_mut("200") {
                answer.headers.insert("ETag".to_string(), Header::default());
            }
        }
    }
}

fn require_members(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            let members = object.properties.keys().filter(|name| !OPTIONAL.contains(&name.as_str()));
            object.required = members.cloned().collect();
        }
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_members),
        _ => {}
    }
}

/// A response of the guard.
fn by_the_guard(why: &str) -> openapi::Response {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let content = ContentBuilder::new().schema(Some(text)).build();
    ResponseBuilder::new().description(why).content("text/plain; charset=utf-8", content).build()
}

/// The description of the API, served below a prefix.
pub fn description(prefix: &str) -> openapi::OpenApi {
    let mut description = Description::openapi();
    description.servers = Some(vec![Server::new(if prefix.is_empty() { "/" } else { prefix })]);
    description
}

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "description",
    responses((status = 200, body = serde_json::Value, description = "OpenAPI 3.1.", content_type = "application/json"))
)]
pub async fn openapi(State(api): State<Api>, headers: HeaderMap) -> Response {
    api.description.answer(&headers)
}

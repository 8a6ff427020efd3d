//! Routes that make the service do something; refused unless the operator enabled them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::api_error::{ApiError, ErrorAnswer};
use super::context::Web;
use super::control::{Control, SweepRefused};

/// The right to control the service: only a request to a service with lifecycle enabled has it.
pub struct Lifecycle(Arc<dyn Control>);

impl FromRequestParts<Web> for Lifecycle {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, ApiError> {
        // A browser that is logged in must not be made to reload or sweep by a form on somebody else's page.
        if is_of_another_site(&parts.headers, web.external_url.as_ref()) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "requests from other sites are refused; behind a proxy, start with --web.external-url",
            ));
        }
        web.lifecycle.clone().map(Self).ok_or_else(|| {
            ApiError::new(StatusCode::FORBIDDEN, "Lifecycle API is not enabled; start with --web.enable-lifecycle")
        })
    }
}

/// What a browser says of the page that asks. It sends `Sec-Fetch-Site` over TLS and to this machine alone, `Origin` with
/// every POST and PUT; other clients send neither.
fn is_of_another_site(headers: &HeaderMap, external_url: Option<&Url>) -> bool {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let Some(origin) = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 names the host elsewhere, but is spoken over TLS alone, where the first look suffices.
    let is_host = host.is_none_or(|host| origin.authority() == host);
    !is_host && external_url.is_none_or(|url| url.origin() != origin.origin())
}

/// `POST /-/reload`: 200 once the new configuration is in use, 500 with the reason if it cannot be.
pub async fn reload(lifecycle: Result<Lifecycle, ApiError>) -> Response {
    match lifecycle {
        Err(refusal) => refusal.into_text(),
        Ok(Lifecycle(control)) => match control.reload().await {
            Ok(()) => "configuration reloaded\n".into_response(),
            Err(why) => {
                let why = format!("failed to reload the configuration, the old one stays in use: {why}");
                ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_text()
            }
        },
    }
}

/// A sweep that begins.
#[derive(Serialize, ToSchema)]
pub struct SweepAnswer {
    /// Of which registry.
    registry: String,
    /// What becomes of it.
    sweep: SweepBegun,
}

/// What becomes of a sweep that was asked for.
#[derive(Serialize, ToSchema)]
enum SweepBegun {
    /// It begins.
    #[serde(rename = "started")]
    Started,
}

/// Begins a sweep of a registry now.
#[utoipa::path(
    post, path = "/api/v1/registries/{name}/sweep", tag = "registries",
    params(("name" = String, Path, description = "The registry's configured name.")),
    responses(
        (status = 202, body = SweepAnswer, description = "A sweep begins."),
        (status = 400, body = ErrorAnswer, description = "The name is not UTF-8."),
        (status = 403, body = ErrorAnswer, description = "The service runs without --web.enable-lifecycle."),
        (status = 404, body = ErrorAnswer, description = "No such registry is configured."),
        (status = 409, body = ErrorAnswer, description = "A sweep of it runs already."),
    )
)]
pub async fn sweep(
    Lifecycle(control): Lifecycle,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(registry) = name.map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
    control.sweep(&registry).map_err(|refused| {
        let status = match refused {
            SweepRefused::UnknownRegistry => StatusCode::NOT_FOUND,
            SweepRefused::AlreadySweeping => StatusCode::CONFLICT,
        };
        ApiError::new(status, refused.to_string())
    })?;
    Ok((StatusCode::ACCEPTED, Json(SweepAnswer { registry, sweep: SweepBegun::Started })).into_response())
}

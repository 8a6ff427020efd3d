//! Routes that change the service. They are rejected unless `--web.enable-lifecycle` is set.

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

/// Access to the service's operations; extracting it fails unless they are enabled.
pub struct Lifecycle(Arc<dyn Control>);

impl FromRequestParts<Web> for Lifecycle {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, ApiError> {
        // A form on another site must not use the login of a browser (cross-site request forgery).
        if is_cross_site(&parts.headers, web.external_url.as_ref()) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "cross-site requests are rejected; behind a proxy, start with --web.external-url",
            ));
        }
        web.lifecycle.clone().map(Self).ok_or_else(|| {
            ApiError::new(StatusCode::FORBIDDEN, "Lifecycle API is not enabled; start with --web.enable-lifecycle")
        })
    }
}

/// Browsers send `Origin` with every POST and PUT, and `Sec-Fetch-Site` over TLS and to localhost. Other clients send
/// neither.
fn is_cross_site(headers: &HeaderMap, external_url: Option<&Url>) -> bool {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let Some(origin) = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has no Host header, but always uses TLS, where Sec-Fetch-Site is present.
    let is_host = host.is_none_or(|host| origin.authority() == host);
    !is_host && external_url.is_none_or(|url| url.origin() != origin.origin())
}

/// `POST /-/reload`: 200 once the new configuration is in use, 500 with the reason if it cannot be.
pub async fn reload(lifecycle: Result<Lifecycle, ApiError>) -> Response {
    match lifecycle {
        Err(error) => error.into_text(),
        Ok(Lifecycle(control)) => match control.reload().await {
            Ok(()) => "configuration reloaded\n".into_response(),
            Err(why) => {
                let why = format!("failed to reload the configuration; the old one stays in use: {why}");
                ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_text()
            }
        },
    }
}

/// A sweep that was started.
#[derive(Serialize, ToSchema)]
pub struct SweepAnswer {
    /// The registry's configured name.
    registry: String,
    /// The state of the sweep.
    sweep: SweepBegun,
}

/// The state of a requested sweep.
#[derive(Serialize, ToSchema)]
enum SweepBegun {
    /// It was started.
    #[serde(rename = "started")]
    Started,
}

/// Starts a sweep of a registry.
#[utoipa::path(
    post, path = "/api/v1/registries/{name}/sweep", tag = "registries",
    params(("name" = String, Path, description = "The registry's configured name.")),
    responses(
        (status = 202, body = SweepAnswer, description = "The sweep was started."),
        (status = 400, body = ErrorAnswer, description = "The name is not UTF-8."),
        (status = 403, body = ErrorAnswer, description = "The service runs without --web.enable-lifecycle."),
        (status = 404, body = ErrorAnswer, description = "No such registry is configured."),
        (status = 409, body = ErrorAnswer, description = "A sweep of this registry is already running."),
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

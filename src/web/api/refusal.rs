//! Requests that are not answered with what they ask for.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A request that is not answered with what it asks for: `{"error": "why"}`.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    why: String,
}

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
pub struct ErrorAnswer {
    /// In words, for people.
    error: String,
}

impl Refusal {
    /// A refusal with a status and a reason for people.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// A request that makes no sense.
    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// A request for what is not there.
    pub fn not_found(why: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, why)
    }

    /// The refusal as plain text, for routes outside the API.
    pub fn into_text(self) -> Response {
        (self.status, self.why + "\n").into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorAnswer { error: self.why })).into_response()
    }
}

/// A path below `/api` that nothing is at.
pub async fn unknown_path(uri: Uri) -> Refusal {
    Refusal::not_found(format!("nothing is at {}; /api/v1/openapi.json lists what there is", uri.path()))
}

/// A path that is there, but not for this method; `Allow` says for which.
pub async fn unknown_method(method: Method) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here"))
}

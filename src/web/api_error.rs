//! Requests that are not answered with what they ask for.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Characters of a reason that a client's own words may fill.
const WHY_LIMIT: usize = 500;

/// A request that is not answered with what it asks for: `{"error": "why"}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    why: String,
}

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
pub struct ErrorAnswer {
    /// In words, for people.
    error: String,
}

impl ApiError {
    /// A refusal with a status and a reason for people.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// A request that makes no sense. What it said may stand in the reason, however long it was.
    pub fn bad_request(why: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, shortened(why.as_ref()))
    }

    /// A request for what is not there. What it said may stand in the reason, however long it was.
    pub fn not_found(why: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, shortened(why.as_ref()))
    }

    /// The refusal as plain text, for routes outside the API.
    pub fn into_text(self) -> Response {
        (self.status, self.why + "\n").into_response()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorAnswer { error: self.why })).into_response()
    }
}

fn shortened(why: &str) -> String {
    match why.char_indices().nth(WHY_LIMIT) {
        Some((end, _)) => format!("{}…", &why[..end]),
        None => why.to_string(),
    }
}

/// A path below `/api` that nothing is at.
pub async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("nothing is at {}; /api/v1/openapi.json lists what there is", uri.path()))
}

/// A path that is there, but not for this method; `Allow` says for which.
pub async fn unknown_method(method: Method) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here"))
}

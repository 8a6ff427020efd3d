//! Error responses.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Maximum length of a message that may contain input of the client.
const WHY_LIMIT: usize = 500;

/// An error response: `{"error": "message"}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    why: String,
}

/// The body of an error response.
#[derive(Serialize, ToSchema)]
pub struct ErrorAnswer {
    /// A message for users.
    error: String,
}

impl ApiError {
    /// An error with a status and a message.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// 400. The message may contain input of the client and is truncated.
    pub fn bad_request(why: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, shortened(why.as_ref()))
    }

    /// 404. The message may contain input of the client and is truncated.
    pub fn not_found(why: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, shortened(why.as_ref()))
    }

    /// The error as plain text, for routes outside the API.
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

/// The response to an unknown path below `/api`.
pub async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("unknown path {}; see /api/v1/openapi.json", uri.path()))
}

/// The response to a method that the path does not support; `Allow` lists those that it does.
pub async fn unknown_method(method: Method) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("method {method} is not allowed"))
}

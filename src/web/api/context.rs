//! What the routes of the API share.

use std::sync::Arc;

use crate::web::rendered::Rendered;
use crate::web::response_cache::ResponseCache;

/// Response cache and description of the API.
#[derive(Clone)]
pub struct Api {
    /// Rendered responses.
    pub responses: Arc<ResponseCache>,
    /// The OpenAPI description.
    pub description: Arc<Rendered>,
}

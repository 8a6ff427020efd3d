//! What the routes share.

use std::sync::Arc;

use url::Url;

use super::control::Control;
use super::response_cache::ResponseCache;
use crate::state::State;

/// The web interface of a service.
#[derive(Clone)]
pub struct Web {
    /// The state to serve; it is only read.
    pub state: Arc<State>,
    /// Handles reload and sweep requests; if `None`, they are rejected.
    pub lifecycle: Option<Arc<dyn Control>>,
    /// The URL under which users reach the service (`--web.external-url`). Its path is the prefix of every route.
    pub external_url: Option<Url>,
}

/// State and response cache for the pages, the metrics and the API.
#[derive(Clone)]
pub struct Views {
    /// The state to render.
    pub state: Arc<State>,
    /// Rendered responses.
    pub responses: Arc<ResponseCache>,
}

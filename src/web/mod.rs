//! The web interface of `serve`: status page, metrics, health, API and lifecycle.

mod api;
mod api_error;
pub mod config;
mod context;
mod control;
mod guard;
mod lifecycle;
mod page;
mod rendered;
mod response_cache;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extracted;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Redirect, Response};
use axum::routing::{get, post};

pub use context::Web;
pub use control::{Control, SweepRefused};
pub use guard::Guard;
pub use server::{Limits, serve, serve_guarded};

use self::api_error::ApiError;
use self::context::Views;
use self::rendered::Rendered;
use self::response_cache::{Freshness, ResponseCache};
use crate::render::metrics;
use crate::state::State;

impl Web {
    /// The service, for [`serve`].
    pub fn into_router(self) -> Router {
        let prefix = self.external_url.as_ref().map_or("", |url| url.path().trim_end_matches('/')).to_string();
        let at = |path: &str| format!("{prefix}{path}");
        let responses = Arc::new(ResponseCache::new(Arc::clone(&self.state)));
        let views = Views { state: Arc::clone(&self.state), responses };
        // The path of the external URL may look like a placeholder of older axum versions.
        let mut router = Router::new()
            .without_v07_checks()
            .route(&at("/metrics"), get(metrics_text))
            .with_state(views.clone())
            .merge(page::router(&prefix, views.clone()))
            .merge(api::router(&prefix, views))
            .route(&at("/-/healthy"), get("registry-integrity-probe is healthy.\n"))
            .route(&at("/-/ready"), get("registry-integrity-probe is ready.\n"))
            .route(&at("/-/reload"), post(lifecycle::reload).put(lifecycle::reload));
        if !prefix.is_empty() {
            let home = at("/");
            let redirect = get(move || async move { Redirect::temporary(&home) });
            router = router.route("/", redirect.clone()).route(&prefix, redirect);
        }
        router
            .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
            .layer(axum::middleware::map_response(harden))
            .with_state(self)
    }
}

async fn metrics_text(Extracted(views): Extracted<Views>, headers: HeaderMap) -> Response {
    let render = |state: &State| Ok(Rendered::text(metrics::CONTENT_TYPE, metrics::render_with_process(state)));
    let rendered = views.responses.get_or_render("metrics".to_string(), Freshness::Uncached, &headers, render).await;
    rendered.unwrap_or_else(ApiError::into_text)
}

/// Adds headers that protect browsers from untrusted text of a registry.
async fn harden<B>(mut response: axum::http::Response<B>) -> axum::http::Response<B> {
    let set = |headers: &mut HeaderMap, name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY);
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    set(headers, header::REFERRER_POLICY, "no-referrer");
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

//! The web interface of `serve`: status page, metrics, health, API and lifecycle.

mod api;
mod guard;
mod lifecycle;
mod page;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extracted;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use tower_http::compression::predicate::{DefaultPredicate, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};
use url::Url;

pub use guard::Guard;
pub use lifecycle::{Control, SweepRefused};
pub use server::{Limits, serve, serve_guarded};

use self::api::Refusal;
use crate::metrics;
use crate::state::State;

/// What the pages are made of.
#[derive(Clone)]
pub struct Web {
    /// What is known; only read.
    pub state: Arc<State>,
    /// Who reloads and sweeps on request; `None`: such requests are refused.
    pub lifecycle: Option<Arc<dyn Control>>,
    /// Where users reach the service (`--web.external-url`). Every route lies below its path.
    pub external_url: Option<Url>,
}

impl Web {
    /// The service, for [`serve`].
    pub fn into_router(self) -> Router {
        let prefix = self.external_url.as_ref().map_or("", |url| url.path().trim_end_matches('/')).to_string();
        let at = |path: &str| format!("{prefix}{path}");
        // The path of a URL may hold what older routers took for a placeholder.
        let mut router = Router::new()
            .without_v07_checks()
            .merge(page::router(&prefix))
            .route(&at("/metrics"), get(metrics_text))
            .route(&at("/-/healthy"), get("registry-integrity-probe is healthy.\n"))
            .route(&at("/-/ready"), get("registry-integrity-probe is ready.\n"))
            .route(&at("/-/reload"), post(lifecycle::reload).put(lifecycle::reload))
            .merge(api::router(&prefix, Arc::clone(&self.state)));
        if !prefix.is_empty() {
            let home = at("/");
            let redirect = get(move || async move { Redirect::temporary(&home) });
            router = router.route("/", redirect.clone()).route(&prefix, redirect);
        }
        router
            .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
            .layer(axum::middleware::map_response(harden))
            // Streams of events are left alone, and so is what an answer of the API has compressed already.
            .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(is_worth_compressing()))
            .with_state(self)
    }
}

fn is_worth_compressing() -> impl Predicate {
    DefaultPredicate::new().and(SizeAbove::new(api::COMPRESSED_FROM))
}

async fn metrics_text(Extracted(web): Extracted<Web>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render_with_process(&web.state))
}

/// The headers by which a browser guards itself against what a registry may have put into a name or a message.
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

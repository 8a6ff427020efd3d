//! The web interface of `serve`: status page, metrics, health, API and lifecycle.

mod answers;
mod api;
pub mod config;
mod guard;
mod lifecycle;
mod page;
mod rendered;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extracted;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use url::Url;

pub use guard::Guard;
pub use lifecycle::{Control, SweepRefused};
pub use server::{Limits, serve, serve_guarded};

use self::answers::{Answers, Holds};
use self::api::Refusal;
use self::rendered::Rendered;
use crate::render::metrics;
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

/// What pages, metrics and API are rendered from.
#[derive(Clone)]
struct Views {
    state: Arc<State>,
    answers: Arc<Answers>,
}

impl Web {
    /// The service, for [`serve`].
    pub fn into_router(self) -> Router {
        let prefix = self.external_url.as_ref().map_or("", |url| url.path().trim_end_matches('/')).to_string();
        let at = |path: &str| format!("{prefix}{path}");
        let views = Views { state: Arc::clone(&self.state), answers: Arc::new(Answers::new(Arc::clone(&self.state))) };
        // The path of a URL may hold what older routers took for a placeholder.
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
    let rendered = views.answers.to("metrics".to_string(), Holds::Once, &headers, render).await;
    rendered.unwrap_or_else(Refusal::into_text)
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

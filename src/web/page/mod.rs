//! The status page: is everything whole, and how fresh is that knowledge.

mod headline;
mod rows;

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::headline::Headline;
use self::rows::{FailureRow, RegistryRow, UnverifiedRow};
use super::Web;
use super::api::Refusal;
use crate::oci::Digest;
use crate::report::{ImageCounts, Outcome};
use crate::state::{Known, RegistryState};

/// Findings of each sort that the page shows; the API has all of them.
const MAX_ROWS: usize = 500;

const STYLE: &str = include_str!("../../../templates/status.css");

/// Allows the page's own style sheet, known by its hash, and nothing else.
pub static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Digest::sha256(STYLE.as_bytes()).as_bytes());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 is legal in a header")
});

/// `GET /`.
pub async fn status(State(web): State<Web>) -> Response {
    let watched: Vec<Watched> =
        web.state.registries().into_iter().map(|registry| Watched { known: registry.known(), registry }).collect();
    match Page::of(&watched, SystemTime::now()).render() {
        Ok(page) => Html(page).into_response(),
        Err(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_text(),
    }
}

/// A registry and what is known of it at the moment of the request.
struct Watched {
    registry: Arc<RegistryState>,
    known: Known,
}

impl Watched {
    /// Images of the last sweep; `None` if it could not look at any, which is not the same as zero.
    fn images(&self) -> Option<ImageCounts> {
        let report = self.known.report.as_deref()?;
        (report.outcome != Outcome::Failed || report.images.total() > 0).then_some(report.images)
    }
}

#[derive(Template)]
#[template(path = "status.html")]
struct Page<'a> {
    style: &'static str,
    version: &'static str,
    headline: Headline,
    registries: Vec<RegistryRow<'a>>,
    failures: Table<FailureRow<'a>>,
    unverified: Table<UnverifiedRow<'a>>,
}

/// The first rows of a list, and how many more it has.
struct Table<Row> {
    rows: Vec<Row>,
    omitted: usize,
}

impl<Row> Table<Row> {
    fn of(mut all: impl ExactSizeIterator<Item = Row>) -> Self {
        let rows: Vec<Row> = all.by_ref().take(MAX_ROWS).collect();
        Self { rows, omitted: all.len() }
    }

    fn total(&self) -> usize {
        self.rows.len() + self.omitted
    }
}

impl<'a> Page<'a> {
    fn of(watched: &'a [Watched], now: SystemTime) -> Self {
        let reports = || {
            watched
                .iter()
                .filter_map(|Watched { registry, known }| Some((registry.name.as_str(), known.report.as_deref()?)))
        };
        let failures: Vec<_> =
            reports().flat_map(|(name, report)| report.failures.iter().map(move |entry| (name, entry))).collect();
        let unverified: Vec<_> =
            reports().flat_map(|(name, report)| report.unverified.iter().map(move |entry| (name, entry))).collect();
        Self {
            style: STYLE,
            version: env!("CARGO_PKG_VERSION"),
            headline: Headline::of(watched, now),
            registries: watched.iter().map(|watched| RegistryRow::of(watched, now)).collect(),
            failures: Table::of(failures.into_iter().map(|(name, failure)| FailureRow::of(name, failure, now))),
            unverified: Table::of(unverified.into_iter().map(|(name, entry)| UnverifiedRow::of(name, entry))),
        }
    }
}

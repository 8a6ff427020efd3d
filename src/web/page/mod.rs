//! The pages: the overall state and its age, what is broken, and what to do. They render the state and work without
//! JavaScript, but then do not update.

mod assets;
mod events;
mod headline;
mod image;
mod links;
mod live;
mod moment;
mod problems;
mod registries;
mod search;
mod timeline;
mod watched;

use std::time::SystemTime;

use askama::Template;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State as Extracted};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use self::events::{Event, events};
use self::headline::{Headline, Standing};
use self::image::ImageView;
use self::live::{Watchers, generation};
use self::moment::clock;
use self::problems::{Problem, UnverifiedRow, problems};
use self::registries::RegistryCard;
use self::search::{Found, Parameters, Rows, Search, Show};
use self::timeline::Span;
use self::watched::Watched;
use super::api_error::ApiError;
use super::context::{Views, Web};
use super::rendered::Rendered;
use super::response_cache::Freshness;
use crate::oci::Image;
use crate::render::printable;
use crate::report::Reason;
use crate::state::State;

/// Problems on the overview; the search lists all.
const PROBLEMS_SHOWN: usize = 8;
/// Unverified objects on the overview.
const UNVERIFIED_SHOWN: usize = 8;
/// Registries on the overview.
const REGISTRIES_SHOWN: usize = 100;
/// Events on the overview.
const EVENTS_SHOWN: usize = 12;
/// Open pages that can receive updates at once.
const WATCHERS: usize = 64;

pub const CONTENT_SECURITY_POLICY: HeaderValue = assets::CONTENT_SECURITY_POLICY;

/// The pages and their resources.
pub fn router(prefix: &str, views: Views) -> Router<Web> {
    let at = |path: &str| format!("{prefix}{path}");
    Router::new()
        .without_v07_checks()
        .route(&at("/"), get(overview))
        .route(&at("/search"), get(search))
        .route(&at("/image"), get(image))
        .route(&at("/events"), get(live::events))
        .route(&at("/page.css"), get(assets::style))
        .route(&at("/page.js"), get(assets::script))
        .route(&at("/icon.svg"), get(assets::icon))
        .layer(Extension(Watchers::at_most(WATCHERS)))
        .with_state(views)
}

/// The parts that every page has.
struct Shell {
    version: &'static str,
    style: &'static str,
    script: &'static str,
    /// The page is out of date when this has changed.
    generation: u64,
    /// The service's clock, in seconds of Unix time.
    now: u64,
    query: String,
}

impl Shell {
    fn new(state: &State, query: &str) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            style: &assets::STYLE_ADDRESS,
            script: &assets::SCRIPT_ADDRESS,
            generation: generation(state),
            now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            query: printable(query),
        }
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    headline: Headline,
    problems: Vec<Problem>,
    problems_omitted: usize,
    failures: usize,
    unverified: Vec<UnverifiedRow>,
    unverified_omitted: usize,
    registries: Vec<RegistryCard>,
    registries_omitted: usize,
    events: Vec<Event>,
    events_omitted: usize,
    /// Start of the recorded history; `None` before the first sweep has finished.
    watched_since: Option<String>,
    span: Span,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OverviewQuery {
    days: String,
}

/// `GET /`.
async fn overview(
    Extracted(views): Extracted<Views>,
    query: Result<Query<OverviewQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    // An invalid time range must not hide the overview.
    let days = query.map(|Query(query)| query.days).unwrap_or_default();
    let span = Span::ALL.into_iter().find(|span| span.as_str() == days).unwrap_or(Span::Week);
    let render = move |state: &State| Ok(OverviewPage::of(state, span, SystemTime::now()).render()?);
    page(&views, format!("overview {}", span.as_str()), &headers, render).await
}

impl OverviewPage {
    fn of(state: &State, span: Span, now: SystemTime) -> Self {
        let watched = Watched::all(state);
        let groups = problems(&watched);
        let (events, events_omitted) = events(&watched, EVENTS_SHOWN, now);
        let unverified: Vec<_> = watched
            .iter()
            .flat_map(|one| {
                one.known.report.iter().flat_map(|it| &it.unverified).map(|entry| (&one.registry.name, entry))
            })
            .collect();
        Self {
            shell: Shell::new(state, ""),
            headline: Headline::of(&watched, state, now),
            problems: groups.iter().take(PROBLEMS_SHOWN).filter_map(|group| Problem::of(group, now)).collect(),
            problems_omitted: groups.len().saturating_sub(PROBLEMS_SHOWN),
            failures: watched.iter().map(|one| one.known.failures().len()).sum(),
            unverified_omitted: unverified.len().saturating_sub(UNVERIFIED_SHOWN),
            unverified: unverified
                .into_iter()
                .take(UNVERIFIED_SHOWN)
                .map(|(name, it)| UnverifiedRow::of(name, it))
                .collect(),
            registries: watched.iter().take(REGISTRIES_SHOWN).map(|one| RegistryCard::of(one, span, now)).collect(),
            registries_omitted: watched.len().saturating_sub(REGISTRIES_SHOWN),
            events,
            events_omitted,
            watched_since: watched_since(&watched, now),
            span,
        }
    }

    fn unverified_total(&self) -> usize {
        self.unverified.len() + self.unverified_omitted
    }

    fn standing(&self) -> Standing {
        self.headline.standing
    }

    fn section(&self) -> &'static str {
        "overview"
    }
}

fn watched_since(watched: &[Watched], now: SystemTime) -> Option<String> {
    let first = watched.iter().filter_map(|one| one.known.history.sweeps.front());
    first.map(|sweep| sweep.started_at).min().map(|at| clock(at, now))
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    shell: Shell,
    search: Search,
    found: Found,
    registries: Vec<String>,
    standing: Standing,
}

impl SearchPage {
    fn standing(&self) -> Standing {
        self.standing
    }

    fn is_chosen(&self, registry: &str) -> bool {
        registry == printable(&self.search.sent.registry)
    }

    fn section(&self) -> &'static str {
        if self.search.show == Show::Images { "images" } else { "findings" }
    }
}

/// `GET /search`.
async fn search(
    Extracted(views): Extracted<Views>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let search = match query.map_err(|rejection| rejection.body_text()).and_then(|Query(sent)| Search::parse(sent)) {
        Ok(search) => search,
        Err(why) => return NoPage::BadRequest { title: "Invalid search", why }.into_page(&views.state),
    };
    let question = format!("search {:?}", search.sent);
    let render = move |state: &State| {
        let (watched, now) = (Watched::all(state), SystemTime::now());
        let standing = watched.iter().map(|one| Standing::of(one, now)).max().unwrap_or(Standing::Unknown);
        let found = Found::of(&watched, &search, now);
        let registries = watched.iter().map(|one| printable(&one.registry.name)).collect();
        let shell = Shell::new(state, &search.sent.q);
        Ok(SearchPage { shell, found, registries, standing, search }.render()?)
    };
    page(&views, question, &headers, render).await
}

#[derive(Template)]
#[template(path = "image.html")]
struct ImagePage {
    shell: Shell,
    view: ImageView,
}

impl ImagePage {
    fn standing(&self) -> Standing {
        self.view.standing()
    }

    fn section(&self) -> &'static str {
        "image"
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ImageQuery {
    registry: String,
    image: String,
    part: String,
}

/// `GET /image`.
async fn image(
    Extracted(views): Extracted<Views>,
    query: Result<Query<ImageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = query.map_err(|rejection| rejection.body_text()).map(|Query(query)| query);
    let (query, image) = match query.and_then(|query| match query.image.parse::<Image>() {
        Ok(image) => Ok((query, image)),
        Err(error) => Err(format!("{error}.")),
    }) {
        Ok(asked) => asked,
        Err(why) => return NoPage::BadRequest { title: "Invalid image name", why }.into_page(&views.state),
    };
    let part = if query.part.is_empty() { Some(1) } else { query.part.parse::<usize>().ok().filter(|part| *part > 0) };
    let Some(part) = part else {
        let why = "The part must be a number from 1.".to_string();
        return NoPage::BadRequest { title: "Invalid part", why }.into_page(&views.state);
    };
    let question = format!("image {:?} {image} {part}", query.registry);
    let render = move |state: &State| {
        let registry = state.registry(&query.registry);
        let watched = registry.map(|registry| Watched { known: registry.known(), registry });
        let view = watched.and_then(|watched| ImageView::of(&watched, &image, part, SystemTime::now()));
        let Some(view) = view else {
            let why = format!(
                "No results for {image} in registry {}: it was deleted, or no sweep has seen it yet.",
                query.registry
            );
            return Err(NoPage::Unknown { title: "Unknown image", why });
        };
        Ok(ImagePage { shell: Shell::new(state, ""), view }.render()?)
    };
    page(&views, question, &headers, render).await
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    shell: Shell,
    title: &'static str,
    why: String,
}

impl MessagePage {
    fn standing(&self) -> Standing {
        Standing::Unknown
    }

    fn section(&self) -> &'static str {
        "message"
    }
}

/// Why a page cannot be shown.
#[derive(Debug)]
enum NoPage {
    /// The request is invalid.
    BadRequest { title: &'static str, why: String },
    /// There are no results for the requested image.
    Unknown { title: &'static str, why: String },
    /// Rendering failed.
    Failed(ApiError),
}

impl From<ApiError> for NoPage {
    fn from(refusal: ApiError) -> Self {
        Self::Failed(refusal)
    }
}

impl From<askama::Error> for NoPage {
    fn from(error: askama::Error) -> Self {
        Self::Failed(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }
}

impl NoPage {
    /// The error page.
    fn into_page(self, state: &State) -> Response {
        let (status, title, why) = match self {
            Self::BadRequest { title, why } => (StatusCode::BAD_REQUEST, title, why),
            Self::Unknown { title, why } => (StatusCode::NOT_FOUND, title, why),
            Self::Failed(refusal) => return refusal.into_text(),
        };
        match (MessagePage { shell: Shell::new(state, ""), title, why: printable(&why) }).render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(error) => Self::from(error).into_page(state),
        }
    }
}

/// Renders a page, or takes it from the cache. `question` is its cache key.
async fn page(
    views: &Views,
    question: String,
    request: &HeaderMap,
    render: impl FnOnce(&State) -> Result<String, NoPage> + Send + 'static,
) -> Response {
    let render = |state: &State| Ok(Rendered::text("text/html; charset=utf-8", render(state)?));
    let answered = views.responses.get_or_render(format!("page {question}"), Freshness::Briefly, request, render).await;
    answered.unwrap_or_else(|why: NoPage| why.into_page(&views.state))
}

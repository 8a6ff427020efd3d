//! The pages: is everything whole, how fresh is that knowledge, what is broken, and what to do. They render what is known
//! and judge nothing; without JavaScript they show the same, only not live.

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
use self::problems::{Problem, Unjudged, problems};
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

/// Problems that the first page shows; the search has all.
const PROBLEMS_SHOWN: usize = 8;
/// What could not be judged, on the first page.
const UNJUDGED_SHOWN: usize = 8;
/// Registries that the first page shows.
const REGISTRIES_SHOWN: usize = 100;
/// Events that the first page shows.
const EVENTS_SHOWN: usize = 12;
/// Pages that may follow live, at once.
const WATCHERS: usize = 64;

pub const CONTENT_SECURITY_POLICY: HeaderValue = assets::CONTENT_SECURITY_POLICY;

/// The pages and what they load.
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

/// What every page has.
struct Shell {
    version: &'static str,
    style: &'static str,
    script: &'static str,
    /// What the page shows is out of date when this has changed.
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
    unjudged: Vec<Unjudged>,
    unjudged_omitted: usize,
    registries: Vec<RegistryCard>,
    registries_omitted: usize,
    events: Vec<Event>,
    events_omitted: usize,
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
    // No span was chosen, or one that is none: the page that people come for is not refused for that.
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
        let unjudged: Vec<_> = watched
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
            unjudged_omitted: unjudged.len().saturating_sub(UNJUDGED_SHOWN),
            unjudged: unjudged.into_iter().take(UNJUDGED_SHOWN).map(|(name, it)| Unjudged::of(name, it)).collect(),
            registries: watched.iter().take(REGISTRIES_SHOWN).map(|one| RegistryCard::of(one, span, now)).collect(),
            registries_omitted: watched.len().saturating_sub(REGISTRIES_SHOWN),
            events,
            events_omitted,
            span,
        }
    }

    fn unjudged_total(&self) -> usize {
        self.unjudged.len() + self.unjudged_omitted
    }

    fn standing(&self) -> Standing {
        self.headline.standing
    }

    fn place(&self) -> &'static str {
        "overview"
    }
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

    fn place(&self) -> &'static str {
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
        Err(why) => return NoPage::BadRequest { title: "This search makes no sense", why }.told(&views.state),
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

    fn place(&self) -> &'static str {
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
        Err(why) => return NoPage::BadRequest { title: "This is no image", why }.told(&views.state),
    };
    let part = if query.part.is_empty() { Some(1) } else { query.part.parse::<usize>().ok().filter(|part| *part > 0) };
    let Some(part) = part else {
        let why = "A part of an image's tree has a number from 1 on.".to_string();
        return NoPage::BadRequest { title: "There is no such part", why }.told(&views.state);
    };
    let question = format!("image {:?} {image} {part}", query.registry);
    let render = move |state: &State| {
        let registry = state.registry(&query.registry);
        let watched = registry.map(|registry| Watched { known: registry.known(), registry });
        let view = watched.and_then(|watched| ImageView::of(&watched, &image, part, SystemTime::now()));
        let Some(view) = view else {
            let why = format!(
                "Nothing is known of {image} in the registry {}: it is gone, or no sweep has seen it yet.",
                query.registry
            );
            return Err(NoPage::Unknown { title: "This image is not known", why });
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

    fn place(&self) -> &'static str {
        "message"
    }
}

/// Why there is no page.
#[derive(Debug)]
enum NoPage {
    /// The request makes no sense.
    BadRequest { title: &'static str, why: String },
    /// It makes sense, and nothing is known of what it asks for.
    Unknown { title: &'static str, why: String },
    /// It could not be rendered.
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
    /// A page that says so.
    fn told(self, state: &State) -> Response {
        let (status, title, why) = match self {
            Self::BadRequest { title, why } => (StatusCode::BAD_REQUEST, title, why),
            Self::Unknown { title, why } => (StatusCode::NOT_FOUND, title, why),
            Self::Failed(refusal) => return refusal.into_text(),
        };
        match (MessagePage { shell: Shell::new(state, ""), title, why: printable(&why) }).render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(error) => Self::from(error).told(state),
        }
    }
}

/// A page, as it was rendered a moment ago or is now. `question` tells it from all others.
async fn page(
    views: &Views,
    question: String,
    request: &HeaderMap,
    render: impl FnOnce(&State) -> Result<String, NoPage> + Send + 'static,
) -> Response {
    let render = |state: &State| Ok(Rendered::text("text/html; charset=utf-8", render(state)?));
    let answered = views.responses.get_or_render(format!("page {question}"), Freshness::Briefly, request, render).await;
    answered.unwrap_or_else(|why: NoPage| why.told(&views.state))
}

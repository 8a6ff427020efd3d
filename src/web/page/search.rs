//! `GET /search`: failures, unverified objects and images, filtered by words, registry and reason, in pages.

use std::time::SystemTime;

use serde::Deserialize;

use super::links::{ImageLink, Name, address};
use super::moment::{Moment, range};
use super::problems::{RESOLVED, UnverifiedRow, onset, sentence};
use super::watched::Watched;
use crate::render::printable;
use crate::report::{Failure, Reason, Unverified};
use crate::state::images::{self, ImageSummary};

/// Rows of one page.
pub const ROWS: usize = 50;
/// Images listed in a row.
const IMAGES_SHOWN: usize = 3;
/// Maximum length of a search in bytes.
const MAX_LENGTH: usize = 500;

/// What the search lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Open failures.
    Broken,
    /// Unverified objects.
    Unverified,
    /// Resolved failures.
    Resolved,
    /// Images in any state.
    Images,
}

impl Show {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Broken, Self::Unverified, Self::Resolved, Self::Images];

    /// The value of `show` in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Unverified => "unverified",
            Self::Resolved => "resolved",
            Self::Images => "images",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Broken);
        }
        let known = Self::ALL.into_iter().find(|show| show.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is not one of broken, unverified, resolved and images."))
    }

    /// The heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Broken => "Broken",
            Self::Unverified => "Unverified",
            Self::Resolved => "Resolved",
            Self::Images => "Images",
        }
    }
}

/// The query parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Words that must all match.
    pub q: String,
    pub registry: String,
    pub reason: String,
    pub show: String,
    pub page: String,
}

/// A validated search.
#[derive(Clone, Debug)]
pub struct Search {
    /// The query parameters.
    pub sent: Parameters,
    words: Vec<String>,
    reason: Option<Reason>,
    pub show: Show,
    page: usize,
}

impl Search {
    /// Validates the query parameters.
    ///
    /// # Errors
    ///
    /// A message for the user.
    pub fn parse(sent: Parameters) -> Result<Self, String> {
        if sent.q.len() > MAX_LENGTH {
            return Err(format!("A search has at most {MAX_LENGTH} bytes."));
        }
        let reason = Some(&sent.reason).filter(|text| !text.is_empty()).map(|text| text.parse()).transpose();
        let page = if sent.page.is_empty() { Ok(1) } else { sent.page.parse::<usize>() };
        Ok(Self {
            words: sent.q.split_whitespace().map(str::to_lowercase).collect(),
            reason: reason.map_err(|error: String| format!("The reason {error}."))?,
            show: Show::parse(&sent.show)?,
            page: page.ok().filter(|page| *page > 0).ok_or("The page must be a number from 1.")?,
            sent,
        })
    }

    fn admits_registry(&self, watched: &Watched) -> bool {
        let (sent, name) = (&self.sent.registry, &watched.registry.name);
        // Forms send the printable name, links the original one.
        sent.is_empty() || sent == name || *sent == printable(name)
    }

    /// True if every word occurs in a text or an image.
    fn finds(&self, watched: &Watched, texts: &[&str], images: &[String]) -> bool {
        // A pasted reference may start with the registry's host.
        let host = watched.registry.url.split_once("://").map_or("", |(_, host)| host.trim_end_matches('/'));
        let in_image = |image: &String, word: &str| {
            let image = image.to_lowercase();
            image.contains(word) || format!("{host}/{image}").contains(word)
        };
        self.words.iter().all(|word| {
            texts.iter().any(|text| text.to_lowercase().contains(word.as_str()))
                || images.iter().any(|image| in_image(image, word))
        })
    }

    fn admits(&self, watched: &Watched, failure: &Failure) -> bool {
        if self.reason.is_some_and(|reason| reason != failure.reason) {
            return false;
        }
        if self.words.is_empty() {
            return true;
        }
        let images: Vec<String> = failure.images.iter().map(ToString::to_string).collect();
        let digests = failure.path.iter().map(String::as_str);
        let own = failure.reference();
        let texts: Vec<&str> = [
            own.as_str(),
            &failure.repository,
            failure.reason.as_str(),
            failure.kind.as_str(),
            failure.platform.as_deref().unwrap_or_default(),
            &watched.registry.name,
        ]
        .into_iter()
        .chain(digests)
        .collect();
        self.finds(watched, &texts, &images)
    }

    fn admits_unverified(&self, watched: &Watched, entry: &Unverified) -> bool {
        if self.reason.is_some() {
            return false;
        }
        let images: Vec<String> = entry.images.iter().map(ToString::to_string).collect();
        let kind = entry.kind.map_or("list", |kind| kind.as_str());
        let repository = entry.repository.as_deref().unwrap_or("catalog");
        let texts = [repository, &entry.reference, entry.cause.as_str(), kind, &watched.registry.name];
        self.words.is_empty() || self.finds(watched, &texts, &images)
    }

    fn admits_image(&self, watched: &Watched, image: &ImageSummary) -> bool {
        let digest = image.digest.as_ref().map(ToString::to_string).unwrap_or_default();
        let texts = [digest.as_str(), image.state.as_str(), &watched.registry.name];
        self.words.is_empty() || self.finds(watched, &texts, &[image.image.to_string()])
    }

    /// True if the results can be filtered by reason.
    pub fn has_reasons(&self) -> bool {
        matches!(self.show, Show::Broken | Show::Resolved)
    }

    /// True if a filter is set.
    pub fn is_narrow(&self) -> bool {
        let Parameters { q, registry, reason, .. } = &self.sent;
        [q, registry, reason].into_iter().any(|text| !text.is_empty())
    }

    /// The message for an empty list.
    pub fn empty_text(&self) -> &'static str {
        match self.show {
            Show::Broken => "No open failures.",
            Show::Unverified => "The last sweeps verified everything.",
            Show::Resolved => "No resolved failures yet.",
            Show::Images => "No images yet. They appear after the first sweep.",
        }
    }

    /// The address of another tab or page of the same search.
    fn address(&self, show: Show, page: usize) -> String {
        let Parameters { q, registry, reason, .. } = &self.sent;
        let page = if page > 1 { page.to_string() } else { String::new() };
        let reason = if matches!(show, Show::Broken | Show::Resolved) { reason } else { "" };
        address(
            "search",
            &[("q", q), ("registry", registry), ("reason", reason), ("show", show.as_str()), ("page", &page)],
        )
    }
}

/// The results of a search.
pub struct Found {
    pub tabs: Vec<Tab>,
    pub rows: Rows,
    pub total: usize,
    /// The first and the last row, starting at 1.
    pub first: usize,
    pub last: usize,
    pub earlier: Option<String>,
    pub later: Option<String>,
}

/// A tab with its number of results.
pub struct Tab {
    pub title: &'static str,
    pub address: String,
    pub count: usize,
    pub is_current: bool,
}

/// The rows of the current tab.
pub enum Rows {
    Failures(Vec<FailureRow>),
    Unverified(Vec<UnverifiedRow>),
    Images(Vec<ImageRow>),
}

/// A failure in a row.
pub struct FailureRow {
    pub registry: String,
    pub images: Vec<ImageLink>,
    pub images_omitted: usize,
    pub sentence: String,
    pub reason: Reason,
    pub digest: Name,
    pub detail: String,
    pub first_seen: Moment,
    /// When it broke, and for a resolved failure also when it was resolved.
    pub when: String,
}

/// An image in a row.
pub struct ImageRow {
    pub registry: String,
    pub link: ImageLink,
    pub state: &'static str,
    pub digest: Option<Name>,
}

impl FailureRow {
    fn of(watched: &Watched, failure: &Failure, now: SystemTime) -> Self {
        let Watched { registry, known } = watched;
        Self {
            registry: printable(&registry.name),
            images: failure.images.iter().take(IMAGES_SHOWN).map(|it| ImageLink::new(&registry.name, it)).collect(),
            images_omitted: failure.images.len().saturating_sub(IMAGES_SHOWN),
            sentence: sentence(failure),
            reason: failure.reason,
            digest: Name::new(&failure.reference()),
            detail: printable(&failure.detail),
            first_seen: Moment::new(failure.first_seen, now),
            when: onset(&known.history, failure, now),
        }
    }
}

/// Counts all results and selects those of one page.
struct Window {
    skip: usize,
    total: usize,
}

impl Window {
    /// Counts a result; true if it is on the page.
    fn take(&mut self) -> bool {
        let place = self.total;
        self.total += 1;
        (self.skip..self.skip.saturating_add(ROWS)).contains(&place)
    }
}

/// The rows and the number of results of every tab.
struct Collected<'a> {
    search: &'a Search,
    now: SystemTime,
    windows: [Window; Show::ALL.len()],
    broken: Vec<FailureRow>,
    unverified: Vec<UnverifiedRow>,
    resolved: Vec<FailureRow>,
    images: Vec<ImageRow>,
}

impl Collected<'_> {
    fn add_failures(&mut self, watched: &Watched) {
        let (search, now) = (self.search, self.now);
        for failure in watched.known.failures().iter().filter(|failure| search.admits(watched, failure)) {
            if self.windows[Show::Broken as usize].take() {
                self.broken.push(FailureRow::of(watched, failure, now));
            }
        }
        let history = &watched.known.history;
        // The most recently resolved failure comes first.
        for life in history.resolved.iter().rev().filter(|life| search.admits(watched, &life.failure)) {
            if self.windows[Show::Resolved as usize].take() {
                let resolved = range(life.failure.last_seen, life.disproved_at, now);
                let when = format!("{}; {RESOLVED} ({resolved})", onset(history, &life.failure, now));
                self.resolved.push(FailureRow { when, ..FailureRow::of(watched, &life.failure, now) });
            }
        }
    }

    fn add_unverified(&mut self, watched: &Watched) {
        let search = self.search;
        let entries = watched.known.report.iter().flat_map(|report| &report.unverified);
        for entry in entries.filter(|entry| search.admits_unverified(watched, entry)) {
            if self.windows[Show::Unverified as usize].take() {
                self.unverified.push(UnverifiedRow::of(&watched.registry.name, entry));
            }
        }
    }

    fn add_images(&mut self, watched: &Watched) {
        let (search, registry) = (self.search, &watched.registry.name);
        let window = &mut self.windows[Show::Images as usize];
        if search.words.is_empty() && search.show != Show::Images {
            // Only their number is needed, and the report has it.
            window.total += usize::try_from(watched.images().unwrap_or_default().total()).unwrap_or(usize::MAX);
            return;
        }
        let all = images::list(&watched.registry, None).into_iter();
        for image in all.filter(|image| search.admits_image(watched, image)) {
            if window.take() {
                self.images.push(ImageRow {
                    registry: printable(registry),
                    link: ImageLink::new(registry, &image.image),
                    state: image.state.as_str(),
                    digest: image.digest.map(|digest| Name::new(&digest.to_string())),
                });
            }
        }
    }
}

impl Found {
    /// Runs a search over some registries.
    pub fn of(watched: &[Watched], search: &Search, now: SystemTime) -> Self {
        let windows = Show::ALL.map(|_| Window { skip: (search.page - 1).saturating_mul(ROWS), total: 0 });
        let mut collected = Collected {
            search,
            now,
            windows,
            broken: Vec::new(),
            unverified: Vec::new(),
            resolved: Vec::new(),
            images: Vec::new(),
        };
        for one in watched.iter().filter(|one| search.admits_registry(one)) {
            collected.add_failures(one);
            collected.add_unverified(one);
            collected.add_images(one);
        }
        let Collected { windows, broken, unverified, resolved, images, .. } = collected;
        let Window { skip, total } = windows[search.show as usize];
        let (count, rows) = match search.show {
            Show::Broken => (broken.len(), Rows::Failures(broken)),
            Show::Unverified => (unverified.len(), Rows::Unverified(unverified)),
            Show::Resolved => (resolved.len(), Rows::Failures(resolved)),
            Show::Images => (images.len(), Rows::Images(images)),
        };
        let tabs = Show::ALL.map(|show| Tab {
            title: show.title(),
            address: search.address(show, 1),
            count: windows[show as usize].total,
            is_current: show == search.show,
        });
        Self {
            tabs: tabs.into(),
            rows,
            total,
            first: skip.saturating_add(1),
            last: skip.saturating_add(count),
            earlier: (search.page > 1)
                .then(|| search.address(search.show, (search.page - 1).min(total.div_ceil(ROWS)))),
            later: (skip.saturating_add(count) < total && count > 0)
                .then(|| search.address(search.show, search.page + 1)),
        }
    }
}

//! `GET /search`: everything that is known, narrowed by words, registry and reason, some rows at a time.

use std::time::SystemTime;

use serde::Deserialize;

use super::links::{ImageLink, Name, address};
use super::moment::{Moment, between};
use super::problems::{Unjudged, onset, sentence};
use super::watched::Watched;
use crate::render::printable;
use crate::report::{Failure, Reason, Unverified};
use crate::state::images::{self, ImageSummary};

/// Rows of one page.
pub const ROWS: usize = 50;
/// Images that a row names.
const IMAGES_SHOWN: usize = 3;
/// A longer search says nothing.
const LONGEST: usize = 500;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Failures that are known now.
    Broken,
    /// What could not be judged.
    Unverified,
    /// Failures that are over.
    Mended,
    /// Images, whatever their state.
    Images,
}

impl Show {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Broken, Self::Unverified, Self::Mended, Self::Images];

    /// As it stands in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Unverified => "unverified",
            Self::Mended => "mended",
            Self::Images => "images",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Broken);
        }
        let known = Self::ALL.into_iter().find(|show| show.as_str() == text);
        known.ok_or_else(|| format!("{text:?} cannot be shown; broken, unverified, mended and images can."))
    }

    /// Above the rows.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Broken => "Broken",
            Self::Unverified => "Not verified",
            Self::Mended => "Mended",
            Self::Images => "Images",
        }
    }
}

/// The query as it was sent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Words that must all occur.
    pub q: String,
    pub registry: String,
    pub reason: String,
    pub show: String,
    pub page: String,
}

/// A search that makes sense.
#[derive(Clone, Debug)]
pub struct Search {
    /// As it was sent.
    pub sent: Parameters,
    words: Vec<String>,
    reason: Option<Reason>,
    pub show: Show,
    page: usize,
}

impl Search {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// What makes no sense in it, in words.
    pub fn parse(sent: Parameters) -> Result<Self, String> {
        if sent.q.len() > LONGEST {
            return Err(format!("A search has at most {LONGEST} bytes."));
        }
        let reason = Some(&sent.reason).filter(|text| !text.is_empty()).map(|text| text.parse()).transpose();
        let page = if sent.page.is_empty() { Ok(1) } else { sent.page.parse::<usize>() };
        Ok(Self {
            words: sent.q.split_whitespace().map(str::to_lowercase).collect(),
            reason: reason.map_err(|error: String| format!("The reason {error}."))?,
            show: Show::parse(&sent.show)?,
            page: page.ok().filter(|page| *page > 0).ok_or("A page has a number from 1 on.")?,
            sent,
        })
    }

    fn admits_registry(&self, watched: &Watched) -> bool {
        let (sent, name) = (&self.sent.registry, &watched.registry.name);
        // Forms send the name as it is shown, links as it is.
        sent.is_empty() || sent == name || *sent == printable(name)
    }

    /// True if all words occur in one of the texts.
    fn finds(&self, watched: &Watched, texts: &[&str], images: &[String]) -> bool {
        // Whoever pastes a full reference means the image in this registry.
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

    fn admits_unjudged(&self, watched: &Watched, entry: &Unverified) -> bool {
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

    /// True if a reason can narrow what is shown.
    pub fn has_reasons(&self) -> bool {
        matches!(self.show, Show::Broken | Show::Mended)
    }

    /// True if it asks for less than everything.
    pub fn is_narrow(&self) -> bool {
        let Parameters { q, registry, reason, .. } = &self.sent;
        [q, registry, reason].into_iter().any(|text| !text.is_empty())
    }

    /// What it means that there is nothing at all.
    pub fn nothing(&self) -> &'static str {
        match self.show {
            Show::Broken => "No failure is known.",
            Show::Unverified => "The last sweeps could judge everything that they were to look at.",
            Show::Mended => "Nothing that was broken has been mended since this began to look.",
            Show::Images => "No image is known yet. The first sweep that ends names them.",
        }
    }

    /// The address of the same search, elsewhere.
    fn address(&self, show: Show, page: usize) -> String {
        let Parameters { q, registry, reason, .. } = &self.sent;
        let page = if page > 1 { page.to_string() } else { String::new() };
        let reason = if matches!(show, Show::Broken | Show::Mended) { reason } else { "" };
        address(
            "search",
            &[("q", q), ("registry", registry), ("reason", reason), ("show", show.as_str()), ("page", &page)],
        )
    }
}

/// What a search found.
pub struct Found {
    pub tabs: Vec<Tab>,
    pub rows: Rows,
    pub total: usize,
    /// The numbers of the first and the last row, from 1 on.
    pub first: usize,
    pub last: usize,
    pub earlier: Option<String>,
    pub later: Option<String>,
}

/// One sort of what can be looked for.
pub struct Tab {
    pub title: &'static str,
    pub address: String,
    pub count: usize,
    pub is_current: bool,
}

/// The rows of one sort.
pub enum Rows {
    Failures(Vec<FailureRow>),
    Unjudged(Vec<Unjudged>),
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
    /// `broke between …`, or how long it lasted.
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

/// Counts everything that a search finds, and makes rows of one page of it.
struct Window {
    skip: usize,
    total: usize,
}

impl Window {
    /// True for a row of the page.
    fn take(&mut self) -> bool {
        let place = self.total;
        self.total += 1;
        (self.skip..self.skip.saturating_add(ROWS)).contains(&place)
    }
}

impl Found {
    /// Looks through everything.
    pub fn of(watched: &[Watched], search: &Search, now: SystemTime) -> Self {
        let watched: Vec<&Watched> = watched.iter().filter(|one| search.admits_registry(one)).collect();
        let mut windows = Show::ALL.map(|_| Window { skip: (search.page - 1).saturating_mul(ROWS), total: 0 });
        let (mut broken, mut unjudged, mut mended, mut images) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for one in &watched {
            let registry = &one.registry.name;
            for failure in one.known.failures().iter().filter(|failure| search.admits(one, failure)) {
                if windows[Show::Broken as usize].take() {
                    broken.push(FailureRow::of(one, failure, now));
                }
            }
            let entries = one.known.report.iter().flat_map(|report| &report.unverified);
            for entry in entries.filter(|entry| search.admits_unjudged(one, entry)) {
                if windows[Show::Unverified as usize].take() {
                    unjudged.push(Unjudged::of(registry, entry));
                }
            }
            // The last that was mended comes first.
            for life in one.known.history.resolved.iter().rev().filter(|life| search.admits(one, &life.failure)) {
                if windows[Show::Mended as usize].take() {
                    let over = between(life.failure.last_seen, life.disproved_at, now);
                    let when = format!(
                        "{}; whole again, or not needed any more, {over}",
                        onset(&one.known.history, &life.failure, now)
                    );
                    mended.push(FailureRow { when, ..FailureRow::of(one, &life.failure, now) });
                }
            }
            let window = &mut windows[Show::Images as usize];
            if search.words.is_empty() && search.show != Show::Images {
                // Nobody asks for them by name: their number is known without looking at each.
                window.total += usize::try_from(one.images().unwrap_or_default().total()).unwrap_or(usize::MAX);
                continue;
            }
            for image in images::list(&one.registry, None).into_iter().filter(|image| search.admits_image(one, image)) {
                if window.take() {
                    images.push(ImageRow {
                        registry: printable(registry),
                        link: ImageLink::new(registry, &image.image),
                        state: image.state.as_str(),
                        digest: image.digest.map(|digest| Name::new(&digest.to_string())),
                    });
                }
            }
        }
        let Window { skip, total } = windows[search.show as usize];
        let (count, rows) = match search.show {
            Show::Broken => (broken.len(), Rows::Failures(broken)),
            Show::Unverified => (unjudged.len(), Rows::Unjudged(unjudged)),
            Show::Mended => (mended.len(), Rows::Failures(mended)),
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

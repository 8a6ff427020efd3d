//! The answer at the top of the page.

use std::time::SystemTime;

use super::Watched;
use super::rows::{Moment, counted};
use crate::output::Verdict;
use crate::report::ImageCounts;

/// A result that is older than this many intervals is out of date, as for the alert `RegistryIntegrityProbeStale`.
const STALE_INTERVALS: u32 = 3;
/// Registries that a line names.
const MAX_NAMES: usize = 5;

/// How a registry stands, in the order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Everything was judged and is whole.
    Intact,
    /// It was so, but long ago.
    Stale,
    /// Something could not be judged.
    Unverified,
    /// Nobody has looked yet.
    Unknown,
    /// Something is known bad.
    Broken,
}

impl Standing {
    /// How a registry stands now.
    pub fn of(Watched { registry, known }: &Watched, now: SystemTime) -> Self {
        let limit = registry.interval() * STALE_INTERVALS;
        let is_stale = || known.last_sweep.is_none_or(|at| now.duration_since(at).unwrap_or_default() > limit);
        match known.report.as_deref().map(Verdict::of) {
            None => Self::Unknown,
            Some(Verdict::Broken) => Self::Broken,
            Some(Verdict::Unverified) => Self::Unverified,
            Some(Verdict::Intact) if is_stale() => Self::Stale,
            Some(Verdict::Intact) => Self::Intact,
        }
    }

    /// The word, which is also the name of the style.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Stale => "stale",
            Self::Unverified => "unverified",
            Self::Unknown => "unknown",
            Self::Broken => "broken",
        }
    }
}

/// Whether everything is whole, and how fresh that knowledge is.
pub struct Headline {
    /// How the worst registry stands.
    pub standing: Standing,
    /// The answer.
    pub title: String,
    /// What else one must know to trust it.
    pub lines: Vec<String>,
}

impl Headline {
    /// The headline over some registries.
    pub fn of(watched: &[Watched], now: SystemTime) -> Self {
        let standings: Vec<(Standing, &Watched)> = watched.iter().map(|one| (Standing::of(one, now), one)).collect();
        let Some(worst) = standings.iter().map(|(standing, _)| *standing).max() else {
            let title = "No registry is configured".to_string();
            return Self { standing: Standing::Unknown, title, lines: Vec::new() };
        };
        let images = sum_of_images(watched);
        let broken = images.unwrap_or_default().broken;
        let title = match worst {
            Standing::Broken => format!("{} broken", counted(broken, "image")),
            Standing::Unknown => "Not known yet".to_string(),
            Standing::Unverified => "Not everything could be verified".to_string(),
            Standing::Stale => "Everything was intact, but that is long ago".to_string(),
            Standing::Intact => "Everything is intact".to_string(),
        };
        let mut lines = Vec::new();
        if let Some(images) = images {
            let ImageCounts { intact, broken, unverified } = images;
            let total = counted(images.total(), "image");
            lines.push(format!("{total}: {intact} intact, {broken} broken, {unverified} unverified."));
        }
        lines.extend(freshness(watched, now));
        let names_of = |standing| names(standings.iter().filter(|one| one.0 == standing).map(|one| one.1));
        lines.extend(names_of(Standing::Unknown).map(|names| format!("Not looked at yet: {names}.")));
        lines.extend(names_of(Standing::Unverified).map(|names| format!("Not verified as a whole: {names}.")));
        lines
            .extend(names_of(Standing::Stale).map(|names| format!("Older than {STALE_INTERVALS} intervals: {names}.")));
        Self { standing: worst, title, lines }
    }
}

fn sum_of_images(watched: &[Watched]) -> Option<ImageCounts> {
    watched.iter().filter_map(Watched::images).reduce(|a, b| ImageCounts {
        intact: a.intact + b.intact,
        broken: a.broken + b.broken,
        unverified: a.unverified + b.unverified,
    })
}

fn freshness(watched: &[Watched], now: SystemTime) -> Option<String> {
    let (at, name) =
        watched.iter().filter_map(|one| Some((one.known.last_sweep?, one.registry.name.as_str()))).min()?;
    let ago = Moment::new(at, now).ago;
    Some(if watched.len() == 1 {
        format!("Last looked at {ago}.")
    } else {
        format!("Oldest of these results: {name}, {ago}.")
    })
}

fn names<'a>(watched: impl Iterator<Item = &'a Watched>) -> Option<String> {
    let names: Vec<&str> = watched.map(|one| one.registry.name.as_str()).collect();
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        all if all > MAX_NAMES => Some(format!("{shown} and {} more", all - MAX_NAMES)),
        _ => Some(shown),
    }
}

//! The top of the page: the overall state and its age.

use std::time::SystemTime;

use super::moment::{Moment, counted};
use super::watched::Watched;
use crate::render::printable;
use crate::report::Verdict;
use crate::report::{Cause, ImageCounts};
use crate::state::State;

/// A result older than this many intervals is stale, as for the alert `RegistryIntegrityProbeStale`.
const STALE_INTERVALS: u32 = 3;
/// Registries listed in a line.
const MAX_NAMES: usize = 5;

/// The state of a registry, in increasing order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Everything was verified and is intact.
    Intact,
    /// Everything was intact, but the result is out of date.
    Stale,
    /// There was no image to check.
    Empty,
    /// Something could not be verified.
    Unverified,
    /// No sweep has finished yet.
    Unknown,
    /// Something is broken.
    Broken,
}

impl Standing {
    /// All states.
    pub const ALL: [Self; 6] = [Self::Intact, Self::Stale, Self::Empty, Self::Unverified, Self::Unknown, Self::Broken];

    /// The current state of a registry.
    pub fn of(watched: &Watched, now: SystemTime) -> Self {
        match watched.known.report.as_deref().map(Verdict::of) {
            None => Self::Unknown,
            Some(Verdict::Broken) => Self::Broken,
            Some(Verdict::Unverified) => Self::Unverified,
            Some(Verdict::Empty) => Self::Empty,
            Some(Verdict::Intact) if is_stale(watched, now) => Self::Stale,
            Some(Verdict::Intact) => Self::Intact,
        }
    }

    /// The word, which is also the CSS class.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Stale => "stale",
            Self::Empty => "empty",
            Self::Unverified => "unverified",
            Self::Unknown => "unknown",
            Self::Broken => "broken",
        }
    }
}

/// True if the last sweep of a registry is out of date.
pub fn is_stale(Watched { registry, known }: &Watched, now: SystemTime) -> bool {
    let limit = registry.interval() * STALE_INTERVALS;
    known.last_sweep.is_none_or(|at| now.duration_since(at).unwrap_or_default() > limit)
}

/// The overall state and its age.
pub struct Headline {
    /// The state of the worst registry.
    pub standing: Standing,
    /// The heading.
    pub title: String,
    /// The oldest result, with its registry if there are several.
    pub oldest: Option<(Moment, Option<String>)>,
    /// When everything was last intact, unless it is now.
    pub last_success: Option<Moment>,
    /// Details that qualify the heading.
    pub lines: Vec<String>,
    /// What to do.
    pub advice: Vec<&'static str>,
}

impl Headline {
    /// The headline over some registries.
    pub fn of(watched: &[Watched], state: &State, now: SystemTime) -> Self {
        let standings: Vec<(Standing, &Watched)> = watched.iter().map(|one| (Standing::of(one, now), one)).collect();
        let worst = standings.iter().map(|(standing, _)| *standing).max();
        let images = sum_of_images(watched);
        let title = match worst {
            None => "No registry is configured".to_string(),
            Some(Standing::Broken) => format!("{} broken", counted(images.unwrap_or_default().broken, "image")),
            Some(Standing::Unknown) => "First sweep in progress".to_string(),
            Some(Standing::Unverified) => "Not everything could be verified".to_string(),
            Some(Standing::Empty) => "EMPTY: no image was checked".to_string(),
            Some(Standing::Stale) => "Everything was intact, but the result is out of date".to_string(),
            Some(Standing::Intact) => "Everything is intact".to_string(),
        };
        let mut lines = Vec::new();
        if let Some(ImageCounts { intact, broken, unverified }) = images {
            let total = counted(intact + broken + unverified, "image");
            lines.push(format!("{total}: {intact} intact, {broken} broken, {unverified} unverified."));
        }
        let named = |wanted: &dyn Fn(Standing, &Watched) -> bool| {
            names(standings.iter().filter(|(standing, one)| wanted(*standing, one)).map(|it| it.1))
        };
        let unknown = named(&|standing, _| standing == Standing::Unknown);
        lines.extend(unknown.map(|names| format!("Waiting for first results from: {names}.")));
        let empty = named(&|_, one| one.known.report.as_deref().is_some_and(|report| report.empty));
        lines.extend(empty.map(|names| format!("EMPTY, no image was checked: {names}.")));
        let unverified = named(&|standing, one| {
            let found = one.known.report.as_deref().is_some_and(|report| !report.unverified.is_empty());
            found || standing == Standing::Unverified
        });
        lines.extend(unverified.map(|names| format!("Not completely verified: {names}.")));
        let stale = named(&|standing, one| standing != Standing::Unknown && is_stale(one, now));
        lines.extend(stale.map(|names| format!("Last sweep older than {STALE_INTERVALS} intervals: {names}.")));
        lines.extend(state.shard().map(|shard| format!("This is shard {shard}. It checks only its own repositories.")));
        if let Some(reload) = state.last_reload().filter(|reload| !reload.is_successful()) {
            let since = Moment::new(reload.last_success, now).exact;
            lines.push(format!(
                "The last configuration reload failed. The configuration of {since} is still in use. See the log."
            ));
        }
        Self {
            standing: worst.unwrap_or(Standing::Unknown),
            title,
            oldest: oldest(watched, now),
            last_success: last_success(watched, now).filter(|_| worst != Some(Standing::Intact)),
            lines,
            advice: advice(watched, worst),
        }
    }
}

/// What to do if nothing is broken.
fn advice(watched: &[Watched], worst: Option<Standing>) -> Vec<&'static str> {
    match worst {
        None => vec!["Start with --registry URL, or add the registry to the file of --config.file."],
        Some(Standing::Unknown) => vec!["This page updates automatically."],
        Some(Standing::Stale) => {
            vec!["Sweeps no longer finish. Check this program's log and its CPU limit."]
        }
        Some(Standing::Empty) => {
            vec![
                "If there should be images: check the registry's storage, and the filters and credentials in the configuration.",
            ]
        }
        Some(Standing::Unverified) => {
            let causes = |one: &Watched| -> Vec<Cause> {
                one.known.report.iter().flat_map(|report| &report.unverified).map(|entry| entry.cause).collect()
            };
            let causes: std::collections::BTreeSet<Cause> = watched.iter().flat_map(causes).collect();
            causes.into_iter().map(crate::render::remedy::after_unverified).collect()
        }
        Some(Standing::Intact | Standing::Broken) => Vec::new(),
    }
}

fn sum_of_images(watched: &[Watched]) -> Option<ImageCounts> {
    watched.iter().filter_map(Watched::images).reduce(|a, b| ImageCounts {
        intact: a.intact + b.intact,
        broken: a.broken + b.broken,
        unverified: a.unverified + b.unverified,
    })
}

fn oldest(watched: &[Watched], now: SystemTime) -> Option<(Moment, Option<String>)> {
    let (at, name) = watched.iter().filter_map(|one| Some((one.known.last_sweep?, &one.registry.name))).min()?;
    Some((Moment::new(at, now), (watched.len() > 1).then(|| printable(name))))
}

/// `None` if one registry has never been fully intact.
fn last_success(watched: &[Watched], now: SystemTime) -> Option<Moment> {
    let all: Option<Vec<SystemTime>> = watched.iter().map(|one| one.known.last_success).collect();
    all?.into_iter().min().map(|at| Moment::new(at, now))
}

fn names<'a>(watched: impl Iterator<Item = &'a Watched>) -> Option<String> {
    let names: Vec<String> = watched.map(|one| printable(&one.registry.name)).collect();
    let listed = names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        all if all > MAX_NAMES => Some(format!("{listed} and {} more", all - MAX_NAMES)),
        _ => Some(listed),
    }
}

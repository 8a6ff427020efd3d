//! The answer at the top of the page: is everything whole, and how fresh is that knowledge.

use std::time::SystemTime;

use super::moment::{Moment, counted};
use super::watched::Watched;
use crate::render::printable;
use crate::report::Verdict;
use crate::report::{Cause, ImageCounts};
use crate::state::State;

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
    /// There was no image to check.
    Empty,
    /// Something could not be judged.
    Unverified,
    /// Nobody has looked yet.
    Unknown,
    /// Something is known bad.
    Broken,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Intact, Self::Stale, Self::Empty, Self::Unverified, Self::Unknown, Self::Broken];

    /// How a registry stands now.
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

    /// The word, which is also the name of the style.
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

/// True if what is known of a registry is older than it should be.
pub fn is_stale(Watched { registry, known }: &Watched, now: SystemTime) -> bool {
    let limit = registry.interval() * STALE_INTERVALS;
    known.last_sweep.is_none_or(|at| now.duration_since(at).unwrap_or_default() > limit)
}

/// Whether everything is whole, and how fresh that knowledge is.
pub struct Headline {
    /// How the worst registry stands.
    pub standing: Standing,
    /// The answer.
    pub title: String,
    /// How old the oldest result is, and whose it is unless there is only one.
    pub looked: Option<(Moment, Option<String>)>,
    /// When everything was intact for the last time, unless it is now.
    pub last_success: Option<Moment>,
    /// What else one must know to trust it.
    pub lines: Vec<String>,
    /// What to do about that.
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
            Some(Standing::Unknown) => "Not known yet".to_string(),
            Some(Standing::Unverified) => "Not everything could be verified".to_string(),
            Some(Standing::Empty) => "EMPTY: no image was checked".to_string(),
            Some(Standing::Stale) => "Everything was intact, but that is long ago".to_string(),
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
        lines.extend(unknown.map(|names| format!("Not looked at yet: {names}.")));
        let empty = named(&|_, one| one.known.report.as_deref().is_some_and(|report| report.empty));
        lines.extend(empty.map(|names| format!("EMPTY, no image was checked: {names}.")));
        let unverified = named(&|standing, one| {
            let found = one.known.report.as_deref().is_some_and(|report| !report.unverified.is_empty());
            found || standing == Standing::Unverified
        });
        lines.extend(unverified.map(|names| format!("Not verified as a whole: {names}.")));
        let stale = named(&|standing, one| standing != Standing::Unknown && is_stale(one, now));
        lines.extend(stale.map(|names| format!("Older than {STALE_INTERVALS} intervals: {names}.")));
        lines.extend(state.shard().map(|shard| format!("This is shard {shard}: it sees its own repositories alone.")));
        if let Some(reload) = state.last_reload().filter(|reload| !reload.is_successful()) {
            let since = Moment::new(reload.last_success, now).exact;
            lines.push(format!(
                "The configuration could not be reloaded; the one of {since} is in use. The log says why."
            ));
        }
        Self {
            standing: worst.unwrap_or(Standing::Unknown),
            title,
            looked: oldest(watched, now),
            last_success: last_success(watched, now).filter(|_| worst != Some(Standing::Intact)),
            lines,
            advice: advice(watched, worst),
        }
    }
}

/// What to do, where no failure says that.
fn advice(watched: &[Watched], worst: Option<Standing>) -> Vec<&'static str> {
    match worst {
        None => vec!["Name one: start with --registry URL, or list it under registries in the file of --config.file."],
        Some(Standing::Unknown) => vec!["The first sweep tells. This page follows it."],
        Some(Standing::Stale) => {
            vec!["Look at the log of this program, and whether it has the time it needs: sweeps no longer end."]
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

/// `None` as soon as one registry never was.
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

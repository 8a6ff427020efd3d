//! What is broken, as whoever is on call asks for it: which images, which platforms, since when, what to do.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use super::links::{ImageLink, Name};
use super::moment::{Moment, between, clock};
use super::watched::Watched;
use crate::oci::Image;
use crate::render::printable;
use crate::render::remedy::{self, Remedy};
use crate::report::{Failure, Kind, Outcome, Reason, Unverified};
use crate::state::history::{Change, History};

/// Images that a problem names.
const IMAGES_SHOWN: usize = 6;
/// Objects that a problem names.
const OBJECTS_SHOWN: usize = 4;

/// The failures that break the same images.
pub struct Problem {
    /// Of which registry.
    pub registry: String,
    /// The images that it breaks.
    pub images: Vec<ImageLink>,
    /// More of them.
    pub images_omitted: usize,
    /// The platforms that cannot be pulled.
    pub platforms: Vec<String>,
    /// What is to blame.
    pub objects: Vec<Blamed>,
    /// More of that.
    pub objects_omitted: usize,
    /// When the first of it was seen first.
    pub first_seen: Moment,
    /// `broke between 02:00 and 02:15 UTC`.
    pub onset: String,
    /// What to do, in short.
    pub advice: &'static str,
}

/// An object that failed.
pub struct Blamed {
    /// What it is, and what is wrong with it.
    pub sentence: String,
    /// Its digest, or the name that leads nowhere.
    pub reference: String,
    /// The word for what is wrong with it.
    pub reason: Reason,
    /// What was seen.
    pub detail: String,
}

/// All problems, and how many failures each is made of; what broke last comes first.
pub fn problems(watched: &[Watched]) -> Vec<(&Watched, Vec<&Failure>)> {
    let mut groups: Vec<(&Watched, Vec<&Failure>)> = Vec::new();
    for one in watched {
        let mut places: HashMap<(&str, &[Image]), usize> = HashMap::new();
        for failure in one.known.failures() {
            let place = *places.entry((&failure.repository, &failure.images)).or_insert_with(|| {
                groups.push((one, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(failure);
        }
    }
    groups.sort_by_key(|(_, failures)| Reverse(failures.iter().map(|failure| failure.first_seen).min()));
    groups
}

impl Problem {
    /// A group of failures for people.
    pub fn of((watched, failures): &(&Watched, Vec<&Failure>), now: SystemTime) -> Option<Self> {
        let first = failures.iter().min_by_key(|failure| failure.first_seen)?;
        let registry = watched.registry.name.as_str();
        Some(Self {
            registry: printable(registry),
            images: first.images.iter().take(IMAGES_SHOWN).map(|image| ImageLink::new(registry, image)).collect(),
            images_omitted: first.images.len().saturating_sub(IMAGES_SHOWN),
            platforms: platforms(failures.iter().copied()),
            objects: failures.iter().take(OBJECTS_SHOWN).map(|failure| Blamed::of(failure)).collect(),
            objects_omitted: failures.len().saturating_sub(OBJECTS_SHOWN),
            first_seen: Moment::new(first.first_seen, now),
            onset: onset(&watched.known.history, first, now),
            advice: remedy::in_short(first),
        })
    }
}

impl Blamed {
    /// A failure in words.
    pub fn of(failure: &Failure) -> Self {
        Self {
            sentence: sentence(failure),
            reference: printable(&failure.reference()),
            reason: failure.reason,
            detail: printable(&failure.detail),
        }
    }
}

/// Which platforms failures take away; `every platform` where what all of them need is bad.
fn platforms<'a>(failures: impl Iterator<Item = &'a Failure>) -> Vec<String> {
    let mut named = BTreeSet::new();
    for failure in failures {
        match failure.platform.as_deref() {
            _ if failure.attestation => named.insert("attestation".to_string()),
            Some(platform) => named.insert(printable(platform)),
            None => return vec!["every platform".to_string()],
        };
    }
    named.into_iter().collect()
}

/// `The linux/amd64 child is missing`.
pub fn sentence(failure: &Failure) -> String {
    let platform = failure.platform.as_deref().filter(|_| !failure.attestation);
    let kind = match (failure.kind, failure.digest.is_some()) {
        (_, true) if failure.attestation && failure.kind == Kind::Child => "attestation",
        (Kind::Manifest, true) => "manifest",
        (Kind::Manifest, false) => "manifest that the tag names",
        (Kind::Child, _) => "child manifest",
        (Kind::Config, _) => "config",
        (Kind::Layer, _) => "layer",
    };
    let of_what = match platform {
        Some(platform) => format!("{} {kind}", printable(platform)),
        None if failure.attestation && kind != "attestation" => format!("attestation's {kind}"),
        None => kind.to_string(),
    };
    let wrong = match failure.reason {
        Reason::Missing => "is missing",
        Reason::Unreadable => "cannot be read to its end",
        Reason::SizeMismatch => "has another length than the manifest says",
        Reason::DigestMismatch => "has other bytes than its digest says",
        Reason::Malformed => "is not a manifest",
    };
    format!("The {of_what} {wrong}")
}

/// When it broke: behind the last complete sweep that did not find it, before the first that did. A complete sweep judged
/// every object, so that this one was whole then, or not there yet.
pub fn onset(history: &History, failure: &Failure, now: SystemTime) -> String {
    let before = history
        .sweeps
        .iter()
        .rev()
        .find(|sweep| sweep.outcome == Outcome::Complete && sweep.ended_at <= failure.first_seen);
    match before {
        Some(sweep) => format!("broke {}", between(sweep.started_at, failure.first_seen, now)),
        None => format!("broken since {} or longer", clock(failure.first_seen, now)),
    }
}

/// Something that could not be judged.
pub struct Unjudged {
    pub registry: String,
    pub repository: String,
    /// What it is; `list` for a list of names.
    pub kind: &'static str,
    pub reference: String,
    pub cause: &'static str,
    pub images: u64,
    pub detail: String,
    pub advice: &'static str,
}

impl Unjudged {
    /// An entry of a report.
    pub fn of(registry: &str, entry: &Unverified) -> Self {
        Self {
            registry: printable(registry),
            repository: entry.repository.as_deref().map_or_else(|| "catalog".to_string(), printable),
            kind: entry.kind.map_or("list", Kind::as_str),
            reference: printable(&entry.reference),
            cause: entry.cause.as_str(),
            images: entry.images.len() as u64,
            detail: printable(&entry.detail),
            advice: remedy::after_unverified(entry.cause),
        }
    }
}

/// A failure with everything about it, on the page of an image.
pub struct Case {
    pub blamed: Blamed,
    pub media_type: Option<String>,
    pub path: Vec<String>,
    pub first_seen: Moment,
    pub last_seen: Moment,
    pub onset: String,
    /// How it changed since.
    pub changes: Vec<String>,
    /// Images that it breaks beside this one.
    pub others: Vec<ImageLink>,
    pub others_omitted: usize,
    pub advice: &'static str,
    pub remedy: Remedy,
}

impl Case {
    /// A failure that breaks an image.
    pub fn of(watched: &Watched, image: &Image, failure: &Failure, now: SystemTime) -> Self {
        let Watched { registry, known } = watched;
        let others: Vec<&Image> = failure.images.iter().filter(|other| *other != image).collect();
        // Commands name the image that somebody looks at.
        let mut images = vec![image.clone()];
        images.extend(others.first().copied().cloned());
        let about = Failure { images, ..failure.clone() };
        Self {
            blamed: Blamed::of(failure),
            media_type: failure.media_type.as_deref().map(printable),
            path: failure.path.iter().map(|step| Name::new(step).short).collect(),
            first_seen: Moment::new(failure.first_seen, now),
            last_seen: Moment::new(failure.last_seen, now),
            onset: onset(&known.history, failure, now),
            changes: known.history.changes(failure).iter().map(|change| told(change, now)).collect(),
            others_omitted: others.len().saturating_sub(IMAGES_SHOWN),
            others: others.into_iter().take(IMAGES_SHOWN).map(|it| ImageLink::new(&registry.name, it)).collect(),
            advice: remedy::in_short(failure),
            remedy: Remedy::of(&about, &registry.url),
        }
    }
}

fn told(change: &Change, now: SystemTime) -> String {
    let mut parts = Vec::new();
    if let Some(reason) = &change.reason {
        parts.push(format!("{} instead of {}", reason.to, reason.from));
    }
    if let Some(images) = &change.images {
        let counts = [(images.added_count, "more broken"), (images.removed_count, "no longer")];
        parts.extend(counts.into_iter().filter(|it| it.0 > 0).map(|(count, word)| format!("{count} images {word}")));
    }
    format!("{}: {}", clock(change.at, now), parts.join(", "))
}

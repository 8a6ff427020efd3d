//! Open failures as an operator needs them: images, platforms, time, what to do.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use super::links::{ImageLink, Name};
use super::moment::{Moment, between, clock, range};
use super::watched::Watched;
use crate::oci::Image;
use crate::render::printable;
use crate::render::remedy::{self, Remedy};
use crate::report::{Failure, Kind, Outcome, Reason, Unverified};
use crate::state::history::{Change, History};

/// Images listed in a problem.
const IMAGES_SHOWN: usize = 6;
/// Objects listed in a problem.
const OBJECTS_SHOWN: usize = 4;

/// Failures that break the same images.
pub struct Problem {
    /// The registry's name.
    pub registry: String,
    /// The broken images.
    pub images: Vec<ImageLink>,
    /// Number of images that are not listed.
    pub images_omitted: usize,
    /// The platforms that cannot be pulled.
    pub platforms: Vec<String>,
    /// The broken objects.
    pub objects: Vec<BrokenObject>,
    /// Number of objects that are not listed.
    pub objects_omitted: usize,
    /// When the first failure was detected.
    pub first_seen: Moment,
    /// `Broke between 02:00 and 02:15 UTC`.
    pub onset: String,
    /// What to do, in short.
    pub advice: &'static str,
}

/// A broken object.
pub struct BrokenObject {
    /// `The linux/amd64 child manifest is missing`.
    pub sentence: String,
    /// Its digest, or the dangling tag.
    pub reference: String,
    /// Why it is broken.
    pub reason: Reason,
    /// The response of the registry.
    pub detail: String,
}

/// All problems with their failures, the most recent first.
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
    /// A problem from its failures.
    pub fn of((watched, failures): &(&Watched, Vec<&Failure>), now: SystemTime) -> Option<Self> {
        let first = failures.iter().min_by_key(|failure| failure.first_seen)?;
        let registry = watched.registry.name.as_str();
        Some(Self {
            registry: printable(registry),
            images: first.images.iter().take(IMAGES_SHOWN).map(|image| ImageLink::new(registry, image)).collect(),
            images_omitted: first.images.len().saturating_sub(IMAGES_SHOWN),
            platforms: platforms(failures.iter().copied()),
            objects: failures.iter().take(OBJECTS_SHOWN).map(|failure| BrokenObject::of(failure)).collect(),
            objects_omitted: failures.len().saturating_sub(OBJECTS_SHOWN),
            first_seen: Moment::new(first.first_seen, now),
            onset: onset(&watched.known.history, first, now),
            advice: remedy::in_short(first),
        })
    }
}

impl BrokenObject {
    /// The object of a failure.
    pub fn of(failure: &Failure) -> Self {
        Self {
            sentence: sentence(failure),
            reference: printable(&failure.reference()),
            reason: failure.reason,
            detail: printable(&failure.detail),
        }
    }
}

/// Platforms that cannot be pulled; `every platform` if a shared object is broken.
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

/// Added to a resolved failure. A sweep cannot tell which of the two it was.
pub const RESOLVED: &str = "it was restored, or is no longer referenced";

/// `The linux/amd64 child manifest is missing`.
pub fn sentence(failure: &Failure) -> String {
    let (object, (present, _)) = (object(failure), wording(failure.reason));
    format!("The {object}{present}")
}

/// `The config was missing; it was restored, or is no longer referenced (01:03:06-01:03:08 UTC)`.
pub fn past_sentence(failure: &Failure, resolved_at: SystemTime, now: SystemTime) -> String {
    let (object, (_, past)) = (object(failure), wording(failure.reason));
    format!("The {object}{past}; {RESOLVED} ({})", range(failure.last_seen, resolved_at, now))
}

/// The reason in the present and the past tense.
fn wording(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Missing => (" is missing", " was missing"),
        Reason::Unreadable => (" cannot be read completely", " could not be read completely"),
        Reason::SizeMismatch => ("'s size does not match the manifest", "'s size did not match the manifest"),
        Reason::DigestMismatch => ("'s content does not match its digest", "'s content did not match its digest"),
        Reason::Malformed => (" is not a valid manifest", " was not a valid manifest"),
    }
}

/// `linux/amd64 child manifest`.
fn object(failure: &Failure) -> String {
    let platform = failure.platform.as_deref().filter(|_| !failure.attestation);
    let kind = match (failure.kind, failure.digest.is_some()) {
        (_, true) if failure.attestation && failure.kind == Kind::Child => "attestation",
        (Kind::Manifest, true) => "manifest",
        (Kind::Manifest, false) => "manifest of the tag",
        (Kind::Child, _) => "child manifest",
        (Kind::Config, _) => "config",
        (Kind::Layer, _) => "layer",
    };
    match platform {
        Some(platform) => format!("{} {kind}", printable(platform)),
        None if failure.attestation && kind != "attestation" => format!("attestation's {kind}"),
        None => kind.to_string(),
    }
}

/// When it broke: after the start of the last complete sweep without the failure, because a complete sweep verified every
/// object, and before the sweep that detected it.
pub fn onset(history: &History, failure: &Failure, now: SystemTime) -> String {
    let before = history
        .sweeps
        .iter()
        .rev()
        .find(|sweep| sweep.outcome == Outcome::Complete && sweep.ended_at <= failure.first_seen);
    match before {
        Some(sweep) => format!("Broke {}", between(sweep.started_at, failure.first_seen, now)),
        None if is_first_sweep(history, failure.first_seen) => {
            format!("Already broken at the first sweep ({})", clock(failure.first_seen, now))
        }
        None => format!("Broke at {} or earlier", clock(failure.first_seen, now)),
    }
}

/// Whether the oldest sweep of the history is the one that detected a failure.
fn is_first_sweep(history: &History, first_seen: SystemTime) -> bool {
    history.sweeps.front().is_some_and(|sweep| (sweep.started_at..=sweep.ended_at).contains(&first_seen))
}

/// Something that could not be verified.
pub struct UnverifiedRow {
    pub registry: String,
    pub repository: String,
    /// The kind of object; `list` for a list of names.
    pub kind: &'static str,
    pub reference: String,
    pub cause: &'static str,
    pub images: u64,
    pub detail: String,
    pub advice: &'static str,
}

impl UnverifiedRow {
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

/// A failure with all details, on the page of an image.
pub struct Case {
    pub object: BrokenObject,
    pub media_type: Option<String>,
    pub path: Vec<String>,
    pub first_seen: Moment,
    pub last_seen: Moment,
    pub onset: String,
    /// Changes since it was detected.
    pub changes: Vec<String>,
    /// Other images that it breaks.
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
        // The commands use the image of this page.
        let mut images = vec![image.clone()];
        images.extend(others.first().copied().cloned());
        let about = Failure { images, ..failure.clone() };
        Self {
            object: BrokenObject::of(failure),
            media_type: failure.media_type.as_deref().map(printable),
            path: failure.path.iter().map(|step| Name::new(step).short).collect(),
            first_seen: Moment::new(failure.first_seen, now),
            last_seen: Moment::new(failure.last_seen, now),
            onset: onset(&known.history, failure, now),
            changes: known.history.changes(failure).iter().map(|change| described(change, now)).collect(),
            others_omitted: others.len().saturating_sub(IMAGES_SHOWN),
            others: others.into_iter().take(IMAGES_SHOWN).map(|it| ImageLink::new(&registry.name, it)).collect(),
            advice: remedy::in_short(failure),
            remedy: Remedy::of(&about, &registry.url),
        }
    }
}

fn described(change: &Change, now: SystemTime) -> String {
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

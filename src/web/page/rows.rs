//! The rows of the page's tables.

use std::time::SystemTime;

use super::Watched;
use super::headline::Standing;
use crate::report::{Failure, ImageCounts, Unverified};
use crate::web::api::mode;

/// Images that a row names.
const MAX_IMAGES: usize = 5;

/// A point in time, for machines and for people.
pub struct Moment {
    /// RFC 3339.
    pub at: String,
    /// How long before the request it was.
    pub ago: String,
}

impl Moment {
    /// A point in time, seen from now.
    pub fn new(at: SystemTime, now: SystemTime) -> Self {
        let ago = match now.duration_since(at).unwrap_or_default().as_secs() {
            0 => "just now".to_string(),
            seconds @ 1..120 => format!("{seconds}s ago"),
            seconds @ 120..7200 => format!("{}m ago", seconds / 60),
            seconds @ 7200..172_800 => format!("{}h ago", seconds / 3600),
            seconds => format!("{} days ago", seconds / 86400),
        };
        Self { at: humantime::format_rfc3339_seconds(at).to_string(), ago }
    }
}

/// `1 image`, `2 images`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// One registry.
pub struct RegistryRow<'a> {
    pub name: &'a str,
    pub url: &'a str,
    pub mode: &'static str,
    pub standing: Standing,
    /// As of the last sweep; `None` if it could not look at any.
    pub images: Option<ImageCounts>,
    /// Objects of the last complete sweep, and repositories of the last that read the catalog.
    pub contents: Option<(u64, u64)>,
    pub last_sweep: Option<Moment>,
    pub last_success: Option<Moment>,
    pub sweeping: Option<Moment>,
}

impl<'a> RegistryRow<'a> {
    pub fn of(watched: &'a Watched, now: SystemTime) -> Self {
        let Watched { registry, known } = watched;
        let moment = |at: SystemTime| Moment::new(at, now);
        Self {
            name: &registry.name,
            url: &registry.url,
            mode: mode(registry.mode()),
            standing: Standing::of(watched, now),
            images: watched.images(),
            contents: known.repositories.map(|repositories| (known.objects.total(), repositories)),
            last_sweep: known.last_sweep.map(moment),
            last_success: known.last_success.map(moment),
            sweeping: known.sweeping.as_ref().map(|sweeping| moment(sweeping.since)),
        }
    }
}

/// One failure.
pub struct FailureRow<'a> {
    pub registry: &'a str,
    pub failure: &'a Failure,
    pub images: Vec<String>,
    pub images_omitted: usize,
    pub first_seen: Moment,
}

impl<'a> FailureRow<'a> {
    pub fn of(registry: &'a str, failure: &'a Failure, now: SystemTime) -> Self {
        Self {
            registry,
            failure,
            images: failure.images.iter().take(MAX_IMAGES).map(ToString::to_string).collect(),
            images_omitted: failure.images.len().saturating_sub(MAX_IMAGES),
            first_seen: Moment::new(failure.first_seen, now),
        }
    }
}

/// Something that could not be judged.
pub struct UnverifiedRow<'a> {
    pub registry: &'a str,
    pub entry: &'a Unverified,
    pub images: String,
}

impl<'a> UnverifiedRow<'a> {
    pub fn of(registry: &'a str, entry: &'a Unverified) -> Self {
        Self { registry, entry, images: counted(entry.images.len() as u64, "image") }
    }
}

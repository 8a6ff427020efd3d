//! The one model of what a sweep found. Everything that shows results renders this and judges nothing.

mod catalog;
mod closed;
pub mod rfc3339;
mod tally;
mod verdict;

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use catalog::{CatalogTrust, KnownCatalog, ShorterCatalog};
pub(crate) use closed::closed_set;
pub use closed::{Cause, ImageState, Kind, Outcome, Reason};
pub use tally::{Changes, carry_over, count_images, sort_failures};
pub use verdict::Verdict;

use crate::oci::{Digest, Image, Reference, Repository};

/// What one sweep of one registry found, together with the failures of earlier sweeps that it could not disprove.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The registry's configured name.
    pub registry: String,
    /// Its URL, without credentials.
    pub url: String,
    /// When the sweep began.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
    /// How long it took.
    pub duration_seconds: f64,
    /// How far it came.
    pub outcome: Outcome,
    /// True if the catalog was read to its end.
    pub catalog_accessible: bool,
    /// True if at least a part of the catalog could be read, so that the sweep looked at something.
    #[serde(skip)]
    pub catalog_reached: bool,
    /// The catalog to compare the next sweep with.
    #[serde(skip)]
    pub catalog: KnownCatalog,
    /// True if the registry answered, and no image was checked: such a sweep proves nothing intact.
    #[serde(default)]
    pub empty: bool,
    /// Repositories that the catalog, or the configuration instead of it, named and that are not filtered out.
    pub repositories: u64,
    /// Images by state.
    pub images: ImageCounts,
    /// Objects that were judged or failed to be, by kind; each counts once.
    pub objects: ObjectCounts,
    /// Blobs whose last byte or content was to be read and could not be, so that only their length proves them.
    #[serde(default)]
    pub length_only: u64,
    /// HTTP exchanges of this sweep.
    pub requests: u64,
    /// Bytes of bodies that they brought.
    pub received_bytes: u64,
    /// Objects now known bad, in the order of repository, then kind.
    pub failures: Vec<Failure>,
    /// What could not be judged in this sweep.
    pub unverified: Vec<Unverified>,
}

/// A number with its noun, as in `1 byte` and `2 bytes`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Images by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageCounts {
    /// Every object that the image needs was proved.
    pub intact: u64,
    /// At least one failed.
    pub broken: u64,
    /// None failed, and at least one could not be judged.
    pub unverified: u64,
}

impl ImageCounts {
    /// How many are in one state.
    pub fn get(&self, state: ImageState) -> u64 {
        match state {
            ImageState::Intact => self.intact,
            ImageState::Broken => self.broken,
            ImageState::Unverified => self.unverified,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.intact + self.broken + self.unverified
    }
}

/// Objects by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectCounts {
    /// What a tag or digest reference resolves to.
    pub manifest: u64,
    /// Manifests that an index names.
    pub child: u64,
    /// Configs.
    pub config: u64,
    /// Layers.
    pub layer: u64,
}

impl ObjectCounts {
    /// How many there are of a kind.
    pub fn get(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Manifest => self.manifest,
            Kind::Child => self.child,
            Kind::Config => self.config,
            Kind::Layer => self.layer,
        }
    }

    /// The count of a kind, to change it.
    pub fn get_mut(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Manifest => &mut self.manifest,
            Kind::Child => &mut self.child,
            Kind::Config => &mut self.config,
            Kind::Layer => &mut self.layer,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        Kind::ALL.into_iter().map(|kind| self.get(kind)).sum()
    }
}

/// How the blobs that a sweep found whole are proved. Each counts once, as what holds of it that proves most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// The registry says that it has them, and how long they are.
    pub head: u64,
    /// Their last byte came, in this sweep or within the period that is configured for that.
    pub byte: u64,
    /// All of them came and hashed to their digest, in this sweep or within the period that is configured for that.
    pub content: u64,
}

/// An object that was proved bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Where it lies.
    #[schema(value_type = String)]
    pub repository: Repository,
    /// Its digest; `None` where the registry named none (a tag that answers 404).
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// What it is.
    pub kind: Kind,
    /// What is wrong with it.
    pub reason: Reason,
    /// Its media type, where a manifest names it.
    pub media_type: Option<String>,
    /// The platform of the image that it belongs to (of the first path to it).
    pub platform: Option<String>,
    /// True for an attestation and what belongs to one.
    pub attestation: bool,
    /// Every image that it breaks, in order.
    #[schema(value_type = Vec<String>)]
    pub images: Vec<Image>,
    /// The first way to it: the image, then digests, the last of which is its own.
    pub path: Vec<String>,
    /// What was seen, in words.
    pub detail: String,
    /// When it was first seen.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: SystemTime,
    /// When it was last seen.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: SystemTime,
}

/// What tells one failure from another across sweeps: the object, or the reference that resolves to none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FailureKey {
    /// Where it lies.
    pub repository: Repository,
    /// Its digest, or the tag that names none.
    pub reference: Option<Reference>,
}

impl Failure {
    /// The failure's identity across sweeps.
    pub fn key(&self) -> FailureKey {
        let reference = match &self.digest {
            Some(digest) => Some(Reference::Digest(digest.clone())),
            None => self.images.first().map(|image| image.reference.clone()),
        };
        FailureKey { repository: self.repository.clone(), reference }
    }

    /// The digest, or the name of the reference that resolves to none.
    pub fn reference(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.images.first().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl fmt::Display for FailureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Some(reference) => Image { repository: self.repository.clone(), reference: reference.clone() }.fmt(f),
            None => self.repository.fmt(f),
        }
    }
}

/// Something that could not be judged: neither intact nor a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Unverified {
    /// Where it lies; `None` for the catalog and for a filter. As the registry wrote it, legal or not; of an illegal name
    /// the first 300 characters.
    pub repository: Option<String>,
    /// A digest or tag; for a tag list the repository's name, for the catalog [`Unverified::CATALOG`], for a filter its
    /// setting and pattern.
    pub reference: String,
    /// What it is; `None` for the catalog, a tag list and a filter.
    pub kind: Option<Kind>,
    /// Why it could not be judged.
    pub cause: Cause,
    /// Every image that needs it, in order.
    #[schema(value_type = Vec<String>)]
    pub images: Vec<Image>,
    /// What was seen, in words.
    pub detail: String,
}

impl Unverified {
    /// The reference of a catalog that could not be read.
    pub const CATALOG: &'static str = "_catalog";

    /// A catalog that is not known to be complete.
    pub fn catalog(cause: Cause, detail: String) -> Self {
        Self::named(Self::CATALOG.to_string(), cause, detail)
    }

    /// A pattern of a filter that matches nothing.
    pub fn filter(setting: &str, pattern: &str, detail: String) -> Self {
        Self::named(format!("{setting}: {pattern}"), Cause::Incomplete, detail)
    }

    fn named(reference: String, cause: Cause, detail: String) -> Self {
        Self { repository: None, reference, kind: None, cause, images: Vec::new(), detail }
    }
}

//! What a scan says: the one model that text, JSON and metrics render.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::collector::{Collector, Damage};
use super::locate::{Foreign, Location};
use super::tree::{Unverified, display};
use crate::report::closed_set;

closed_set! {
    /// What is wrong. An object for which two hold is told as the first that explains it.
    Class {
        /// An index names a manifest that has no revision link in its repository.
        OrphanChild = "orphan_child",
        /// A layer link whose bytes are gone and that no manifest of its repository needs: the next push of that layer
        /// is told that it is there.
        OrphanLayerLink = "orphan_layer_link",
        /// A revision whose bytes are gone.
        MissingData = "missing_data",
        /// A manifest names a config or layer that has no link or no bytes.
        MissingLayer = "missing_layer",
        /// A link that is empty or no digest.
        BadLink = "bad_link",
        /// A tag that names nothing, or no revision.
        DanglingTag = "dangling_tag",
        /// The bytes are not as many as a manifest says.
        SizeMismatch = "size_mismatch",
        /// The bytes do not hash to the digest.
        DigestMismatch = "digest_mismatch",
        /// The bytes are no manifest.
        Malformed = "malformed",
    }
}

impl Class {
    /// True if something that somebody may pull is broken. Registry 2's collector leaves an orphan layer link for every
    /// layer that it deletes, which harms nobody.
    pub fn is_failure(self) -> bool {
        self != Self::OrphanLayerLink
    }

    /// True if a cache of another registry has this by nature: it holds what somebody pulled, and forgets it again.
    pub fn is_normal_in_a_cache(self) -> bool {
        matches!(
            self,
            Self::OrphanChild | Self::OrphanLayerLink | Self::MissingData | Self::MissingLayer | Self::DanglingTag
        )
    }
}

/// Something broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub class: Class,
    /// Where; `None` for bytes that no repository links.
    pub repository: Option<String>,
    /// Of what; `None` where a link names nothing.
    pub digest: Option<String>,
    /// The tags that it breaks, sorted.
    pub tags: Vec<String>,
    /// The first way to it: the image, then digests, the last of which is its own.
    pub path: Vec<String>,
    /// The platform, what was seen, whether the bytes are still there, and what mends it, in words.
    pub detail: String,
}

/// What a collection would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// Which collection.
    #[serde(flatten)]
    pub collector: Collector,
    /// Why it would fail; nothing is deleted then, unless this says so.
    pub aborts: Option<String>,
    /// Blobs that it would delete.
    pub deletes_blobs: u64,
    /// Bytes of these.
    pub frees_bytes: u64,
    /// What a tag reaches, is intact now and would not be afterwards.
    pub damage: Vec<Damage>,
}

/// A layer link that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The link's repository.
    pub repository: String,
    /// The layer.
    pub digest: String,
    /// The link, relative to the `v2` folder.
    pub path: String,
    /// What became of it.
    pub outcome: RemovalOutcome,
    /// Why it was kept.
    pub detail: Option<String>,
}

closed_set! {
    /// What became of a layer link that was to be removed.
    RemovalOutcome {
        /// It is gone.
        Removed = "removed",
        /// It would be gone, without `--dry-run`.
        WouldRemove = "would_remove",
        /// It was left alone.
        Kept = "kept",
    }
}

/// What a scan found in one registry's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootReport {
    /// The registry's folder.
    pub root: String,
    /// Repositories.
    pub repositories: u64,
    /// Revision links.
    pub revisions: u64,
    /// Layer links.
    pub layer_links: u64,
    /// Blobs.
    pub blobs: u64,
    /// True if there are manifests and no repository has a tag, as in the storage of Harbor 2.15 and later: a collection with
    /// `--delete-untagged` then deletes everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_no_tags: bool,
    /// What is broken, by repository, class and digest.
    pub findings: Vec<Finding>,
    /// What a collection would do.
    pub garbage_collection: Vec<Prediction>,
    /// What could not be judged.
    pub unverified: Vec<Unverified>,
    /// What became of the orphan layer links, if they were to be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals: Option<Vec<Removal>>,
}

impl RootReport {
    /// True if a collection would fail or take something away. One that fails frees nothing, and its operator should know
    /// before; where no tag is known, everything is in use as far as the storage shows.
    pub fn would_do_harm(&self, prediction: &Prediction) -> bool {
        prediction.aborts.is_some() || !prediction.damage.is_empty() || self.would_delete_all(prediction)
    }

    /// True if a collection takes every manifest for untagged.
    pub fn would_delete_all(&self, prediction: &Prediction) -> bool {
        self.has_no_tags && prediction.collector.delete_untagged && prediction.aborts.is_none()
    }

    /// True if a collection takes every blob for garbage, since there is no repository.
    pub fn would_delete_every_blob(&self, prediction: &Prediction) -> bool {
        self.repositories == 0 && self.blobs > 0 && prediction.deletes_blobs == self.blobs
    }

    /// The images that something broken belongs to, as `repository:tag`.
    pub fn broken_images(&self) -> BTreeSet<String> {
        let failures = self.findings.iter().filter(|finding| finding.class.is_failure());
        failures
            .flat_map(|finding| {
                let repository = finding.repository.as_deref().unwrap_or_default();
                finding.tags.iter().map(move |tag| format!("{repository}:{tag}"))
            })
            .collect()
    }

    /// The report of a storage that cannot be opened.
    pub(super) fn unreadable(location: &Location, error: &io::Error) -> Self {
        let note = Unverified { path: display(&location.v2), detail: format!("cannot be opened: {error}") };
        Self {
            root: display(&location.root),
            repositories: 0,
            revisions: 0,
            layer_links: 0,
            blobs: 0,
            has_no_tags: false,
            findings: Vec::new(),
            garbage_collection: Vec::new(),
            unverified: vec![note],
            removals: None,
        }
    }
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    /// By registry.
    pub roots: Vec<RootReport>,
    /// What lies beside the registries in another format.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_scanned: Vec<Foreign>,
}

//! Results of a scan, which text, JSON and metrics render.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::collector::{Collector, Damage};
use super::locate::{Foreign, Location};
use super::tree::{Unverified, display};
use crate::report::closed_set;

closed_set! {
    /// What is wrong. If two classes apply to an object, the first one is reported.
    Class {
        /// A child of an index without a revision link in its repository.
        OrphanChild = "orphan_child",
        /// A layer link without data that no manifest of its repository needs: the next push of that layer is skipped.
        OrphanLayerLink = "orphan_layer_link",
        /// A revision without data.
        MissingData = "missing_data",
        /// A config or layer of a manifest without a link or without data.
        MissingLayer = "missing_layer",
        /// A link that is empty or not a digest.
        BadLink = "bad_link",
        /// A tag without a target, or whose target is not a revision.
        DanglingTag = "dangling_tag",
        /// The size differs from the descriptor's.
        SizeMismatch = "size_mismatch",
        /// The data does not match its digest.
        DigestMismatch = "digest_mismatch",
        /// The data is not a manifest.
        Malformed = "malformed",
    }
}

impl Class {
    /// True if a pull may fail. Orphan layer links do no harm: registry 2's collector leaves one for each deleted layer.
    pub fn is_failure(self) -> bool {
        self != Self::OrphanLayerLink
    }

    /// True if this is normal in a cache, which only holds what was pulled, and evicts it.
    pub fn is_normal_in_a_cache(self) -> bool {
        matches!(
            self,
            Self::OrphanChild | Self::OrphanLayerLink | Self::MissingData | Self::MissingLayer | Self::DanglingTag
        )
    }
}

/// A broken object, link or tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of damage.
    pub class: Class,
    /// The repository; `None` for data without links.
    pub repository: Option<String>,
    /// The object; `None` if a link has no digest.
    pub digest: Option<String>,
    /// Affected tags, sorted.
    pub tags: Vec<String>,
    /// The first path to it: the image, then digests, ending with its own.
    pub path: Vec<String>,
    /// The platform, the damage, whether the data still exists, and the repair, in words.
    pub detail: String,
}

/// The predicted result of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The collector.
    #[serde(flatten)]
    pub collector: Collector,
    /// Why it would abort; nothing is deleted then, unless stated.
    pub aborts: Option<String>,
    /// Number of blobs that it would delete.
    pub deletes_blobs: u64,
    /// Their size in bytes.
    pub frees_bytes: u64,
    /// Objects reachable from a tag that are intact now and would be broken afterwards.
    pub damage: Vec<Damage>,
}

/// A layer link selected for removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The link's repository.
    pub repository: String,
    /// The layer.
    pub digest: String,
    /// The link, relative to the `v2` folder.
    pub path: String,
    /// The result.
    pub outcome: RemovalOutcome,
    /// Why it was kept.
    pub detail: Option<String>,
}

closed_set! {
    /// Result of removing a layer link.
    RemovalOutcome {
        /// It was removed.
        Removed = "removed",
        /// It would be removed without `--dry-run`.
        WouldRemove = "would_remove",
        /// It was kept.
        Kept = "kept",
    }
}

/// Results for one registry's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootReport {
    /// The registry's directory.
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
    /// Findings by repository, class and digest.
    pub findings: Vec<Finding>,
    /// The predicted result of a collection.
    pub garbage_collection: Vec<Prediction>,
    /// What could not be verified.
    pub unverified: Vec<Unverified>,
    /// Results of removing orphan layer links, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals: Option<Vec<Removal>>,
}

impl RootReport {
    /// True if a collection would abort or break something. An aborted one frees nothing, which the operator should know
    /// in advance; without tags, all data may be in use.
    pub fn would_do_harm(&self, prediction: &Prediction) -> bool {
        prediction.aborts.is_some() || !prediction.damage.is_empty() || self.would_delete_all(prediction)
    }

    /// True if every manifest would be deleted as untagged.
    pub fn would_delete_all(&self, prediction: &Prediction) -> bool {
        self.has_no_tags && prediction.collector.delete_untagged && prediction.aborts.is_none()
    }

    /// True if every blob would be deleted, because there is no repository.
    pub fn would_delete_every_blob(&self, prediction: &Prediction) -> bool {
        self.repositories == 0 && self.blobs > 0 && prediction.deletes_blobs == self.blobs
    }

    /// Images with a failure, as `repository:tag`.
    pub fn broken_images(&self) -> BTreeSet<String> {
        let failures = self.findings.iter().filter(|finding| finding.class.is_failure());
        failures
            .flat_map(|finding| {
                let repository = finding.repository.as_deref().unwrap_or_default();
                finding.tags.iter().map(move |tag| format!("{repository}:{tag}"))
            })
            .collect()
    }

    /// The report for a storage that cannot be opened.
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

/// Results of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    /// One entry per registry.
    pub roots: Vec<RootReport>,
    /// Directories next to the registries in other formats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_scanned: Vec<Foreign>,
}

//! The life of a failure, from its first report to its resolution.

use std::collections::HashSet;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::oci::Image;
use crate::report::{Failure, Reason, rfc3339};

/// Changes stored per life; older ones are dropped.
const CHANGES_LIMIT: usize = 50;
/// Images listed as added or removed by a change; more are only counted.
pub const NAMES_LIMIT: usize = 100;

/// An open failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenLife {
    /// Number of the failure in the registry.
    pub id: u64,
    /// How it changed, in order.
    pub changes: Vec<Change>,
    /// The number of the sweep that changed this.
    pub changed_in: u64,
}

/// A resolved failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedLife {
    /// Number of the failure in the registry.
    pub id: u64,
    /// The failure when it was last seen.
    pub failure: Failure,
    /// How it changed, in order.
    pub changes: Vec<Change>,
    /// End of the sweep that resolved it: the object was intact again, or no longer referenced.
    #[serde(with = "rfc3339")]
    pub disproved_at: SystemTime,
    /// The number of that sweep.
    pub changed_in: u64,
}

/// A change of an open failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// End of the sweep that found it.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    /// The reason, if it changed.
    pub reason: Option<ReasonChange>,
    /// The affected images, if they changed.
    pub images: Option<ImagesChange>,
}

/// A changed reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReasonChange {
    /// Before.
    pub from: Reason,
    /// Since then.
    pub to: Reason,
}

/// Other images than before; at most 100 of each sort are named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImagesChange {
    /// Images that it affects since then.
    #[schema(value_type = Vec<String>)]
    pub added: Vec<Image>,
    /// Number of these images.
    pub added_count: usize,
    /// Images that it no longer affects, because they moved or were deleted.
    #[schema(value_type = Vec<String>)]
    pub removed: Vec<Image>,
    /// Number of these images.
    pub removed_count: usize,
}

impl OpenLife {
    /// Adds a change found by a sweep.
    pub(super) fn note(&mut self, change: Change, sweep: u64) {
        if self.changes.len() == CHANGES_LIMIT {
            self.changes.remove(0);
        }
        self.changes.push(change);
        self.changed_in = sweep;
    }
}

impl ResolvedLife {
    /// Resolves an open failure.
    pub(super) fn of(life: OpenLife, failure: Failure, disproved_at: SystemTime, sweep: u64) -> Self {
        Self { id: life.id, failure, changes: life.changes, disproved_at, changed_in: sweep }
    }
}

impl Change {
    /// The differences between two reports of a failure, if any.
    pub(super) fn between(before: &Failure, now: &Failure, at: SystemTime) -> Option<Self> {
        let reason = (before.reason != now.reason).then_some(ReasonChange { from: before.reason, to: now.reason });
        let images = (before.images != now.images)
            .then(|| ImagesChange::between(&before.images, &now.images))
            .filter(|images| images.added_count + images.removed_count > 0);
        (reason.is_some() || images.is_some()).then_some(Self { at, reason, images })
    }
}

impl ImagesChange {
    fn between(before: &[Image], now: &[Image]) -> Self {
        let (old, new): (HashSet<&Image>, HashSet<&Image>) = (before.iter().collect(), now.iter().collect());
        let named = |images: &[Image], without: &HashSet<&Image>| {
            let different: Vec<&Image> = images.iter().filter(|image| !without.contains(image)).collect();
            (different.len(), different.into_iter().take(NAMES_LIMIT).cloned().collect())
        };
        let ((added_count, added), (removed_count, removed)) = (named(now, &old), named(before, &new));
        Self { added, added_count, removed, removed_count }
    }
}

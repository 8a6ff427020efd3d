//! The life of a failure: how it changed between its first sight and its end.

use std::collections::HashSet;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::oci::Image;
use crate::report::{Failure, Reason, rfc3339};

/// Changes that are kept of one life: the last ones.
const CHANGES_LIMIT: usize = 50;
/// Images that a change names of each sort; more are counted.
pub const NAMES_LIMIT: usize = 100;

/// A failure that is known now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenLife {
    /// Its number within the registry.
    pub id: u64,
    /// How it changed, in order.
    pub changes: Vec<Change>,
    /// The number of the sweep that changed this.
    pub changed_in: u64,
}

/// A failure that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedLife {
    /// Its number within the registry.
    pub id: u64,
    /// What it was when it was seen last.
    pub failure: Failure,
    /// How it changed, in order.
    pub changes: Vec<Change>,
    /// The end of the sweep that disproved it: the object was whole again, or nothing needed it any more.
    #[serde(with = "rfc3339")]
    pub disproved_at: SystemTime,
    /// The number of that sweep.
    pub changed_in: u64,
}

/// Something about a failure became another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// The end of the sweep that saw it.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    /// What is wrong with the object, if that changed.
    pub reason: Option<ReasonChange>,
    /// Which images it breaks, if that changed.
    pub images: Option<ImagesChange>,
}

/// Another reason than before.
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
    /// Images that it breaks since then.
    #[schema(value_type = Vec<String>)]
    pub added: Vec<Image>,
    /// How many these are.
    pub added_count: usize,
    /// Images that it does not break any more: they moved, or were deleted.
    #[schema(value_type = Vec<String>)]
    pub removed: Vec<Image>,
    /// How many these are.
    pub removed_count: usize,
}

impl OpenLife {
    /// Adds a change that a sweep saw.
    pub(super) fn note(&mut self, change: Change, sweep: u64) {
        if self.changes.len() == CHANGES_LIMIT {
            self.changes.remove(0);
        }
        self.changes.push(change);
        self.changed_in = sweep;
    }
}

impl ResolvedLife {
    /// The end of a life.
    pub(super) fn of(life: OpenLife, failure: Failure, disproved_at: SystemTime, sweep: u64) -> Self {
        Self { id: life.id, failure, changes: life.changes, disproved_at, changed_in: sweep }
    }
}

impl Change {
    /// What is different between two sights of one failure, if anything is.
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

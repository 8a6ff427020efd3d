//! One sweep in numbers.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::report::{Coverage, ImageCounts, ObjectCounts, Outcome, Report, rfc3339};

/// A sweep that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SweepRecord {
    /// Its number within the registry, from 1 on.
    pub id: u64,
    /// When it began.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: SystemTime,
    /// When it ended.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: SystemTime,
    /// How long it took.
    pub duration_seconds: f64,
    /// How far it came.
    pub outcome: Outcome,
    /// True if the catalog was read to its end.
    pub catalog_accessible: bool,
    /// True if the registry answered, and no image was checked.
    #[serde(default)]
    pub empty: bool,
    /// Repositories that it was to look at.
    pub repositories: u64,
    /// Images by state.
    pub images: ImageCounts,
    /// Objects by kind.
    pub objects: ObjectCounts,
    /// Failures that were known at its end.
    pub failures: u64,
    /// Of those, the ones that nobody knew before.
    pub appeared: u64,
    /// Failures that it disproved.
    pub disproved: u64,
    /// What it could not judge.
    pub unverified: u64,
    /// HTTP exchanges.
    pub requests: u64,
    /// Bytes of bodies that they brought.
    pub received_bytes: u64,
    /// How the blobs that it found whole are proved; `null` if nothing was to be proved.
    pub coverage: Option<Coverage>,
}

impl SweepRecord {
    /// The numbers of a report. What appeared and what was disproved is not told by one report.
    pub(super) fn of(id: u64, report: &Report, coverage: Option<Coverage>, ended_at: SystemTime) -> Self {
        Self {
            id,
            started_at: report.started_at,
            ended_at,
            duration_seconds: report.duration_seconds,
            outcome: report.outcome,
            catalog_accessible: report.catalog_accessible,
            empty: report.empty,
            repositories: report.repositories,
            images: report.images,
            objects: report.objects,
            failures: report.failures.len() as u64,
            appeared: 0,
            disproved: 0,
            unverified: report.unverified.len() as u64,
            requests: report.requests,
            received_bytes: report.received_bytes,
            coverage,
        }
    }
}

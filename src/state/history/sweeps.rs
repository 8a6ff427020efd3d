//! Summary of a sweep.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::report::{Coverage, ImageCounts, ObjectCounts, Outcome, Report, rfc3339};

/// A completed sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SweepRecord {
    /// Number of the sweep in the registry, from 1.
    pub id: u64,
    /// When it started.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: SystemTime,
    /// When it ended.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: SystemTime,
    /// How long it took.
    pub duration_seconds: f64,
    /// Its outcome.
    pub outcome: Outcome,
    /// True if the catalog was read completely.
    pub catalog_accessible: bool,
    /// True if the registry answered, and no image was checked.
    #[serde(default)]
    pub empty: bool,
    /// Repositories that it should check.
    pub repositories: u64,
    /// Images by state.
    pub images: ImageCounts,
    /// Objects by kind.
    pub objects: ObjectCounts,
    /// Failures open at its end.
    pub failures: u64,
    /// New failures among them.
    pub appeared: u64,
    /// Failures that it resolved.
    pub disproved: u64,
    /// Objects and lists that it could not verify.
    pub unverified: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Bytes of response bodies.
    pub received_bytes: u64,
    /// Evidence for the intact blobs; `null` if evidence is off.
    pub coverage: Option<Coverage>,
}

impl SweepRecord {
    /// Counts of a report, which alone does not show new and resolved failures.
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

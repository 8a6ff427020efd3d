//! What is kept of a registry.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::check::evidence::EvidenceTimes;
use crate::config::shard::Shard;
use crate::oci::Image;
use crate::report::{Coverage, KnownCatalog, ObjectCounts, Report};
use crate::state::history::History;

/// Whose state it is: of a registry by that name, there, as one shard sees it. Another shard looked at other
/// repositories, so that its times and counts say nothing about these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The registry's configured name.
    pub name: String,
    /// Its URL, without credentials.
    pub url: String,
    /// The shard; `None`: it is everything's.
    pub shard: Option<Shard>,
}

impl Key {
    /// The shard as it is written.
    pub(super) fn shard_text(&self) -> String {
        self.shard.map(|shard| shard.to_string()).unwrap_or_default()
    }
}

/// What is known of a registry once a sweep has ended.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The last report.
    pub report: Option<Arc<Report>>,
    /// Numbers and times that outlive it.
    pub summary: Summary,
    /// Lives of failures, and sweeps.
    pub history: Arc<History>,
}

/// What outlives a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Objects of the last complete sweep.
    pub objects: ObjectCounts,
    /// Repositories of the last sweep that read the catalog to its end.
    pub repositories: Option<u64>,
    /// What is known of the catalog.
    #[serde(default)]
    pub catalog: KnownCatalog,
    /// True if the last sweep that reached the registry checked no image.
    #[serde(default)]
    pub empty: Option<bool>,
    /// End of the last sweep that reached the catalog.
    #[serde(with = "nanoseconds")]
    pub last_sweep: Option<SystemTime>,
    /// End of the last sweep that found everything intact.
    #[serde(with = "nanoseconds")]
    pub last_success: Option<SystemTime>,
    /// How blobs were proved in the last complete sweep.
    pub coverage: Option<Coverage>,
    /// What contradicted itself in the last sweep that asked for it.
    #[serde(default)]
    pub contradicted: Vec<Image>,
}

/// What a new process knows of a registry.
#[derive(Debug)]
pub struct Restored {
    /// What was known.
    pub kept: Kept,
    /// Since when blobs are proved.
    pub proofs_since: SystemTime,
    /// When each blob was.
    pub proofs: Vec<(u64, EvidenceTimes)>,
    /// What was found beside the sweeps and no sweep is known to have taken in, in the words of who found it.
    pub beside: Vec<String>,
}

/// The report without its lists, which have tables of their own.
pub(super) fn head(report: &Report) -> Report {
    Report {
        registry: report.registry.clone(),
        url: report.url.clone(),
        started_at: report.started_at,
        duration_seconds: report.duration_seconds,
        outcome: report.outcome,
        catalog_accessible: report.catalog_accessible,
        catalog_reached: report.catalog_reached,
        catalog: report.catalog.clone(),
        empty: report.empty,
        repositories: report.repositories,
        images: report.images,
        objects: report.objects,
        requests: report.requests,
        received_bytes: report.received_bytes,
        failures: Vec::new(),
        unverified: Vec::new(),
    }
}

/// Metrics show fractions of a second, so that these are kept too.
mod nanoseconds {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Duration, Serialize, SystemTime};

    pub fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.and_then(|since| u64::try_from(since.as_nanos()).ok()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
        let nanoseconds = Option::<u64>::deserialize(deserializer)?;
        Ok(nanoseconds.map(|nanoseconds| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)))
    }
}

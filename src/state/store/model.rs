//! The stored state of a registry.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::check::evidence::{BlobKey, EvidenceTimes};
use crate::config::shard::Shard;
use crate::oci::Image;
use crate::report::{Coverage, KnownCatalog, ObjectCounts, Report};
use crate::state::history::History;

/// Name of the database in the state directory.
pub const FILE: &str = "state.db";

/// How much is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Registries that were not configured for this long are deleted.
    pub age: Duration,
    /// Size of the database in bytes. History is deleted to stay below it; current results never are.
    pub bytes: u64,
}

/// Identifies a stored state: a registry's name and URL, and the shard that checked it. Shards check different
/// repositories, so one shard's counts and times do not apply to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The registry's configured name.
    pub name: String,
    /// Its URL, without credentials.
    pub url: String,
    /// The shard; `None` without sharding.
    pub shard: Option<Shard>,
}

impl Key {
    /// The shard as the database stores it.
    pub(super) fn shard_text(&self) -> String {
        self.shard.map(|shard| shard.to_string()).unwrap_or_default()
    }
}

/// State of a registry after a sweep.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// The last report.
    pub report: Option<Arc<Report>>,
    /// Numbers and times that outlive the report.
    pub summary: Summary,
    /// Lives of failures, and sweeps.
    pub history: Arc<History>,
}

/// Numbers and times that outlive a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Objects of the last complete sweep.
    pub objects: ObjectCounts,
    /// Repositories in the last complete catalog.
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
    /// Evidence for blobs in the last complete sweep.
    pub coverage: Option<Coverage>,
    /// Images for which the registry gave contradictory answers.
    #[serde(default)]
    pub contradicted: Vec<Image>,
}

/// State of a registry as a new process loads it.
#[derive(Debug)]
pub struct Restored {
    /// State after the last sweep.
    pub saved: Saved,
    /// Start of the evidence schedule.
    pub proofs_since: SystemTime,
    /// When each blob was last proved.
    pub proofs: Vec<(BlobKey, EvidenceTimes)>,
    /// Serialized results of background hashing that no sweep has reported yet.
    pub background: Vec<String>,
}

/// The report without its lists, which have tables of their own.
pub(super) fn without_lists(report: &Report) -> Report {
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
        length_only: report.length_only,
        requests: report.requests,
        received_bytes: report.received_bytes,
        failures: Vec::new(),
        unverified: Vec::new(),
    }
}

/// Metrics show fractions of a second, so they are stored too.
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

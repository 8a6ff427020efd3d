//! From tables to what is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;

use super::disk::Failed;
use super::{Kept, Key, Restored, beside, proofs};
use crate::report::{Failure, Report, sort_failures};
use crate::state::history::{History, OpenLife};

/// What is kept of a registry, if anything is.
pub(super) fn restored(connection: &Connection, key: &Key) -> Result<Option<Restored>, Failed> {
    let found = connection
        .query_row(
            "SELECT id, report, catalog_reached, summary, proofs_since FROM registry
             WHERE name = ?1 AND url = ?2 AND shard = ?3",
            params![key.name, key.url, key.shard_text()],
            |row| {
                let texts = (row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(3)?);
                Ok((row.get::<_, i64>(0)?, texts, row.get::<_, bool>(2)?, row.get::<_, Option<u32>>(4)?))
            },
        )
        .optional()?;
    let Some((id, (report, summary), catalog_reached, proofs_since)) = found else { return Ok(None) };
    let (failures, open) = failures(connection, id)?;
    let report = match report {
        Some(text) => {
            let head: Report = serde_json::from_str(&text)?;
            let unverified = all(connection, "SELECT entry FROM unverified WHERE registry = ?1 ORDER BY position", id)?;
            Some(Report { catalog_reached, failures, unverified, ..head })
        }
        None => None,
    };
    let resolved = all(connection, "SELECT life FROM resolved WHERE registry = ?1 ORDER BY sweep, rowid", id)?;
    let sweeps = all(connection, "SELECT record FROM sweep WHERE registry = ?1 ORDER BY id", id)?;
    let history = History::restored(report.as_ref(), open, shared(resolved), shared(sweeps));
    let summary = summary.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok(Some(Restored {
        kept: Kept { report: report.map(Arc::new), summary: summary.unwrap_or_default(), history: Arc::new(history) },
        proofs_since: proofs_since
            .map_or_else(SystemTime::now, |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds))),
        proofs: proofs::read(connection, id)?,
        beside: beside::read(connection, id)?,
    }))
}

/// Failures in the order of a report, and their lives by their keys.
fn failures(connection: &Connection, id: i64) -> Result<(Vec<Failure>, HashMap<String, OpenLife>), Failed> {
    let (mut failures, mut lives) = (Vec::new(), HashMap::new());
    let mut rows = connection.prepare("SELECT key, failure, life FROM failure WHERE registry = ?1")?;
    let mut rows = rows.query([id])?;
    while let Some(row) = rows.next()? {
        failures.push(serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?);
        if let Some(life) = row.get::<_, Option<String>>(2)? {
            lives.insert(row.get(0)?, serde_json::from_str(&life)?);
        }
    }
    sort_failures(&mut failures);
    Ok((failures, lives))
}

fn all<T: DeserializeOwned>(connection: &Connection, query: &str, id: i64) -> Result<Vec<T>, Failed> {
    let mut found = Vec::new();
    let mut rows = connection.prepare(query)?;
    let mut rows = rows.query([id])?;
    while let Some(row) = rows.next()? {
        found.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(found)
}

fn shared<T, All: FromIterator<Arc<T>>>(entries: Vec<T>) -> All {
    entries.into_iter().map(Arc::new).collect()
}

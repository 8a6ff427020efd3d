//! Reads and writes rows. Only rows that differ from the stored ones are written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::de::DeserializeOwned;

use super::error::DatabaseError;
use super::model::{Key, Restored, Saved, without_lists};
use crate::check::evidence::{BlobKey, EvidenceSchedule, EvidenceTimes};
use crate::report::{Failure, Report, Unverified, sort_failures};
use crate::state::history::{History, OpenLife};

/// Bytes of unverified entries that are stored. The next sweep finds the rest again.
const UNVERIFIED_LIMIT: usize = 32 << 20;
/// A shorter retention would delete registries during a restart.
const SHORTEST_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Loads a registry's state; `None` if none is stored.
pub(super) fn load(connection: &Connection, key: &Key) -> Result<Option<Restored>, DatabaseError> {
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
    let (failures, open) = load_failures(connection, id)?;
    let report = match report {
        Some(text) => {
            let head: Report = serde_json::from_str(&text)?;
            let unverified =
                load_all(connection, "SELECT entry FROM unverified WHERE registry = ?1 ORDER BY position", id)?;
            Some(Report { catalog_reached, failures, unverified, ..head })
        }
        None => None,
    };
    let resolved = load_all(connection, "SELECT life FROM resolved WHERE registry = ?1 ORDER BY sweep, rowid", id)?;
    let sweeps = load_all(connection, "SELECT record FROM sweep WHERE registry = ?1 ORDER BY id", id)?;
    let history = History::restored(report.as_ref(), open, shared(resolved), shared(sweeps));
    let summary = summary.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok(Some(Restored {
        saved: Saved { report: report.map(Arc::new), summary: summary.unwrap_or_default(), history: Arc::new(history) },
        proofs_since: proofs_since
            .map_or_else(SystemTime::now, |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds))),
        proofs: load_proofs(connection, id)?,
        background: load_background(connection, id)?,
    }))
}

/// Failures in report order, and their lives by key.
fn load_failures(connection: &Connection, id: i64) -> Result<(Vec<Failure>, HashMap<String, OpenLife>), DatabaseError> {
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

fn load_proofs(connection: &Connection, registry: i64) -> Result<Vec<(BlobKey, EvidenceTimes)>, DatabaseError> {
    let mut proofs = connection.prepare("SELECT blob, byte, content FROM proof WHERE registry = ?1")?;
    let proofs = proofs.query_map([registry], |row| {
        Ok((BlobKey(row.get(0)?), EvidenceTimes { byte: row.get(1)?, content: row.get(2)? }))
    })?;
    Ok(proofs.collect::<Result<_, _>>()?)
}

fn load_background(connection: &Connection, registry: i64) -> Result<Vec<String>, DatabaseError> {
    let mut found = connection.prepare("SELECT found FROM beside WHERE registry = ?1 ORDER BY blob")?;
    let found = found.query_map([registry], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn load_all<T: DeserializeOwned>(connection: &Connection, query: &str, id: i64) -> Result<Vec<T>, DatabaseError> {
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

/// Inserts the registry if it is new, and returns its row id.
pub(super) fn registry(transaction: &Transaction<'_>, key: &Key, now: SystemTime) -> Result<i64, DatabaseError> {
    Ok(transaction.query_row(
        "INSERT INTO registry (name, url, shard, seen_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at RETURNING id",
        params![key.name, key.url, key.shard_text(), seconds(now)],
        |row| row.get(0),
    )?)
}

/// Notes that a registry is still configured.
pub(super) fn mark_seen(connection: &Connection, key: &Key, now: SystemTime) -> Result<(), DatabaseError> {
    connection.execute(
        "UPDATE registry SET seen_at = ?4 WHERE name = ?1 AND url = ?2 AND shard = ?3",
        params![key.name, key.url, key.shard_text(), seconds(now)],
    )?;
    Ok(())
}

/// Writes the state after a sweep.
pub(super) fn save(transaction: &Transaction<'_>, registry: i64, saved: &Saved) -> Result<(), DatabaseError> {
    let Saved { report, summary, history: _ } = saved;
    transaction.execute(
        "UPDATE registry SET report = ?2, catalog_reached = ?3, summary = ?4 WHERE id = ?1",
        params![
            registry,
            report.as_deref().map(|report| serde_json::to_string(&without_lists(report))).transpose()?,
            report.as_deref().is_some_and(|report| report.catalog_reached),
            serde_json::to_string(summary)?
        ],
    )?;
    if let Some(report) = report {
        save_failures(transaction, registry, saved, report)?;
        save_unverified(transaction, registry, &report.unverified)?;
    }
    save_history(transaction, registry, saved)
}

fn save_failures(
    transaction: &Transaction<'_>,
    registry: i64,
    saved: &Saved,
    report: &Report,
) -> Result<(), DatabaseError> {
    let mut known = transaction.prepare("SELECT key FROM failure WHERE registry = ?1")?;
    let mut gone: HashSet<String> = known.query_map([registry], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // During an outage no row changes.
    let mut write = transaction.prepare(
        "INSERT INTO failure (registry, key, failure, life) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET failure = excluded.failure, life = excluded.life
         WHERE failure <> excluded.failure OR life IS NOT excluded.life",
    )?;
    for failure in &report.failures {
        let key = failure.key();
        let life = saved.history.open.get(&key).map(|life| serde_json::to_string(&**life)).transpose()?;
        let key = key.to_string();
        write.execute(params![registry, key, serde_json::to_string(failure)?, life])?;
        gone.remove(&key);
    }
    let mut remove = transaction.prepare("DELETE FROM failure WHERE registry = ?1 AND key = ?2")?;
    for key in gone {
        remove.execute(params![registry, key])?;
    }
    Ok(())
}

fn save_unverified(transaction: &Transaction<'_>, registry: i64, entries: &[Unverified]) -> Result<(), DatabaseError> {
    transaction.execute("DELETE FROM unverified WHERE registry = ?1", [registry])?;
    let mut write = transaction.prepare("INSERT INTO unverified (registry, position, entry) VALUES (?1, ?2, ?3)")?;
    let mut room = UNVERIFIED_LIMIT;
    for (position, entry) in entries.iter().enumerate() {
        let entry = serde_json::to_string(entry)?;
        let Some(rest) = room.checked_sub(entry.len()) else {
            tracing::warn!(
                stored = position,
                total = entries.len(),
                "too many unverified objects to store; keeping the first 32 MiB"
            );
            break;
        };
        room = rest;
        write.execute(params![registry, position as i64, entry])?;
    }
    Ok(())
}

/// Writes all sweeps since the last stored one: several, if the disk was full for a while.
fn save_history(transaction: &Transaction<'_>, registry: i64, saved: &Saved) -> Result<(), DatabaseError> {
    let history = &saved.history;
    let last: i64 =
        transaction
            .query_row("SELECT coalesce(max(id), 0) FROM sweep WHERE registry = ?1", [registry], |row| row.get(0))?;
    let mut write = transaction.prepare("INSERT INTO resolved (registry, sweep, life) VALUES (?1, ?2, ?3)")?;
    for life in history.resolved.iter().filter(|life| number(life.changed_in) > last) {
        write.execute(params![registry, number(life.changed_in), serde_json::to_string(&**life)?])?;
    }
    let mut write = transaction.prepare("INSERT INTO sweep (registry, id, record) VALUES (?1, ?2, ?3)")?;
    for sweep in history.sweeps.iter().filter(|sweep| number(sweep.id) > last) {
        write.execute(params![registry, number(sweep.id), serde_json::to_string(&**sweep)?])?;
    }
    let oldest = history.resolved.front().map_or(i64::MAX, |life| number(life.changed_in));
    transaction.execute("DELETE FROM resolved WHERE registry = ?1 AND sweep < ?2", [registry, oldest])?;
    let oldest = history.sweeps.front().map_or(i64::MAX, |sweep| number(sweep.id));
    transaction.execute("DELETE FROM sweep WHERE registry = ?1 AND id < ?2", [registry, oldest])?;
    Ok(())
}

/// Writes the proofs made after `since`, and deletes those that memory has forgotten.
pub(super) fn save_proofs(
    transaction: &Transaction<'_>,
    registry: i64,
    proofs: &EvidenceSchedule,
    since: SystemTime,
    now: SystemTime,
) -> Result<(), DatabaseError> {
    transaction.execute(
        "UPDATE registry SET proofs_since = ?2 WHERE id = ?1 AND proofs_since IS NOT ?2",
        [registry, seconds(proofs.since())],
    )?;
    let mut proved = proofs.recorded_since(since);
    // In table order, so that neighbouring rows share a page that is written once.
    proved.sort_unstable_by_key(|(blob, _)| *blob);
    let mut write = transaction.prepare(
        "INSERT INTO proof (registry, blob, byte, content) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET byte = excluded.byte, content = excluded.content",
    )?;
    for (BlobKey(blob), EvidenceTimes { byte, content }) in proved {
        write.execute(params![registry, blob, byte, content])?;
    }
    let limit = proofs.evicted_before(now);
    transaction.execute(
        "DELETE FROM proof WHERE registry = ?1 AND byte < ?2 AND content < ?3",
        params![registry, limit.byte, limit.content],
    )?;
    Ok(())
}

/// Writes changed results of background hashing; `None` deletes a blob's result.
pub(super) fn save_background(
    transaction: &Transaction<'_>,
    registry: i64,
    changes: &[(String, Option<String>)],
) -> Result<(), DatabaseError> {
    for (blob, found) in changes {
        match found {
            Some(found) => transaction.execute(
                "INSERT INTO beside (registry, blob, found) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET found = excluded.found",
                params![registry, blob, found],
            )?,
            None => {
                transaction.execute("DELETE FROM beside WHERE registry = ?1 AND blob = ?2", params![registry, blob])?
            }
        };
    }
    Ok(())
}

/// Deletes registries and shards that were not configured for this long.
pub(super) fn delete_unseen(
    transaction: &Transaction<'_>,
    age: Duration,
    now: SystemTime,
) -> Result<(), DatabaseError> {
    let oldest = now.checked_sub(age.max(SHORTEST_AGE)).map_or(0, seconds);
    transaction.execute("DELETE FROM registry WHERE seen_at < ?1", [oldest])?;
    Ok(())
}

/// Deletes the older half of every registry's history, except the last sweep.
pub(super) fn delete_older_half(connection: &mut Connection) -> Result<(), DatabaseError> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "DELETE FROM resolved WHERE sweep <=
             (SELECT (min(other.sweep) + max(other.sweep)) / 2 FROM resolved AS other
              WHERE other.registry = resolved.registry)",
        [],
    )?;
    transaction.execute(
        "DELETE FROM sweep WHERE id <
             (SELECT (min(other.id) + max(other.id) + 1) / 2 FROM sweep AS other
              WHERE other.registry = sweep.registry)",
        [],
    )?;
    transaction.commit()?;
    Ok(())
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| number(since.as_secs()))
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

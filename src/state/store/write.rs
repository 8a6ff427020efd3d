//! From what is known to tables. Only what differs from what they hold is written.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Transaction, params};

use super::disk::Failed;
use super::kept::head;
use super::{Kept, Key};
use crate::report::{Report, Unverified};

/// Of what a sweep could not judge, this much is kept: it says it again in the next one.
const UNVERIFIED_LIMIT: usize = 32 << 20;
/// Forgetting at once what was not seen for a moment would be no retention.
const SHORTEST_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The registry's number in the file, which is given to it if it has none.
pub(super) fn registry(transaction: &Transaction<'_>, key: &Key, now: SystemTime) -> Result<i64, Failed> {
    Ok(transaction.query_row(
        "INSERT INTO registry (name, url, shard, seen_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at RETURNING id",
        params![key.name, key.url, key.shard_text(), seconds(now)],
        |row| row.get(0),
    )?)
}

/// Notes that a registry is still asked for.
pub(super) fn seen(connection: &Connection, key: &Key, now: SystemTime) -> Result<(), Failed> {
    connection.execute(
        "UPDATE registry SET seen_at = ?4 WHERE name = ?1 AND url = ?2 AND shard = ?3",
        params![key.name, key.url, key.shard_text(), seconds(now)],
    )?;
    Ok(())
}

/// What is known once a sweep has ended.
pub(super) fn kept(transaction: &Transaction<'_>, registry: i64, kept: &Kept) -> Result<(), Failed> {
    let Kept { report, summary, history: _ } = kept;
    transaction.execute(
        "UPDATE registry SET report = ?2, catalog_reached = ?3, summary = ?4 WHERE id = ?1",
        params![
            registry,
            report.as_deref().map(|report| serde_json::to_string(&head(report))).transpose()?,
            report.as_deref().is_some_and(|report| report.catalog_reached),
            serde_json::to_string(summary)?
        ],
    )?;
    if let Some(report) = report {
        failures(transaction, registry, kept, report)?;
        unverified(transaction, registry, &report.unverified)?;
    }
    past(transaction, registry, kept)
}

fn failures(transaction: &Transaction<'_>, registry: i64, kept: &Kept, report: &Report) -> Result<(), Failed> {
    let mut known = transaction.prepare("SELECT key FROM failure WHERE registry = ?1")?;
    let mut gone: HashSet<String> = known.query_map([registry], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // During an outage nothing of them changes.
    let mut write = transaction.prepare(
        "INSERT INTO failure (registry, key, failure, life) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET failure = excluded.failure, life = excluded.life
         WHERE failure <> excluded.failure OR life IS NOT excluded.life",
    )?;
    for failure in &report.failures {
        let key = failure.key();
        let life = kept.history.open.get(&key).map(|life| serde_json::to_string(&**life)).transpose()?;
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

fn unverified(transaction: &Transaction<'_>, registry: i64, entries: &[Unverified]) -> Result<(), Failed> {
    transaction.execute("DELETE FROM unverified WHERE registry = ?1", [registry])?;
    let mut write = transaction.prepare("INSERT INTO unverified (registry, position, entry) VALUES (?1, ?2, ?3)")?;
    let mut room = UNVERIFIED_LIMIT;
    for (position, entry) in entries.iter().enumerate() {
        let entry = serde_json::to_string(entry)?;
        let Some(rest) = room.checked_sub(entry.len()) else {
            tracing::warn!(kept = position, of = entries.len(), "what could not be judged is too much to be kept");
            break;
        };
        room = rest;
        write.execute(params![registry, position as i64, entry])?;
    }
    Ok(())
}

/// Everything since the last sweep that the file knows of, which is more than one if the disk was full for a while.
fn past(transaction: &Transaction<'_>, registry: i64, kept: &Kept) -> Result<(), Failed> {
    let history = &kept.history;
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

/// Forgets registries, and shards, that nobody asked for in this time.
pub(super) fn forget_unseen(transaction: &Transaction<'_>, age: Duration, now: SystemTime) -> Result<(), Failed> {
    let oldest = now.checked_sub(age.max(SHORTEST_AGE)).map_or(0, seconds);
    transaction.execute("DELETE FROM registry WHERE seen_at < ?1", [oldest])?;
    Ok(())
}

/// Forgets the older half of every registry's past, but the last sweep.
pub(super) fn forget_half(connection: &mut Connection) -> Result<(), Failed> {
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

pub(super) fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| number(since.as_secs()))
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

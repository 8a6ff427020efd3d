//! When each blob was proved: many small rows.

use std::time::SystemTime;

use rusqlite::{Connection, Transaction, params};

use super::disk::Failed;
use super::write::seconds;
use crate::check::evidence::{EvidenceSchedule, EvidenceTimes};

/// Writes what was proved `since`, and forgets what memory has forgotten.
pub(super) fn write(
    transaction: &Transaction<'_>,
    registry: i64,
    proofs: &EvidenceSchedule,
    since: SystemTime,
    now: SystemTime,
) -> Result<(), Failed> {
    transaction.execute(
        "UPDATE registry SET proofs_since = ?2 WHERE id = ?1 AND proofs_since IS NOT ?2",
        [registry, seconds(proofs.since())],
    )?;
    let mut proved = proofs.proved_since(since);
    // In the order of the table, so that neighbours share a page that is written once.
    proved.sort_unstable_by_key(|(blob, _)| blob.cast_signed());
    let mut write = transaction.prepare(
        "INSERT INTO proof (registry, blob, byte, content) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET byte = excluded.byte, content = excluded.content",
    )?;
    for (blob, EvidenceTimes { byte, content }) in proved {
        write.execute(params![registry, blob.cast_signed(), byte, content])?;
    }
    let over = proofs.over(now);
    transaction.execute(
        "DELETE FROM proof WHERE registry = ?1 AND byte < ?2 AND content < ?3",
        params![registry, over.byte, over.content],
    )?;
    Ok(())
}

/// Reads all of a registry.
pub(super) fn read(connection: &Connection, registry: i64) -> Result<Vec<(u64, EvidenceTimes)>, Failed> {
    let mut proofs = connection.prepare("SELECT blob, byte, content FROM proof WHERE registry = ?1")?;
    let proofs = proofs.query_map([registry], |row| {
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), EvidenceTimes { byte: row.get(1)?, content: row.get(2)? }))
    })?;
    Ok(proofs.collect::<Result<_, _>>()?)
}

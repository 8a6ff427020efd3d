//! What was found beside the sweeps and is to be taken in by one: a row for each blob.

use rusqlite::{Connection, Transaction, params};

use super::disk::Failed;

/// Writes what changed of some blobs, and forgets those of which nothing is found any more.
pub(super) fn write(
    transaction: &Transaction<'_>,
    registry: i64,
    changes: &[(String, Option<String>)],
) -> Result<(), Failed> {
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

/// Reads all of a registry.
pub(super) fn read(connection: &Connection, registry: i64) -> Result<Vec<String>, Failed> {
    let mut found = connection.prepare("SELECT found FROM beside WHERE registry = ?1 ORDER BY blob")?;
    let found = found.query_map([registry], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

//! How the file is built, and how an older one becomes such a file.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;
use super::disk::Failed;

/// In the file's head: it is this program's ("RIPS").
const APPLICATION: i64 = 0x5249_5053;

/// What leads from one schema to the next, from an empty file on. Files out there have run the ones that were released,
/// so that these never change; a new schema is a new entry.
pub(super) const MIGRATIONS: &[&str] = &[
    "CREATE TABLE registry (
         id INTEGER PRIMARY KEY,
         name TEXT NOT NULL,
         url TEXT NOT NULL,
         shard TEXT NOT NULL,
         seen_at INTEGER NOT NULL,
         report TEXT,
         catalog_reached INTEGER NOT NULL DEFAULT 0,
         summary TEXT,
         UNIQUE (name, url, shard)
     ) STRICT;
     CREATE TABLE failure (
         registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE,
         key TEXT NOT NULL,
         failure TEXT NOT NULL,
         life TEXT,
         UNIQUE (registry, key)
     ) STRICT;
     CREATE TABLE unverified (
         registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE,
         position INTEGER NOT NULL,
         entry TEXT NOT NULL,
         UNIQUE (registry, position)
     ) STRICT;
     CREATE TABLE resolved (
         registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE,
         sweep INTEGER NOT NULL,
         life TEXT NOT NULL
     ) STRICT;
     CREATE INDEX resolved_by_sweep ON resolved (registry, sweep);
     CREATE TABLE sweep (
         registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE,
         id INTEGER NOT NULL,
         record TEXT NOT NULL,
         UNIQUE (registry, id)
     ) STRICT;",
    "CREATE TABLE proof (
         registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE,
         blob INTEGER NOT NULL,
         byte INTEGER NOT NULL,
         content INTEGER NOT NULL,
         PRIMARY KEY (registry, blob)
     ) STRICT, WITHOUT ROWID;
     ALTER TABLE registry ADD COLUMN proofs_since INTEGER;",
    "CREATE TABLE beside (
         registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE,
         blob TEXT NOT NULL,
         found TEXT NOT NULL,
         PRIMARY KEY (registry, blob)
     ) STRICT, WITHOUT ROWID;",
];

/// Brings a file to the newest schema, in one transaction.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), Failed> {
    // Also where nothing is to be done: this shows whether the file can be written.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction, file)?;
    for step in &MIGRATIONS[found..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", newest())?;
    transaction.commit()?;
    Ok(())
}

/// How many of the migrations a file has run.
pub(super) fn version(connection: &Connection, file: &Path) -> Result<usize, Failed> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) = (pragma("application_id")?, pragma("user_version")?);
    let is_empty =
        found == 0 && connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0;
    if application != APPLICATION && !is_empty {
        return Err(StoreError::Foreign { file: file.to_path_buf() }.into());
    }
    match usize::try_from(found) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(StoreError::Newer { file: file.to_path_buf(), found, known: newest() }.into()),
    }
}

fn newest() -> i64 {
    MIGRATIONS.len() as i64
}

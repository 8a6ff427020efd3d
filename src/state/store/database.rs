//! The SQLite file: its lock, its schema, and a read-only copy when the directory cannot be written.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tempfile::TempDir;

use super::error::{DatabaseError, StoreError};
use super::model::{FILE, Key, Limits, Restored, Saved};
use super::rows;
use crate::check::evidence::EvidenceSchedule;

/// Name of the lock file. It stays after the process ends; the lock on it does not, however the process ends.
const LOCK: &str = "lock";
/// SQLite's default page size, which `max_page_count` is based on.
const PAGE: u64 = 4096;
/// Free pages that are returned to the file system after each write.
const VACUUM_PAGES: u32 = 1000;
/// Application id in the file's header ("RIPS").
const APPLICATION: i64 = 0x5249_5053;

/// Each step leads from one schema to the next, starting from an empty file. Files in use have run the released steps, so
/// these never change; a new schema is a new step.
const MIGRATIONS: &[&str] = &[
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
    // Keys of 128 bits cannot be derived from those of 64 bits, so evidence starts again.
    "DROP TABLE proof;
     CREATE TABLE proof (
         registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE,
         blob BLOB NOT NULL,
         byte INTEGER NOT NULL,
         content INTEGER NOT NULL,
         PRIMARY KEY (registry, blob)
     ) STRICT, WITHOUT ROWID;
     UPDATE registry SET proofs_since = NULL;",
];

/// Changes to one registry's rows.
pub(super) struct Write<'a> {
    pub key: &'a Key,
    pub saved: Option<&'a Saved>,
    pub proofs: Option<&'a EvidenceSchedule>,
    /// Results of background hashing by blob; `None` deletes one.
    pub background: &'a [(String, Option<String>)],
}

/// The state directory. It is opened for writing as soon as that is possible.
#[derive(Debug)]
pub(super) struct Database {
    directory: PathBuf,
    limits: Limits,
    /// Held until this is dropped.
    lock: Option<File>,
    /// `None` while the directory is not writable.
    connection: Option<Connection>,
    /// Stands in for a file that can only be read.
    copy: Option<ReadOnlyCopy>,
    /// Time up to which each registry's proofs are stored.
    proofs_saved_until: HashMap<Key, SystemTime>,
}

impl Database {
    /// Opens the database, for writing if possible.
    pub(super) fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let mut database = Self {
            directory: directory.to_path_buf(),
            limits,
            lock: None,
            connection: None,
            copy: None,
            proofs_saved_until: HashMap::new(),
        };
        match database.connect() {
            Ok(_) => {}
            Err(why) if why.is_of_the_disk() => {
                tracing::error!(path = %directory.display(), error = %why, "cannot write the state; continuing in memory");
                database.copy = ReadOnlyCopy::of(&database.file())?;
            }
            Err(why) => return Err(why.into_store_error(&database.file())),
        }
        Ok(database)
    }

    pub(super) fn is_writable(&self) -> bool {
        self.connection.is_some()
    }

    /// Loads a registry's state; `None` if none is stored.
    pub(super) fn load(&mut self, key: &Key, now: SystemTime) -> Result<Option<Restored>, StoreError> {
        let file = self.file();
        let is_writable = self.connect().is_ok();
        if !is_writable && self.copy.is_none() {
            self.copy = ReadOnlyCopy::of(&file)?;
        }
        let connection = self.connection.as_ref().or(self.copy.as_ref().map(|copy| &copy.connection));
        let Some(connection) = connection else { return Ok(None) };
        let restored = rows::load(connection, key).map_err(|why| why.into_store_error(&file))?;
        if restored.is_some() {
            self.proofs_saved_until.insert(key.clone(), now);
            if is_writable && let Err(error) = rows::mark_seen(connection, key, now) {
                tracing::error!(%error, "cannot write the state; retrying after the next sweep");
                self.connection = None;
            }
        }
        Ok(restored)
    }

    /// Applies all writes in one transaction.
    pub(super) fn write(&mut self, writes: &[Write<'_>], now: SystemTime) -> Result<(), DatabaseError> {
        let mut written = self.write_once(writes, now);
        if written.as_ref().is_err_and(DatabaseError::is_full) && self.make_room().is_ok_and(|has_room| has_room) {
            written = self.write_once(writes, now);
        }
        if written.is_err() {
            // The next attempt opens the file again.
            self.connection = None;
        }
        written
    }

    fn write_once(&mut self, writes: &[Write<'_>], now: SystemTime) -> Result<(), DatabaseError> {
        let age = self.limits.age;
        self.connect()?;
        let Self { connection: Some(connection), proofs_saved_until, .. } = self else { return Ok(()) };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            let registry = rows::registry(&transaction, write.key, now)?;
            if let Some(saved) = write.saved {
                rows::save(&transaction, registry, saved)?;
            }
            if let Some(proofs) = write.proofs {
                let since = proofs_saved_until.get(write.key).copied().unwrap_or(SystemTime::UNIX_EPOCH);
                rows::save_proofs(&transaction, registry, proofs, since, now)?;
            }
            rows::save_background(&transaction, registry, write.background)?;
        }
        rows::delete_unseen(&transaction, age, now)?;
        transaction.commit()?;
        for write in writes.iter().filter(|write| write.proofs.is_some()) {
            proofs_saved_until.insert(write.key.clone(), now);
        }
        // Later writes reuse free pages that could not be returned.
        let _ = connection.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"));
        Ok(())
    }

    /// Deletes the older half of the history if it fills the file; false if the disk itself is full.
    fn make_room(&mut self) -> Result<bool, DatabaseError> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let pages: u64 = connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))?.unsigned_abs();
        if pages * PAGE < self.limits.bytes / 2 {
            return Ok(false);
        }
        rows::delete_older_half(connection)?;
        tracing::warn!(
            limit = self.limits.bytes,
            "the state reached --storage.retention.size; deleted the older half of the history"
        );
        Ok(true)
    }

    fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Opens the file for writing, unless it is open.
    fn connect(&mut self) -> Result<(), DatabaseError> {
        if self.connection.is_some() {
            return Ok(());
        }
        if let Err(source) = fs::create_dir_all(&self.directory) {
            return Err(if is_unwritable(&source) {
                DatabaseError::Unwritable(source.to_string())
            } else {
                StoreError::Directory { path: self.directory.clone(), source }.into()
            });
        }
        if self.lock.is_none() {
            self.lock = lock(&self.directory)?;
        }
        if self.lock.is_none() {
            return Err(DatabaseError::Unwritable("cannot create a file".to_string()));
        }
        self.connection = Some(open_for_writing(&self.file(), self.limits)?);
        Ok(())
    }
}

/// Locks the directory for this process; `None` if it is not writable.
fn lock(directory: &Path) -> Result<Option<File>, StoreError> {
    let fault = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    let file = match File::options().write(true).create(true).truncate(false).open(directory.join(LOCK)) {
        Ok(file) => file,
        Err(error) if is_unwritable(&error) => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: directory.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}

/// True if the disk refuses writes, which may change while the process runs.
fn is_unwritable(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded | FileTooLarge)
}

fn open_for_writing(file: &Path, limits: Limits) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    // With a single process, SQLite needs no shared-memory file for the journal's index.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    // Checked before any change, since the file may belong to another program.
    schema_version(&connection, file)?;
    connection.execute_batch(&format!(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 16777216;
         PRAGMA max_page_count = {};",
        limits.bytes / PAGE
    ))?;
    migrate(&mut connection, file)?;
    Ok(connection)
}

/// Migrates a file to the newest schema, in one transaction.
fn migrate(connection: &mut Connection, file: &Path) -> Result<(), DatabaseError> {
    // Runs even without a pending step: it shows whether the file is writable.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = schema_version(&transaction, file)?;
    for step in &MIGRATIONS[found..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", newest_schema())?;
    transaction.commit()?;
    Ok(())
}

/// Number of migrations that a file has run.
fn schema_version(connection: &Connection, file: &Path) -> Result<usize, DatabaseError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) = (pragma("application_id")?, pragma("user_version")?);
    let is_empty =
        found == 0 && connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0;
    if application != APPLICATION && !is_empty {
        return Err(StoreError::Foreign { file: file.to_path_buf() }.into());
    }
    match usize::try_from(found) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(StoreError::Newer { file: file.to_path_buf(), found, known: newest_schema() }.into()),
    }
}

fn newest_schema() -> i64 {
    MIGRATIONS.len() as i64
}

/// A writable copy of a read-only file. SQLite cannot read a journal that it cannot write, and a killed process leaves one.
#[derive(Debug)]
struct ReadOnlyCopy {
    connection: Connection,
    _directory: TempDir,
}

impl ReadOnlyCopy {
    /// Copies the file and its journal; `None` if there is no file.
    fn of(file: &Path) -> Result<Option<Self>, StoreError> {
        let unreadable = |why: io::Error| StoreError::Unreadable { file: file.to_path_buf(), why: why.to_string() };
        match file.metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        }
        let directory = tempfile::tempdir().map_err(unreadable)?;
        let copy = directory.path().join(FILE);
        fs::copy(file, &copy).map_err(unreadable)?;
        match fs::copy(journal(file), journal(&copy)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(error)),
        }
        make_writable(&directory).map_err(unreadable)?;
        let limits = Limits { age: Duration::MAX, bytes: u64::from(u32::MAX) };
        let connection = open_for_writing(&copy, limits).map_err(|why| why.into_store_error(file))?;
        Ok(Some(Self { connection, _directory: directory }))
    }
}

/// Adds the write permission that the copies lack, since permissions are copied too.
fn make_writable(directory: &TempDir) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(directory.path())? {
        fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn journal(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

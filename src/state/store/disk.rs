//! The file, as long as it can be had.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::read_only::Copied;
use super::writer::Job;
use super::{FILE, Key, Limits, Restored, StoreError, beside, lock, proofs, read, schema, write};

/// SQLite's default, which `max_page_count` counts in.
const PAGE: u64 = 4096;
/// Free pages that are given back to the disk after each write.
const PAGES_GIVEN_BACK: u32 = 1000;

/// Why something could not be done to the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nothing can be written there: {0}")]
    Unwritable(String),
}

impl Failed {
    /// True if it is the disk that does not take anything, and not the file that is of no use.
    fn is_of_the_disk(&self) -> bool {
        let code = match self {
            Self::Unwritable(_) => return true,
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Json(_) | Self::Store(_) => None,
        };
        use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
        code.is_some_and(|code| matches!(code, CannotOpen | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure))
    }

    fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull))
    }

    pub(super) fn of_file(self, file: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            // By a program that does not know of the lock, such as SQLite's shell.
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                StoreError::InUse { path: file.to_path_buf() }
            }
            other => StoreError::Unreadable { file: file.to_path_buf(), why: other.to_string() },
        }
    }
}

/// The directory and what is open of it.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    limits: Limits,
    /// Held as long as this is.
    lock: Option<File>,
    /// For writing; `None` while that cannot be done.
    connection: Option<Connection>,
    /// What the file held, where it could only be read.
    copied: Option<Copied>,
    /// Up to when the proofs of each registry are kept.
    proved_until: HashMap<Key, SystemTime>,
}

impl Disk {
    /// Opens what is there, for writing if that can be done.
    pub(super) fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let mut disk = Self {
            directory: directory.to_path_buf(),
            limits,
            lock: None,
            connection: None,
            copied: None,
            proved_until: HashMap::new(),
        };
        match disk.connect() {
            Ok(_) => {}
            Err(why) if why.is_of_the_disk() => {
                tracing::error!(path = %directory.display(), error = %why, "the state cannot be written; going on in memory");
                disk.copied = Copied::of(&disk.file())?;
            }
            Err(why) => return Err(why.of_file(&disk.file())),
        }
        Ok(disk)
    }

    pub(super) fn is_writable(&self) -> bool {
        self.connection.is_some()
    }

    /// What is known of a registry.
    pub(super) fn load(&mut self, key: &Key, now: SystemTime) -> Result<Option<Restored>, StoreError> {
        let file = self.file();
        let is_writable = self.connect().is_ok();
        if !is_writable && self.copied.is_none() {
            self.copied = Copied::of(&file)?;
        }
        let connection = self.connection.as_ref().or(self.copied.as_ref().map(Copied::connection));
        let Some(connection) = connection else { return Ok(None) };
        let restored = read::restored(connection, key).map_err(|why| why.of_file(&file))?;
        if restored.is_some() {
            self.proved_until.insert(key.clone(), now);
            if is_writable && let Err(error) = write::seen(connection, key, now) {
                tracing::error!(%error, "the state cannot be written; trying again after the next sweep");
                self.connection = None;
            }
        }
        Ok(restored)
    }

    /// Does all of this, or nothing.
    pub(super) fn write(&mut self, jobs: &[Job<'_>], now: SystemTime) -> Result<(), Failed> {
        let mut written = self.write_once(jobs, now);
        if written.as_ref().is_err_and(Failed::is_full) && self.make_room().is_ok_and(|has_room| has_room) {
            written = self.write_once(jobs, now);
        }
        if written.is_err() {
            // Whatever is wrong with it, the next attempt begins anew.
            self.connection = None;
        }
        written
    }

    fn write_once(&mut self, jobs: &[Job<'_>], now: SystemTime) -> Result<(), Failed> {
        let age = self.limits.age;
        self.connect()?;
        let Self { connection: Some(connection), proved_until, .. } = self else { return Ok(()) };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for job in jobs {
            let registry = write::registry(&transaction, job.key, now)?;
            if let Some(kept) = job.kept {
                write::kept(&transaction, registry, kept)?;
            }
            if let Some(proofs) = job.proofs {
                let since = proved_until.get(job.key).copied().unwrap_or(SystemTime::UNIX_EPOCH);
                proofs::write(&transaction, registry, proofs, since, now)?;
            }
            beside::write(&transaction, registry, job.beside)?;
        }
        write::forget_unseen(&transaction, age, now)?;
        transaction.commit()?;
        for job in jobs.iter().filter(|job| job.proofs.is_some()) {
            proved_until.insert(job.key.clone(), now);
        }
        // What is free stays of use if it is not given back.
        let _ = connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})"));
        Ok(())
    }

    /// Forgets the older half of the past if that is what fills the file; false if it is the disk that is full.
    fn make_room(&mut self) -> Result<bool, Failed> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let pages: u64 = connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))?.unsigned_abs();
        if pages * PAGE < self.limits.bytes / 2 {
            return Ok(false);
        }
        write::forget_half(connection)?;
        tracing::warn!(
            limit = self.limits.bytes,
            "the state has reached --storage.retention.size; the older half of the past is forgotten"
        );
        Ok(true)
    }

    fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Opens the file for writing, unless that is done.
    fn connect(&mut self) -> Result<(), Failed> {
        if self.connection.is_some() {
            return Ok(());
        }
        if let Err(source) = fs::create_dir_all(&self.directory) {
            return Err(if lock::is_unwritable(&source) {
                Failed::Unwritable(source.to_string())
            } else {
                StoreError::Directory { path: self.directory.clone(), source }.into()
            });
        }
        if self.lock.is_none() {
            self.lock = lock::take(&self.directory)?;
        }
        if self.lock.is_none() {
            return Err(Failed::Unwritable("no file can be made".to_string()));
        }
        self.connection = Some(open_for_writing(&self.file(), self.limits)?);
        Ok(())
    }
}

pub(super) fn open_for_writing(file: &Path, limits: Limits) -> Result<Connection, Failed> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    // The directory is this process's alone, so that the journal's index need not be shared through a file.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    // Before anything is changed that may be somebody else's.
    schema::version(&connection, file)?;
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
    schema::migrate(&mut connection, file)?;
    Ok(connection)
}

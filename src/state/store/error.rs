//! Why a stored state cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a stored state cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be created or locked.
    #[error("--storage.path: {} cannot be used: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error("--storage.path: {} is in use by another process; give each process its own directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote the file.
    #[error(
        "{}: written by a newer version of this program (schema {found}; this version supports up to {known}); \
         run that version, or move the file away to start empty",
        file.display()
    )]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this program supports.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("{}: not a state of this program; choose another --storage.path, or move the file away", file.display())]
    Foreign {
        /// The database.
        file: PathBuf,
    },
    /// The file is damaged, or cannot be read.
    #[error("{}: cannot read the state: {why}; move the file away to start empty", file.display())]
    Unreadable {
        /// The database.
        file: PathBuf,
        /// The cause.
        why: String,
    },
}

/// Why an operation on the database failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the directory is not writable: {0}")]
    Unwritable(String),
}

impl DatabaseError {
    /// True if the disk refuses writes; the file itself may be intact.
    pub(super) fn is_of_the_disk(&self) -> bool {
        let code = match self {
            Self::Unwritable(_) => return true,
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Json(_) | Self::Store(_) => None,
        };
        use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
        code.is_some_and(|code| matches!(code, CannotOpen | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure))
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull))
    }

    pub(super) fn into_store_error(self, file: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            // Another program, such as SQLite's shell, holds the file without taking our lock.
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                StoreError::InUse { path: file.to_path_buf() }
            }
            other => StoreError::Unreadable { file: file.to_path_buf(), why: other.to_string() },
        }
    }
}

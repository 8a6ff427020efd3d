//! Why a state cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a state cannot be used. What to do about it is said too.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory is of no use.
    #[error("--storage.path: {} cannot be used: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("--storage.path: {} is in use by another process (expected a directory for this one alone)", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{}: written by a newer version of this program (its schema is {found}, and this one knows {known}); \
         run that version, or move the file away to begin anew",
        file.display()
    )]
    Newer {
        /// Which.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// It is something else.
    #[error("{}: not a state of this program; give another --storage.path, or move the file away", file.display())]
    Foreign {
        /// Which.
        file: PathBuf,
    },
    /// It cannot be read, or not be understood.
    #[error("{}: the state cannot be read: {why}; move the file away to begin anew", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

//! Access to the files of a registry.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

/// Read-only access to the `v2` directory of a registry, to which paths are relative. [`Disk`](super::Disk) reads a file
/// system; an object store only needs keys, prefixes and lengths.
pub trait Source: Sync {
    /// The entries of a directory, in no order.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the directory is absent or cannot be listed completely.
    fn list(&self, folder: &Path) -> Result<Vec<Entry>, Fault>;

    /// The content of a file, at most `limit` + 1 bytes.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the file is absent or cannot be read completely.
    fn read(&self, file: &Path, limit: usize) -> Result<Vec<u8>, Fault>;

    /// The length of a file in bytes, without reading it.
    ///
    /// # Errors
    ///
    /// As for [`Source::read`].
    fn size(&self, file: &Path) -> Result<u64, Fault>;

    /// The content of a file as a stream.
    ///
    /// # Errors
    ///
    /// As for [`Source::read`].
    fn open(&self, file: &Path) -> Result<Box<dyn Read>, Fault>;

    /// True if both are the same directory, through a symbolic link.
    fn is_same_folder(&self, _one: &Path, _other: &Path) -> bool {
        false
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Its type.
    pub kind: EntryKind,
}

impl Entry {
    /// True for a directory.
    pub fn is_folder(&self) -> bool {
        matches!(self.kind, EntryKind::Folder | EntryKind::LinkedFolder)
    }
}

/// The type of an entry. Symbolic links are followed, as registries do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory.
    Folder,
    /// A symbolic link to a directory.
    LinkedFolder,
    /// A file.
    File,
    /// Anything else, which cannot be read: see [`Fault`].
    Unusable(&'static str),
}

/// Why a path could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not exist.
    #[error("it does not exist")]
    Absent,
    /// A dangling symbolic link, which a registry does not find either.
    #[error("a dangling symbolic link")]
    Dangling,
    /// A directory instead of a file.
    #[error("a directory, not a file")]
    Folder,
    /// A pipe, a socket or a device, which is never read because it may not end.
    #[error("{0}, not a file")]
    Special(&'static str),
    /// The system reported an error.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl Fault {
    /// True if a registry reports it as "not found".
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Absent | Self::Dangling)
    }
}

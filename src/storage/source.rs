//! What a scan asks of the place where a registry keeps its files.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

/// Read-only access to the `v2` folder of a registry. Paths are relative to it. A file system is [`Disk`](super::Disk);
/// a bucket can be another one, since nothing here needs more than keys, prefixes and lengths.
pub trait Source: Sync {
    /// What lies in a folder, in no order.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the folder is absent or cannot be listed to its end.
    fn list(&self, folder: &Path) -> Result<Vec<Entry>, Fault>;

    /// The bytes of a file, or the first `limit` + 1 of them if there are more.
    ///
    /// # Errors
    ///
    /// [`Fault`] if there is no such file, or it is none that can be read to its end.
    fn read(&self, file: &Path, limit: usize) -> Result<Vec<u8>, Fault>;

    /// The length of a file in bytes, without reading it.
    ///
    /// # Errors
    ///
    /// As for [`Source::read`].
    fn size(&self, file: &Path) -> Result<u64, Fault>;

    /// A file's bytes as a stream.
    ///
    /// # Errors
    ///
    /// As for [`Source::read`].
    fn open(&self, file: &Path) -> Result<Box<dyn Read>, Fault>;

    /// True if both are one folder, by way of a symbolic link. Where there are none, never.
    fn is_same_folder(&self, _one: &Path, _other: &Path) -> bool {
        false
    }
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its last component.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

impl Entry {
    /// True if it can be listed.
    pub fn is_folder(&self) -> bool {
        matches!(self.kind, EntryKind::Folder | EntryKind::LinkedFolder)
    }
}

/// What a name in a folder stands for; links are followed, as registries do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A symbolic link to a folder.
    LinkedFolder,
    /// A file.
    File,
    /// Something else, of which nothing can be read: see [`Fault`].
    Unusable(&'static str),
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is nothing of that name.
    #[error("it does not exist")]
    Absent,
    /// A registry finds nothing there either.
    #[error("a symbolic link into nowhere")]
    Dangling,
    /// A folder stands where a file is expected.
    #[error("a folder, not a file")]
    Folder,
    /// A pipe, a socket or a device, which is never read: it may never end.
    #[error("{0}, not a file")]
    Special(&'static str),
    /// The storage refused or failed.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl Fault {
    /// True if a registry takes it for "not found".
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Absent | Self::Dangling)
    }
}

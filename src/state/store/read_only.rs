//! A state that can only be read: what it holds is known all the same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::disk::open_for_writing;
use super::{FILE, Limits, StoreError};

/// A copy. SQLite reads no journal that it cannot write, and a process that was killed leaves one.
#[derive(Debug)]
pub(super) struct Copied {
    connection: Connection,
    _directory: TempDir,
}

impl Copied {
    /// A copy of the file; `None` if there is none.
    pub(super) fn of(file: &Path) -> Result<Option<Self>, StoreError> {
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
        let limits = Limits { age: std::time::Duration::MAX, bytes: u64::from(u32::MAX) };
        let connection = open_for_writing(&copy, limits).map_err(|why| why.of_file(file))?;
        Ok(Some(Self { connection, _directory: directory }))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// Permissions are copied too.
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

//! One process a directory.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::StoreError;

/// The file's name in the directory. It stays when the process ends; the lock on it does not, however it ends.
const FILE: &str = "lock";

/// Takes the directory for this process; `None` if nothing can be written there, so that nothing can be taken either.
pub(super) fn take(directory: &Path) -> Result<Option<File>, StoreError> {
    let fault = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    let file = match File::options().write(true).create(true).truncate(false).open(directory.join(FILE)) {
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

/// True if the disk does not take anything, now or from this user; it may one day.
pub(super) fn is_unwritable(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded | FileTooLarge)
}

//! Files that hold a secret.

use std::path::Path;

use super::error::CredentialsError;

/// A credentials file is not larger than this, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Reads a file of at most 1 MiB of UTF-8.
///
/// # Errors
///
/// [`CredentialsError`] if it cannot be read, is larger, or is not text.
pub fn read(path: &Path) -> Result<String, CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable { path: path.display().to_string(), source };
    let invalid = |fault| CredentialsError::Invalid { path: path.display().to_string(), fault };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_LIMIT {
        return Err(invalid("is not a file of at most 1 MiB"));
    }
    String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|_| invalid("is not UTF-8"))
}

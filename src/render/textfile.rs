//! Metrics in a file, for node_exporter's textfile collector.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::Builder;

/// World-readable, because the collector runs as another user.
const MODE: u32 = 0o644;

/// Replaces a file atomically: readers see the old content or the new one, even after a crash.
///
/// The content is written to a temporary file in the same directory, which must be writable. Its name does not end in
/// `.prom`, so that the collector ignores it.
///
/// # Errors
///
/// I/O errors; the file is then unchanged.
pub fn write(path: &Path, metrics: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = Builder::new().prefix(".registry-integrity-probe.").suffix(".tmp").tempfile_in(directory)?;
    file.write_all(metrics.as_bytes())?;
    // The mode given to open() is subject to the umask.
    file.as_file().set_permissions(Permissions::from_mode(MODE))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn replaces_content_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.prom");
        fs::write(&path, "old and longer\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        write(&path, "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn failed_replacement_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.prom");
        fs::create_dir(&path).unwrap();
        write(&path, "new\n").unwrap_err();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        write(&directory.path().join("absent/registry.prom"), "new\n").unwrap_err();
    }
}

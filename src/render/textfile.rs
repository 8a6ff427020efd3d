//! Metrics in a file, for node_exporter's textfile collector.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::Builder;

/// Everybody may read it: the collector runs as a user of its own.
const MODE: u32 = 0o644;

/// Replaces a file's content as a whole: whoever reads it sees the old content or the new one, also after a crash.
///
/// The content is first written beside the file, so its directory must be writable. The name there does not end in
/// `.prom`, which keeps the collector from reading half of it.
///
/// # Errors
///
/// What the file system says; the file is then as it was.
pub fn write(path: &Path, metrics: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = Builder::new().prefix(".registry-integrity-probe.").suffix(".tmp").tempfile_in(directory)?;
    file.write_all(metrics.as_bytes())?;
    // Set afterwards, since what a file is opened with is subject to the umask.
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
    fn replaces_the_whole_content_and_leaves_nothing_else() {
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
    fn what_cannot_be_replaced_stays_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.prom");
        fs::create_dir(&path).unwrap();
        write(&path, "new\n").unwrap_err();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        write(&directory.path().join("absent/registry.prom"), "new\n").unwrap_err();
    }
}

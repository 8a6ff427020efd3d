//! Read-only access to a registry's directory on a file system.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};

use super::source::{Entry, EntryKind, Fault, Source};

/// Buffer for names; a directory of 256 blobs takes one system call.
const NAMES_BUFFER: usize = 32 * 1024;

/// A directory on a file system, held open so that paths are resolved from it.
#[derive(Clone, Debug)]
pub struct Disk {
    v2: Arc<OwnedFd>,
}

impl Disk {
    /// Opens the `v2` directory.
    ///
    /// # Errors
    ///
    /// The system's error if it is absent or unreadable.
    pub fn open(v2: &Path) -> io::Result<Self> {
        let v2 = rustix::fs::open(v2, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { v2: Arc::new(v2) })
    }

    /// Metadata of a path. Symbolic links are followed, as registries do.
    fn stat(&self, path: &Path) -> rustix::io::Result<Stat> {
        rustix::fs::statat(&self.v2, path, AtFlags::empty())
    }

    fn is_symlink(&self, path: &Path) -> bool {
        let stat = rustix::fs::statat(&self.v2, path, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    fn fault(&self, path: &Path, error: rustix::io::Errno) -> Fault {
        match error {
            rustix::io::Errno::NOENT if self.is_symlink(path) => Fault::Dangling,
            rustix::io::Errno::NOENT => Fault::Absent,
            error => Fault::Unreadable(io::Error::from(error).to_string()),
        }
    }

    /// Opens a file without blocking on a pipe, and returns its length.
    fn open_file(&self, path: &Path) -> Result<(OwnedFd, u64), Fault> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.v2, path, flags, Mode::empty()) {
            Ok(file) => {
                let stat = rustix::fs::fstat(&file).map_err(|error| self.fault(path, error))?;
                Ok((file, length(&stat)?))
            }
            // A socket cannot be opened at all.
            Err(error) => match self.stat(path).map(|stat| length(&stat)) {
                Ok(Err(fault)) => Err(fault),
                _ => Err(self.fault(path, error)),
            },
        }
    }

    fn kind(&self, folder: &Path, name: &OsStr, file_type: FileType) -> EntryKind {
        match file_type {
            FileType::Directory => EntryKind::Folder,
            FileType::RegularFile => EntryKind::File,
            FileType::Symlink | FileType::Unknown => {
                let path = folder.join(name);
                match self.stat(&path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                    Ok(FileType::Directory) if self.is_symlink(&path) => EntryKind::LinkedFolder,
                    Ok(FileType::Directory) => EntryKind::Folder,
                    Ok(FileType::RegularFile) => EntryKind::File,
                    Ok(other) => EntryKind::Unusable(special(other)),
                    Err(rustix::io::Errno::NOENT) => EntryKind::Unusable("a dangling symbolic link"),
                    Err(_) => EntryKind::Unusable("a symbolic link that cannot be followed"),
                }
            }
            other => EntryKind::Unusable(special(other)),
        }
    }
}

impl AsFd for Disk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.v2.as_fd()
    }
}

impl Source for Disk {
    fn list(&self, folder: &Path) -> Result<Vec<Entry>, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let opened = rustix::fs::openat(&self.v2, name, flags, Mode::empty());
        let directory = opened.map_err(|error| self.fault(folder, error))?;
        let mut buffer = Vec::with_capacity(NAMES_BUFFER);
        let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
        let mut entries = Vec::new();
        while let Some(entry) = names.next() {
            let entry = entry.map_err(|error| self.fault(folder, error))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                let kind = self.kind(folder, name, entry.file_type());
                entries.push(Entry { name: OsString::from(name), kind });
            }
        }
        Ok(entries)
    }

    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, Fault> {
        let (file, length) = self.open_file(path)?;
        let expected = usize::try_from(length).unwrap_or(usize::MAX).min(limit + 1);
        let mut bytes = vec![0; expected];
        let mut filled = 0;
        while filled < expected {
            match rustix::io::read(&file, &mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.fault(path, error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn size(&self, path: &Path) -> Result<u64, Fault> {
        length(&self.stat(path).map_err(|error| self.fault(path, error))?)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read>, Fault> {
        Ok(Box::new(File::from(self.open_file(path)?.0)))
    }

    fn is_same_folder(&self, one: &Path, other: &Path) -> bool {
        let identity = |path: &Path| self.stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
        identity(one).is_some_and(|it| Some(it) == identity(other))
    }
}

/// A file's length.
fn length(stat: &Stat) -> Result<u64, Fault> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
        FileType::Directory => Err(Fault::Folder),
        other => Err(Fault::Special(special(other))),
    }
}

fn special(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn lists_every_file_type_without_blocking() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        std::fs::write(path("file"), b"12345").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        symlink("folder", path("linked")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        symlink("loop", path("loop")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();

        let disk = Disk::open(place.path()).unwrap();
        let mut entries = disk.list(Path::new("")).unwrap();
        entries.sort();
        let kinds: Vec<_> = entries.iter().map(|entry| (entry.name.to_str().unwrap(), entry.kind)).collect();
        assert_eq!(
            kinds,
            [
                ("dangling", EntryKind::Unusable("a dangling symbolic link")),
                ("file", EntryKind::File),
                ("folder", EntryKind::Folder),
                ("linked", EntryKind::LinkedFolder),
                ("loop", EntryKind::Unusable("a symbolic link that cannot be followed")),
                ("pipe", EntryKind::Unusable("a pipe")),
                ("socket", EntryKind::Unusable("a socket")),
            ]
        );
        let read = |name: &str| disk.read(Path::new(name), 3);
        assert_eq!(read("file").unwrap(), b"1234", "one byte beyond the limit shows that there are more");
        assert_eq!(read("absent"), Err(Fault::Absent));
        assert_eq!(read("dangling"), Err(Fault::Dangling));
        assert_eq!(read("folder"), Err(Fault::Folder));
        assert_eq!(read("pipe"), Err(Fault::Special("a pipe")));
        assert_eq!(read("socket"), Err(Fault::Special("a socket")));
        assert!(matches!(read("loop"), Err(Fault::Unreadable(_))));
        assert!(matches!(read("file/below"), Err(Fault::Unreadable(_))));
        assert_eq!(disk.size(Path::new("file")), Ok(5));
        assert!(disk.is_same_folder(Path::new("linked"), Path::new("folder")));
    }
}

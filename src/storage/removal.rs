//! Removes layer links without data, the only change that a scan can make. Such a link makes a push skip its layer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::disk::Disk;
use super::finding::{Removal, RemovalOutcome};
use super::layout::{self, LINK};
use super::read::parse_link;
use super::source::{Fault, Source};
use super::tree::{Blob, Id, Repository, Target, Tree, display};
use crate::oci::Digest;

/// Longer than any link.
const LONGEST_LINK: u64 = 200;

/// Removes every layer link without data; with `dry_run`, only lists them. Each is checked again immediately before.
pub(super) fn remove_orphan_layer_links(disk: &Disk, tree: &Tree, dry_run: bool) -> Vec<Removal> {
    let orphans = tree.repositories.iter().flat_map(|repository| {
        repository.layers.entries.iter().filter_map(move |link| match (link.digest, &link.target) {
            (Some(digest), Target::Digest(target)) if tree.blob(*target) == Blob::Absent => {
                Some((repository, digest, *target))
            }
            _ => None,
        })
    });
    let remover = Remover { disk, tree, dry_run };
    orphans.map(|(repository, digest, target)| remover.remove(repository, digest, target)).collect()
}

/// Why a link was kept.
#[derive(Debug, thiserror::Error)]
enum KeepReason {
    #[error("there are no blobs: is the disk that holds them mounted?")]
    NoBlobs,
    #[error("its path contains a symbolic link, or a directory of it is gone: {0}")]
    Path(io::Error),
    #[error("it changed during the scan")]
    Changed,
    #[error("its data exists now")]
    DataExists,
    #[error("cannot tell whether its data exists: {0}")]
    Unknown(Fault),
    #[error("its data appeared while it was removed, so it was restored")]
    Restored,
    #[error("{0}")]
    Io(#[from] io::Error),
}

struct Remover<'a> {
    disk: &'a Disk,
    tree: &'a Tree,
    dry_run: bool,
}

impl Remover<'_> {
    fn remove(&self, repository: &Repository, digest: Id, target: Id) -> Removal {
        let path = layout::layer_link(&repository.name, self.tree.digests.get(digest));
        let result = self.try_remove(&path, self.tree.digests.get(target));
        let removal = Removal {
            repository: display(&repository.name),
            digest: self.tree.digests.get(digest).to_string(),
            path: display(&path),
            outcome: match (&result, self.dry_run) {
                (Ok(()), false) => RemovalOutcome::Removed,
                (Ok(()), true) => RemovalOutcome::WouldRemove,
                (Err(_), _) => RemovalOutcome::Kept,
            },
            detail: result.err().map(|why| why.to_string()),
        };
        tracing::info!(
            link = removal.path,
            outcome = removal.outcome.as_str(),
            detail = removal.detail,
            "orphan layer link"
        );
        removal
    }

    fn try_remove(&self, link: &Path, target: &Digest) -> Result<(), KeepReason> {
        if self.tree.blob_count() == 0 {
            return Err(KeepReason::NoBlobs);
        }
        let folder = self.open_folder(link.parent().unwrap_or(link)).map_err(KeepReason::Path)?;
        if read_link(&folder)?.as_ref() != Some(target) {
            return Err(KeepReason::Changed);
        }
        self.is_gone(target)?;
        if self.dry_run {
            return Ok(());
        }
        rustix::fs::unlinkat(&folder, LINK, AtFlags::empty()).map_err(io::Error::from)?;
        // A push writes the data before the link: if the data exists now, the removed link may be the push's. The
        // directory stays, since a push may be about to write into it.
        if self.is_gone(target).is_err() {
            write_link(&folder, target)?;
            return Err(KeepReason::Restored);
        }
        Ok(())
    }

    /// Opens a directory without following symbolic links.
    fn open_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = rustix::fs::openat(self.disk, ".", flags, Mode::empty())?;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            };
            folder = rustix::fs::openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Fails unless the data is certainly absent, and not on a disk that is not mounted.
    fn is_gone(&self, target: &Digest) -> Result<(), KeepReason> {
        let data = layout::data(target);
        match self.disk.size(&data) {
            Ok(_) => return Err(KeepReason::DataExists),
            Err(Fault::Absent) => {}
            Err(fault) => return Err(KeepReason::Unknown(fault)),
        }
        match data.ancestors().skip(1).map(|path| self.disk.size(path)).find(|found| *found != Err(Fault::Absent)) {
            Some(Err(Fault::Folder)) => Ok(()),
            Some(Err(fault)) => Err(KeepReason::Unknown(fault)),
            Some(Ok(_)) | None => Err(KeepReason::NoBlobs),
        }
    }
}

fn read_link(folder: &OwnedFd) -> io::Result<Option<Digest>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, LINK, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut content = Vec::new();
    File::from(file).take(LONGEST_LINK).read_to_end(&mut content)?;
    Ok(parse_link(&content))
}

fn write_link(folder: &OwnedFd, target: &Digest) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, LINK, flags, Mode::from_raw_mode(0o644)) {
        Ok(file) => File::from(file).write_all(target.to_string().as_bytes()),
        // A push wrote it after the removal.
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

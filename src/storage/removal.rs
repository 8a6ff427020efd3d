//! Removes layer links whose bytes are gone: the only change that a scan can make. Such a link tells a push that its
//! layer is there.

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

/// No link is longer.
const LONGEST_LINK: u64 = 200;

/// Removes, or with `dry_run` only names, every layer link whose bytes are gone. Each is looked at again right before.
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
enum Kept {
    #[error("there are no blobs at all: is the disk that holds them mounted?")]
    NoBlobs,
    #[error("a symbolic link is on the way to it, or a part of the way is gone: {0}")]
    Way(io::Error),
    #[error("it is not what it was")]
    Changed,
    #[error("its bytes are there now")]
    BytesAreThere,
    #[error("whether its bytes are there cannot be told: {0}")]
    Unknown(Fault),
    #[error("its bytes came while it was removed, so it was written again")]
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

    fn try_remove(&self, link: &Path, target: &Digest) -> Result<(), Kept> {
        if self.tree.blob_count() == 0 {
            return Err(Kept::NoBlobs);
        }
        let folder = self.open_folder(link.parent().unwrap_or(link)).map_err(Kept::Way)?;
        if read_link(&folder)?.as_ref() != Some(target) {
            return Err(Kept::Changed);
        }
        self.is_gone(target)?;
        if self.dry_run {
            return Ok(());
        }
        rustix::fs::unlinkat(&folder, LINK, AtFlags::empty()).map_err(io::Error::from)?;
        // A push writes the bytes first and the link then: if they are here now, that link may be the one just removed.
        // Its folder stays, since a push may be about to write into it.
        if self.is_gone(target).is_err() {
            write_link(&folder, target)?;
            return Err(Kept::Restored);
        }
        Ok(())
    }

    /// Opens a folder step by step, through no symbolic link.
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

    /// Fails unless the bytes are absent for sure: not behind a link to a disk that is not there.
    fn is_gone(&self, target: &Digest) -> Result<(), Kept> {
        let data = layout::data(target);
        match self.disk.size(&data) {
            Ok(_) => return Err(Kept::BytesAreThere),
            Err(Fault::Absent) => {}
            Err(fault) => return Err(Kept::Unknown(fault)),
        }
        match data.ancestors().skip(1).map(|path| self.disk.size(path)).find(|found| *found != Err(Fault::Absent)) {
            Some(Err(Fault::Folder)) => Ok(()),
            Some(Err(fault)) => Err(Kept::Unknown(fault)),
            Some(Ok(_)) | None => Err(Kept::NoBlobs),
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
        // The push wrote it after it was removed.
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

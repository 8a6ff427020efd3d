//! Recognises formats that `scan` cannot read.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use super::layout::{ALGORITHMS, BLOBS, LAYERS, MANIFESTS, REPOSITORIES};

/// Entries of a directory that are inspected.
const MOST_ENTRIES: usize = 1_000;
/// Levels of repository names that are inspected.
const NAME_DEPTH: usize = 6;
/// Directories that are inspected on these levels.
const MOST_FOLDERS: usize = 10_000;

/// A format that `scan` does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The OCI image specification's image layout.
    OciLayout,
    /// zot, or another registry that keeps one OCI image layout for each repository.
    Zot,
    /// An unpacked `docker save` archive.
    DockerSave,
    /// An image written by `skopeo copy` to `dir:`.
    ContainersDir,
    /// containerd's content store, or its parent.
    Containerd,
    /// Docker Engine's data root.
    DockerEngine,
    /// The image store of podman, Buildah and CRI-O.
    ContainersStorage,
    /// Gitea's or Forgejo's store of packages.
    Gitea,
    /// Sonatype Nexus.
    Nexus,
    /// Quay's local storage.
    Quay,
    /// The v1 registry, used before 2015.
    RegistryOne,
    /// Blobs in distribution's layout, without repositories.
    DistributionBlobs,
    /// Blobs in an unknown layout.
    Blobs,
    /// A tar archive, compressed or not.
    Archive,
    /// Another file.
    File,
    /// An empty directory.
    Empty,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OciLayout => "an OCI image layout",
            Self::Zot => "a directory of OCI image layouts, the storage of a zot registry",
            Self::DockerSave => "an unpacked archive of `docker save`",
            Self::ContainersDir => "an image in skopeo's `dir:` format",
            Self::Containerd => "a content store of containerd",
            Self::DockerEngine => "the data root of Docker Engine",
            Self::ContainersStorage => "an image store of podman, Buildah or CRI-O",
            Self::Gitea => "a package store of Gitea or Forgejo",
            Self::Nexus => "a blob store of Sonatype Nexus",
            Self::Quay => "the storage of Quay",
            Self::RegistryOne => "the storage of a v1 registry (docker-registry 0.x)",
            Self::DistributionBlobs => {
                "a directory with the `blobs` of a distribution registry and without its `repositories`"
            }
            Self::Blobs => "a directory `blobs` in a layout other than that of distribution",
            Self::Archive => "an archive, such as `docker save` and `skopeo copy` write",
            Self::File => "a file",
            Self::Empty => "an empty directory",
        })
    }
}

impl Format {
    /// True if no registry can be inside; Docker's volumes can contain one.
    pub(super) fn is_final(self) -> bool {
        self != Self::DockerEngine
    }
}

/// The format of a file.
pub(super) fn of_file(path: &Path) -> Format {
    let mut head = Vec::new();
    // An unreadable file is still a file.
    let _ = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    let is_tar = head.get(257..262) == Some(b"ustar");
    let is_compressed =
        [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ"].iter().any(|it| head.starts_with(it));
    if is_tar || is_compressed { Format::Archive } else { Format::File }
}

/// The format of a directory, if recognised.
pub(super) fn of_folder(folder: &Path) -> Option<Format> {
    let has_file = |name: &str| folder.join(name).is_file();
    let has_folder = |name: &str| folder.join(name).is_dir();
    let dir_version =
        || fs::read(folder.join("version")).is_ok_and(|it| it.starts_with(b"Directory Transport Version"));
    if has_file("manifest.json") && (has_file("oci-layout") || has_file("repositories")) {
        Some(Format::DockerSave)
    } else if has_file("manifest.json") && dir_version() {
        Some(Format::ContainersDir)
    } else if is_oci_layout(folder) {
        Some(Format::OciLayout)
    } else if (has_file("cache.db") || has_file("_restore_complete")) && any_nested(folder, is_oci_layout) {
        Some(Format::Zot)
    } else if has_folder("io.containerd.content.v1.content") || (has_folder(BLOBS) && has_folder("ingest")) {
        Some(Format::Containerd)
    } else if has_folder("overlay-images") || has_folder("vfs-images") {
        Some(Format::ContainersStorage)
    } else if has_folder("image") && has_folder("containers") && has_folder("volumes") {
        Some(Format::DockerEngine)
    } else if is_nexus(folder) || any_below(&folder.join(BLOBS), is_nexus) {
        Some(Format::Nexus)
    } else if is_quay(folder) || is_quay(&folder.join("registry")) || is_quay(&folder.join("datastorage/registry")) {
        Some(Format::Quay)
    } else if is_gitea(folder) || is_gitea(&folder.join("packages")) {
        Some(Format::Gitea)
    } else if has_folder(REPOSITORIES) && has_folder("images") {
        Some(Format::RegistryOne)
    } else if has_distribution_blobs(folder) {
        Some(Format::DistributionBlobs)
    } else if has_folder(BLOBS) {
        Some(Format::Blobs)
    } else {
        None
    }
}

/// True if a directory contains blobs or repositories in distribution's layout.
pub(super) fn is_distribution(folder: &Path) -> bool {
    let is_repository = |folder: &Path| folder.join(LAYERS).is_dir() || folder.join(MANIFESTS).is_dir();
    has_distribution_blobs(folder) || any_nested(&folder.join(REPOSITORIES), is_repository)
}

fn has_distribution_blobs(folder: &Path) -> bool {
    let blobs = folder.join(BLOBS);
    ALGORITHMS.iter().any(|algorithm| any_below(&blobs.join(algorithm), |prefix| is_hex(prefix, 2)))
}

fn is_oci_layout(folder: &Path) -> bool {
    folder.join("oci-layout").is_file() || (folder.join("index.json").is_file() && folder.join(BLOBS).is_dir())
}

/// `content/vol-…` and `metadata.properties`.
fn is_nexus(folder: &Path) -> bool {
    folder.join("metadata.properties").is_file() && folder.join("content").is_dir()
}

/// `sha256/<first two>/<hex>`, files; distribution has directories of these names.
fn is_quay(folder: &Path) -> bool {
    let is_blob = |path: &Path| is_hex(path, 64) && path.is_file();
    any_below(&folder.join("sha256"), |prefix| is_hex(prefix, 2) && any_entry(prefix, is_blob))
}

/// `<first two>/<next two>/<hex>`.
fn is_gitea(folder: &Path) -> bool {
    let holds_blobs = |folder: &Path| is_hex(folder, 2) && any_entry(folder, |blob| is_hex(blob, 64));
    any_below(folder, |first| is_hex(first, 2) && any_below(first, holds_blobs))
}

/// True if a path's last component has this many hexadecimal digits and nothing else.
fn is_hex(path: &Path, digits: usize) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == digits && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn any_below(folder: &Path, mut is_it: impl FnMut(&Path) -> bool) -> bool {
    any_entry(folder, |path| path.is_dir() && is_it(path))
}

fn any_entry(folder: &Path, mut is_it: impl FnMut(&Path) -> bool) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().take(MOST_ENTRIES).any(|entry| is_it(&entry.path())))
}

/// True if a directory matches at any usual depth of a repository name.
fn any_nested(folder: &Path, is_it: impl Fn(&Path) -> bool) -> bool {
    fn look(folder: &Path, depth: usize, left: &mut usize, is_it: &dyn Fn(&Path) -> bool) -> bool {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        is_it(folder) || (depth > 0 && any_below(folder, |below| look(below, depth - 1, left, is_it)))
    }
    let mut left = MOST_FOLDERS;
    look(folder, NAME_DEPTH, &mut left, &is_it)
}

//! Finds the registries under a directory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::format::{self, Format};
use super::layout;
use super::tree::display;

/// Search depth: `/var/lib/docker/volumes` contains `NAME/_data/docker/registry/v2`.
const DEPTH: usize = 3;
/// The registry's data, below its `rootdirectory`.
const V2: &str = "docker/registry/v2";

/// The location of a registry's storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The registry's `rootdirectory`, if it could be determined.
    pub root: PathBuf,
    /// Its `v2` directory.
    pub v2: PathBuf,
    /// Other paths of it, through symbolic links or other spellings.
    pub aliases: Vec<PathBuf>,
}

impl Location {
    /// True if a name means this registry: its directory's name, or the last components of its path.
    pub fn is_called(&self, name: &str) -> bool {
        let name = name.trim_end_matches('/');
        self.root.ends_with(name) || self.aliases.iter().any(|alias| alias.ends_with(name))
    }
}

/// Why no storage was found.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The directory cannot be listed.
    #[error("{}: {source}; pass a directory that exists and that this user can list", .path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no registry.
    #[error(
        "{}: no registry's storage here; pass the directory that contains docker/registry/v2 (a registry's \
         rootdirectory), that directory itself, or a parent of several",
        .0.display()
    )]
    NoRegistry(PathBuf),
    /// The directory has another format.
    #[error(
        "{}: this is {format}, which scan cannot read; it reads the storage of distribution (registry 2 and 3): pass the \
         directory that contains docker/registry/v2",
        .path.display()
    )]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Its format.
        format: Format,
    },
}

/// The content of the given directories.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// Each registry once, however many names lead to it, in the order of their paths.
    pub registries: Vec<Location>,
    /// Directories next to a registry that cannot be scanned, sorted by path.
    pub foreign: Vec<Foreign>,
}

/// Something recognised that `scan` cannot read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Where.
    pub path: String,
    /// What it is.
    pub format: Format,
}

/// Finds the registries in folders: in `docker/registry/v2`, or the folder is that one, or it holds folders with such.
///
/// # Errors
///
/// [`LocateError`] if there is none in one of the folders.
pub fn locate<P: AsRef<Path>>(roots: &[P]) -> Result<Located, LocateError> {
    let mut registries: BTreeMap<PathBuf, Location> = BTreeMap::new();
    let mut foreign = BTreeMap::new();
    for root in roots {
        let search = search(root.as_ref())?;
        for location in search.found {
            match registries.entry(real_path(&location.v2)) {
                Entry::Occupied(mut known) => known.get_mut().aliases.push(location.root),
                Entry::Vacant(new) => _ = new.insert(location),
            }
        }
        for (path, format) in search.foreign.into_iter().filter(|(_, format)| format.is_final()) {
            foreign.entry(real_path(&path)).or_insert(Foreign { path: display(&path), format });
        }
    }
    let mut located =
        Located { registries: registries.into_values().collect(), foreign: foreign.into_values().collect() };
    located.registries.sort();
    located.foreign.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(located)
}

/// A path without symbolic links.
fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Searches one directory for registries.
fn search(path: &Path) -> Result<Search, LocateError> {
    if path.is_file() {
        return Err(LocateError::Foreign { path: path.to_owned(), format: format::of_file(path) });
    }
    let mut entries = fs::read_dir(path).map_err(|source| LocateError::Unreadable { path: path.to_owned(), source })?;
    let mut search = Search::default();
    search.folder(path, DEPTH);
    search.found.sort();
    search.merge_layouts(path);
    if !search.found.is_empty() {
        return Ok(search);
    }
    let is_empty = entries.next().is_none();
    let format = if is_empty { Some((path.to_owned(), Format::Empty)) } else { search.foreign.into_iter().next() };
    Err(match (format, search.unreadable) {
        (Some((path, format)), _) => LocateError::Foreign { path, format },
        (None, Some(error)) => error,
        (None, None) => LocateError::NoRegistry(path.to_owned()),
    })
}

#[derive(Default)]
struct Search {
    found: Vec<Location>,
    /// Directories of other formats.
    foreign: Vec<(PathBuf, Format)>,
    /// The first directory that could not be listed.
    unreadable: Option<LocateError>,
}

impl Search {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let v2 = folder.join(V2);
        if v2.is_dir() {
            return self.found.push(Location { root: folder.to_owned(), v2, aliases: Vec::new() });
        }
        if is_v2(folder) {
            let known = folder.ancestors().nth(3).filter(|root| root.join(V2) == folder);
            let root = known.filter(|root| !root.as_os_str().is_empty()).unwrap_or(folder);
            return self.found.push(Location { root: root.to_owned(), v2: folder.to_owned(), aliases: Vec::new() });
        }
        let format = format::of_folder(folder);
        self.foreign.extend(format.map(|format| (folder.to_owned(), format)));
        match format {
            _ if depth == 0 => {}
            None => self.below(folder, depth - 1),
            // The engine's own stores beside them are no registry's.
            Some(Format::DockerEngine) => self.folder(&folder.join("volumes"), depth - 1),
            Some(_) => {}
        }
    }

    fn below(&mut self, folder: &Path, depth: usize) {
        match fs::read_dir(folder) {
            Ok(entries) => {
                for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
                    self.folder(&path, depth);
                }
            }
            // An error only if no registry is found: every disk has a `lost+found`.
            Err(source) => {
                tracing::warn!(path = %folder.display(), error = %source, "cannot search a directory for registries");
                self.unreadable.get_or_insert(LocateError::Unreadable { path: folder.to_owned(), source });
            }
        }
    }

    /// Names the image layouts of a zot registry by its root: the highest folder that holds nothing else.
    fn merge_layouts(&mut self, root: &Path) {
        let others = self.foreign.iter().filter(|(_, format)| *format != Format::OciLayout).map(|(path, _)| path);
        let others = self.found.iter().map(|location| &location.v2).chain(others);
        let shared: HashSet<&Path> = others.flat_map(|path| path.ancestors()).collect();
        let merged = self.foreign.iter().map(|(path, format)| {
            let is_own = |folder: &&Path| folder.starts_with(root) && !shared.contains(folder);
            match path.ancestors().take_while(is_own).last() {
                Some(highest) if *format == Format::OciLayout && highest != path => (highest.to_owned(), Format::Zot),
                _ => (path.clone(), *format),
            }
        });
        let mut merged: Vec<_> = merged.collect();
        merged.sort_by(|a, b| a.0.cmp(&b.0));
        merged.dedup();
        self.foreign = merged;
    }
}

/// True for the `v2` directory of a registry, even if empty, and for a copy of one, recognised by its content.
fn is_v2(folder: &Path) -> bool {
    real_path(folder).ends_with(V2) || (folder.join(layout::REPOSITORIES).is_dir() && format::is_distribution(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(path: &Path) -> Vec<PathBuf> {
        locate(&[path]).unwrap().registries.into_iter().map(|location| location.root).collect()
    }

    #[test]
    fn finds_registries_from_any_level() {
        let place = tempfile::tempdir().unwrap();
        let private = place.path().join("private");
        let mirror = place.path().join("mirror/_data");
        for root in [&private, &mirror] {
            fs::create_dir_all(root.join("docker/registry/v2/repositories")).unwrap();
        }
        assert_eq!(roots(&private), std::slice::from_ref(&private));
        assert_eq!(roots(&private.join("docker/registry/v2")), std::slice::from_ref(&private));
        assert_eq!(roots(place.path()), [mirror.clone(), private.clone()]);
        let location = locate(&[&mirror]).unwrap().registries.remove(0);
        assert!(location.is_called("_data") && location.is_called("mirror/_data"));
        assert!(!location.is_called("mirror") && !location.is_called("data"));
    }

    #[test]
    fn directories_without_a_registry_are_errors() {
        let place = tempfile::tempdir().unwrap();
        assert!(matches!(locate(&[place.path()]), Err(LocateError::Foreign { format: Format::Empty, .. })));
        fs::create_dir_all(place.path().join("some/folder")).unwrap();
        assert!(matches!(locate(&[place.path()]), Err(LocateError::NoRegistry(_))));
        assert!(matches!(locate(&[place.path().join("absent")]), Err(LocateError::Unreadable { .. })));
    }

    #[test]
    fn copies_of_v2_are_recognised_by_content() {
        let place = tempfile::tempdir().unwrap();
        let copy = place.path().join("backup");
        fs::create_dir_all(copy.join("repositories/team/app")).unwrap();
        assert!(locate(&[&copy]).is_err(), "anything may have a folder of this name");
        fs::create_dir_all(copy.join("repositories/team/app/_manifests")).unwrap();
        assert_eq!(roots(&copy), std::slice::from_ref(&copy));
        let blobs = place.path().join("blobs only");
        fs::create_dir_all(blobs.join("blobs/sha256/0f")).unwrap();
        assert!(
            matches!(locate(&[&blobs]), Err(LocateError::Foreign { format: Format::DistributionBlobs, .. })),
            "an interrupted copy, or a store of another program"
        );
        fs::create_dir(blobs.join("repositories")).unwrap();
        assert_eq!(roots(&blobs), std::slice::from_ref(&blobs));
        let fresh = place.path().join("fresh/docker/registry/v2");
        fs::create_dir_all(&fresh).unwrap();
        assert_eq!(roots(&fresh), [place.path().join("fresh")]);
    }

    #[test]
    fn other_formats_are_recognised() {
        let hex = "0f".repeat(32);
        for (files, format) in [
            (&["oci-layout", "index.json", "blobs/sha256/HEX"][..], Format::OciLayout),
            (&["index.json", "blobs/sha256/HEX"], Format::OciLayout),
            (&["app/oci-layout", "team/web/oci-layout", "team/web/blobs/sha256/HEX"], Format::Zot),
            (&["cache.db", "a/b/c/d/e/f/oci-layout"], Format::Zot),
            (&["manifest.json", "oci-layout", "blobs/sha256/HEX"], Format::DockerSave),
            (&["manifest.json", "repositories", "HEX/layer.tar"], Format::DockerSave),
            (&["io.containerd.content.v1.content/blobs/sha256/HEX"], Format::Containerd),
            (&["blobs/sha256/HEX", "ingest/x"], Format::Containerd),
            (&["image/x", "containers/x", "volumes/x"], Format::DockerEngine),
            (&["overlay-images/images.json"], Format::ContainersStorage),
            (&["packages/0f/0f/HEX"], Format::Gitea),
            (&["0f/0f/HEX"], Format::Gitea),
            (&["blobs/default/metadata.properties", "blobs/default/content/x"], Format::Nexus),
            (&["datastorage/registry/sha256/0f/HEX"], Format::Quay),
            (&["images/x/json", "repositories/library/app/tag_latest"], Format::RegistryOne),
            (&["blobs/sha256/0f/HEX/data"], Format::DistributionBlobs),
            (&["blobs/sha256/HEX"], Format::Blobs),
            (&["blobs/x"], Format::Blobs),
        ] {
            let place = tempfile::tempdir().unwrap();
            for file in files {
                let path = place.path().join(file.replace("HEX", &hex));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "x").unwrap();
            }
            let found = locate(&[place.path()]);
            assert!(
                matches!(&found, Err(LocateError::Foreign { format: it, .. }) if *it == format),
                "{files:?}: {found:?}"
            );
        }
    }

    #[test]
    fn docker_volumes_can_contain_a_registry() {
        let place = tempfile::tempdir().unwrap();
        for folder in ["image", "containers", "volumes/registry/_data/docker/registry/v2"] {
            fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        assert_eq!(roots(place.path()), [place.path().join("volumes/registry/_data")]);
    }

    #[test]
    fn files_are_not_registries() {
        let place = tempfile::tempdir().unwrap();
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (content, format) in
            [(&b"x"[..], Format::File), (&tar, Format::Archive), (b"\x1f\x8b\x08", Format::Archive)]
        {
            let path = place.path().join("image.tar");
            fs::write(&path, content).unwrap();
            let found = locate(&[&path]);
            assert!(matches!(&found, Err(LocateError::Foreign { format: it, .. }) if *it == format), "{found:?}");
        }
    }
}

//! Finds the registries under the folders that a user names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::layout;

/// Folders below a given one that are looked into: `/var/lib/docker/volumes` holds `NAME/_data/docker/registry/v2`.
const DEPTH: usize = 3;

/// A registry's storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The folder that its operator knows: what the registry's `rootdirectory` says, where it could be told.
    pub root: PathBuf,
    /// Its `v2` folder.
    pub v2: PathBuf,
}

impl Location {
    /// True if a user means this registry by a name: its folder's, or the last few components of its path.
    pub fn is_called(&self, name: &str) -> bool {
        self.root.ends_with(name.trim_end_matches('/'))
    }
}

/// Why there is nothing to scan.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The folder is none that can be listed.
    #[error("{}: {source}; name a folder that exists and that this user may list", .path.display())]
    Unreadable {
        /// What the user named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No registry lies there.
    #[error(
        "{}: no registry's storage here; name the folder that holds docker/registry/v2 (a registry's rootdirectory), \
         that folder itself, or a folder of such folders",
        .0.display()
    )]
    NoRegistry(PathBuf),
}

/// Finds the registries in a folder: in `docker/registry/v2`, or the folder is that one, or it holds folders with such.
/// In the order of their paths.
///
/// # Errors
///
/// [`LocateError`] if there is none.
pub fn locate(path: &Path) -> Result<Vec<Location>, LocateError> {
    fs::read_dir(path).map_err(|source| LocateError::Unreadable { path: path.to_owned(), source })?;
    let (mut found, mut unreadable) = (Vec::new(), None);
    search(path, DEPTH, &mut found, &mut unreadable);
    found.sort();
    match (found.is_empty(), unreadable) {
        (false, _) => Ok(found),
        (true, Some(error)) => Err(error),
        (true, None) => Err(LocateError::NoRegistry(path.to_owned())),
    }
}

fn search(folder: &Path, depth: usize, found: &mut Vec<Location>, unreadable: &mut Option<LocateError>) {
    let v2 = folder.join("docker/registry/v2");
    if v2.is_dir() {
        found.push(Location { root: folder.to_owned(), v2 });
    } else if folder.join(layout::REPOSITORIES).is_dir() || folder.join(layout::BLOBS).is_dir() {
        let known = folder.ancestors().nth(3).filter(|root| root.join("docker/registry/v2") == folder);
        let root = known.filter(|root| !root.as_os_str().is_empty()).unwrap_or(folder);
        found.push(Location { root: root.to_owned(), v2: folder.to_owned() });
    } else if depth > 0 {
        match fs::read_dir(folder) {
            Ok(entries) => {
                for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
                    search(&path, depth - 1, found, unreadable);
                }
            }
            // An error only if nothing is found: every disk has a `lost+found`.
            Err(source) => {
                tracing::warn!(folder = %folder.display(), error = %source, "cannot look for registries in a folder");
                unreadable.get_or_insert(LocateError::Unreadable { path: folder.to_owned(), source });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(path: &Path) -> Vec<PathBuf> {
        locate(path).unwrap().into_iter().map(|location| location.root).collect()
    }

    #[test]
    fn finds_a_registry_however_its_folder_is_named() {
        let place = tempfile::tempdir().unwrap();
        let private = place.path().join("private");
        let mirror = place.path().join("mirror/_data");
        for root in [&private, &mirror] {
            fs::create_dir_all(root.join("docker/registry/v2/repositories")).unwrap();
        }
        assert_eq!(roots(&private), std::slice::from_ref(&private));
        assert_eq!(roots(&private.join("docker/registry/v2")), std::slice::from_ref(&private));
        assert_eq!(roots(place.path()), [mirror.clone(), private.clone()]);
        let location = locate(&mirror).unwrap().remove(0);
        assert!(location.is_called("_data") && location.is_called("mirror/_data"));
        assert!(!location.is_called("mirror") && !location.is_called("data"));
    }

    #[test]
    fn says_when_there_is_none() {
        let place = tempfile::tempdir().unwrap();
        assert!(matches!(locate(place.path()), Err(LocateError::NoRegistry(_))));
        assert!(matches!(locate(&place.path().join("absent")), Err(LocateError::Unreadable { .. })));
    }
}

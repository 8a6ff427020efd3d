//! Reads the blob store: lengths, no bytes.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::note::{unlisted, unverified};
use crate::oci::Digest;
use crate::storage::layout::{ALGORITHMS, BLOBS, DATA};
use crate::storage::source::{Entry, EntryKind, Fault, Source};
use crate::storage::tree::{Blob, Tree, Unverified};

/// The blob store, before digests are numbered.
#[derive(Default)]
pub(super) struct FoundBlobs {
    blobs: Vec<(Digest, Blob)>,
    is_absent: bool,
    unlisted: Vec<(String, Fault)>,
    strays: Vec<PathBuf>,
    noted: Vec<Unverified>,
}

/// Reads `blobs/<algorithm>/<first two>/<hex>/data`.
pub(super) fn read(source: &dyn Source) -> FoundBlobs {
    let root = Path::new(BLOBS);
    let mut found = FoundBlobs::default();
    let Some(algorithms) = found.list(source, root) else {
        found.is_absent = found.unlisted.is_empty();
        return found;
    };
    for entry in algorithms {
        let path = root.join(&entry.name);
        match entry.name.to_str().filter(|name| ALGORITHMS.contains(name)) {
            Some(algorithm) if entry.is_folder() => {
                let prefixes = found.list(source, &path).unwrap_or_default();
                let all: Vec<FoundBlobs> =
                    prefixes.par_iter().map(|prefix| read_prefix(source, &path, algorithm, prefix)).collect();
                all.into_iter().for_each(|more| found.extend(more));
            }
            _ => found.look_for_strays(source, path, &entry),
        }
    }
    found.strays.sort();
    found
}

fn read_prefix(source: &dyn Source, parent: &Path, algorithm: &str, prefix: &Entry) -> FoundBlobs {
    let mut found = FoundBlobs::default();
    let folder = parent.join(&prefix.name);
    if !prefix.is_folder() || prefix.name.len() != 2 {
        found.look_for_strays(source, folder, prefix);
        return found;
    }
    for entry in found.list(source, &folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        let name = entry.name.to_str().filter(|hex| hex.as_bytes().starts_with(prefix.name.as_encoded_bytes()));
        match name.and_then(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()) {
            Some(digest) if entry.is_folder() => found.read_blob(source, &path.join(DATA), digest),
            _ => found.look_for_strays(source, path, &entry),
        }
    }
    found
}

impl FoundBlobs {
    fn list(&mut self, source: &dyn Source, folder: &Path) -> Option<Vec<Entry>> {
        match source.list(folder) {
            Ok(entries) => Some(entries),
            Err(fault) => {
                let unlisted = unlisted(folder.to_owned(), fault, &mut self.noted)?;
                let prefix = folder.strip_prefix(BLOBS).unwrap_or(folder).to_string_lossy();
                self.unlisted.push((prefix.into_owned(), unlisted.fault));
                None
            }
        }
    }

    fn read_blob(&mut self, source: &dyn Source, path: &Path, digest: Digest) {
        match source.size(path) {
            Ok(size) => self.blobs.push((digest, Blob::Present(size))),
            Err(Fault::Absent) => {}
            Err(fault) => {
                self.noted.push(unverified(path, &fault));
                // A registry ignores a directory of that name.
                if !fault.is_absence() && fault != Fault::Folder {
                    self.blobs.push((digest, Blob::Unknown(Box::new(fault))));
                }
            }
        }
    }

    /// Finds files named `data` in unexpected places, at which collectors abort.
    fn look_for_strays(&mut self, source: &dyn Source, path: PathBuf, entry: &Entry) {
        match entry.kind {
            EntryKind::Folder | EntryKind::LinkedFolder => {
                for entry in self.list(source, &path).unwrap_or_default() {
                    self.look_for_strays(source, path.join(&entry.name), &entry);
                }
            }
            EntryKind::File if entry.name == DATA => {
                self.noted.push(unverified(&path, "data in an unexpected place"));
                self.strays.push(path);
            }
            EntryKind::File => {}
            EntryKind::Unusable(what) => self.noted.push(unverified(&path, what)),
        }
    }

    fn extend(&mut self, other: Self) {
        self.blobs.extend(other.blobs);
        self.unlisted.extend(other.unlisted);
        self.strays.extend(other.strays);
        self.noted.extend(other.noted);
    }

    /// Numbers the digests.
    pub(super) fn into_tree(self, tree: &mut Tree) {
        tree.unverified.extend(self.noted);
        tree.blobs.is_absent = self.is_absent;
        tree.blobs.unlisted = self.unlisted;
        tree.blobs.strays = self.strays;
        for (digest, state) in self.blobs {
            let index = tree.digests.intern(digest).index();
            if tree.blobs.states.len() <= index {
                tree.blobs.states.resize(index + 1, Blob::Absent);
            }
            tree.blobs.states[index] = state;
        }
    }
}

//! Reads a directory of links: `<algorithm>/<hex>/link`.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::note::{unlisted, unverified};
use crate::oci::Digest;
use crate::storage::layout::{ALGORITHMS, LINK};
use crate::storage::source::{Entry, EntryKind, Fault, Source};
use crate::storage::tree::{Digests, Id, Link, Links, Target, Unlisted, Unverified};

/// Longest content of a valid link.
const LONGEST_LINK: usize = 200;

/// A directory of links, before its digests are numbered.
#[derive(Default)]
pub(super) struct FoundLinks {
    links: Vec<FoundLink>,
    is_absent: bool,
    unlisted: Vec<Unlisted>,
}

struct FoundLink {
    digest: Option<Digest>,
    target: FoundTarget,
}

/// The target of a link, before its digest is numbered.
pub(super) enum FoundTarget {
    /// The digest in its path.
    Same,
    Digest(Digest),
    Absent,
    Unparsable,
    Unreadable(Box<Fault>),
}

/// Reads a directory of links, sorted by path like collectors visit it.
pub(super) fn read_links(source: &dyn Source, folder: PathBuf, noted: &mut Vec<Unverified>) -> FoundLinks {
    let mut found = FoundLinks::default();
    let mut entries = match source.list(&folder) {
        Ok(entries) => entries,
        Err(fault) => {
            found.is_absent = fault.is_absence();
            found.unlisted.extend(unlisted(folder, fault, noted));
            return found;
        }
    };
    entries.sort();
    for entry in entries {
        let path = folder.join(&entry.name);
        match entry.name.to_str().filter(|name| ALGORITHMS.contains(name)) {
            Some(algorithm) if entry.is_folder() => read_algorithm(source, &path, algorithm, &mut found, noted),
            _ => read_anywhere(source, path, &entry, &mut found, noted),
        }
    }
    found
}

fn read_algorithm(
    source: &dyn Source,
    folder: &Path,
    algorithm: &str,
    found: &mut FoundLinks,
    noted: &mut Vec<Unverified>,
) {
    let mut entries = match source.list(folder) {
        Ok(entries) => entries,
        Err(fault) => return found.unlisted.extend(unlisted(folder.to_owned(), fault, noted)),
    };
    entries.sort();
    let read = |entry: &Entry| -> (FoundLinks, Vec<Unverified>) {
        let (mut found, mut noted) = (FoundLinks::default(), Vec::new());
        let path = folder.join(&entry.name);
        let text = entry.name.to_str().map(|hex| format!("{algorithm}:{hex}"));
        match text.as_deref().and_then(|text| Some((text, text.parse::<Digest>().ok()?))) {
            Some((text, digest)) if entry.is_folder() => {
                let target = read_link(source, &path.join(LINK), text, &mut noted);
                found.links.push(FoundLink { digest: Some(digest), target });
            }
            _ => read_anywhere(source, path, entry, &mut found, &mut noted),
        }
        (found, noted)
    };
    // A chunk takes about 100 µs.
    let chunks: Vec<_> = entries
        .par_chunks(32)
        .map(|chunk| {
            let mut all = (FoundLinks::default(), Vec::new());
            all.0.links.reserve_exact(chunk.len());
            for (found, noted) in chunk.iter().map(read) {
                all.0.extend(found);
                all.1.extend(noted);
            }
            all
        })
        .collect();
    found.links.reserve(entries.len());
    for (more, more_noted) in chunks {
        found.extend(more);
        noted.extend(more_noted);
    }
}

/// Reads links in unexpected places: collectors read a file named `link` at any depth.
fn read_anywhere(
    source: &dyn Source,
    path: PathBuf,
    entry: &Entry,
    found: &mut FoundLinks,
    noted: &mut Vec<Unverified>,
) {
    match entry.kind {
        EntryKind::Folder | EntryKind::LinkedFolder => match source.list(&path) {
            Ok(mut entries) => {
                entries.sort();
                for entry in entries {
                    read_anywhere(source, path.join(&entry.name), &entry, found, noted);
                }
            }
            Err(fault) => found.unlisted.extend(unlisted(path, fault, noted)),
        },
        EntryKind::File if entry.name == LINK => {
            let target = read_link(source, &path, "", noted);
            found.links.push(FoundLink { digest: None, target });
        }
        EntryKind::File => {}
        EntryKind::Unusable(what) => noted.push(unverified(&path, what)),
    }
}

/// Reads a link; `folder` is the digest in its path.
pub(super) fn read_link(source: &dyn Source, path: &Path, folder: &str, noted: &mut Vec<Unverified>) -> FoundTarget {
    match source.read(path, LONGEST_LINK) {
        Ok(content) if !folder.is_empty() && content == folder.as_bytes() => FoundTarget::Same,
        Ok(content) => parse_link(&content).map_or(FoundTarget::Unparsable, FoundTarget::Digest),
        Err(Fault::Absent) => FoundTarget::Absent,
        Err(fault) => {
            noted.push(unverified(path, &fault));
            match fault {
                // Collectors descend into a directory of that name, and no lookup finds it.
                Fault::Dangling | Fault::Folder => FoundTarget::Absent,
                fault => FoundTarget::Unreadable(Box::new(fault)),
            }
        }
    }
}

/// The digest in a link. Registries accept three algorithms and no newline.
pub fn parse_link(content: &[u8]) -> Option<Digest> {
    let digest: Digest = std::str::from_utf8(content).ok()?.parse().ok()?;
    digest.algorithm().is_some().then_some(digest)
}

impl FoundTarget {
    pub(super) fn into_target(self, folder: Option<Id>, digests: &mut Digests) -> Target {
        match self {
            Self::Same => folder.map_or(Target::Unparsable, Target::Digest),
            Self::Digest(digest) => Target::Digest(digests.intern(digest)),
            Self::Absent => Target::Absent,
            Self::Unparsable => Target::Unparsable,
            Self::Unreadable(fault) => Target::Unreadable(fault),
        }
    }
}

impl FoundLinks {
    fn extend(&mut self, other: Self) {
        self.links.extend(other.links);
        self.unlisted.extend(other.unlisted);
    }

    pub(super) fn into_links(self, digests: &mut Digests) -> Links {
        let mut links = Links {
            entries: Vec::with_capacity(self.links.len()),
            is_absent: self.is_absent,
            unlisted: self.unlisted,
            by_digest: FxHashMap::with_capacity_and_hasher(self.links.len(), FxBuildHasher),
        };
        for found in self.links {
            let digest = found.digest.map(|digest| digests.intern(digest));
            let target = found.target.into_target(digest, digests);
            let index = u32::try_from(links.entries.len()).unwrap_or(u32::MAX);
            links.by_digest.extend(digest.map(|digest| (digest, index)));
            links.entries.push(Link { digest, target });
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_contain_only_a_digest() {
        let hex = "ab".repeat(32);
        assert!(parse_link(format!("sha256:{hex}").as_bytes()).is_some());
        for content in ["".to_string(), format!("sha256:{hex}\n"), "sha256:ab".to_string(), format!("md5:{hex}")] {
            assert_eq!(parse_link(content.as_bytes()), None, "{content:?}");
        }
        assert_eq!(parse_link(b"\xff"), None);
    }
}

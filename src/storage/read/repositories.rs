//! Finds repositories and reads their links.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering as AtomicOrdering};

use rayon::prelude::*;

use super::links::{FoundLinks, FoundTarget, read_link, read_links};
use super::note::{unlisted, unverified};
use crate::storage::layout;
use crate::storage::source::{Entry, EntryKind, Fault, Source};
use crate::storage::tree::{Repository, Tag, Tags, Tree, Unlisted, Unverified};

/// Limit for symbolic links to directories in one walk, which would not end if they refer to each other.
const MOST_LINKED_FOLDERS: usize = 10_000;

/// Repositories, before digests are numbered.
#[derive(Default)]
pub(super) struct FoundRepositories {
    repositories: Vec<FoundRepository>,
    is_absent: bool,
    unlisted: Vec<Unlisted>,
    noted: Vec<Unverified>,
}

struct FoundRepository {
    name: PathBuf,
    has_layers: bool,
    has_manifests: bool,
    revisions: FoundLinks,
    layers: FoundLinks,
    tags: Option<FoundTags>,
}

#[derive(Default)]
struct FoundTags {
    entries: Vec<(OsString, FoundTarget)>,
    unlisted: Option<Unlisted>,
}

/// Finds all repositories, in the order of collectors.
pub(super) fn find(source: &dyn Source) -> FoundRepositories {
    let walk = Walk { source, linked_folders: AtomicUsize::new(0) };
    let mut found = walk.folder(Path::new(""));
    found.is_absent = found.repositories.is_empty()
        && matches!(source.list(Path::new(layout::REPOSITORIES)), Err(fault) if fault.is_absence());
    found
}

struct Walk<'a> {
    source: &'a dyn Source,
    linked_folders: AtomicUsize,
}

impl Walk<'_> {
    /// Walks a directory, depth first. Names that start with `_` belong to the repository itself.
    fn folder(&self, name: &Path) -> FoundRepositories {
        let path = layout::repository(name);
        let mut found = FoundRepositories::default();
        let mut entries = match self.source.list(&path) {
            Ok(entries) => entries,
            Err(fault) => {
                found.unlisted.extend(unlisted(path, fault, &mut found.noted));
                return found;
            }
        };
        entries.sort();
        for entry in &entries {
            if let EntryKind::Unusable(what) = entry.kind {
                found.noted.push(unverified(&path.join(&entry.name), what));
            }
        }
        let has = |name| entries.iter().any(|it| it.name == name && !matches!(it.kind, EntryKind::Unusable(_)));
        let (has_layers, has_manifests) = (has(layout::LAYERS), has(layout::MANIFESTS));
        let (before, after): (Vec<&Entry>, Vec<&Entry>) = entries
            .iter()
            .filter(|entry| !entry.name.as_encoded_bytes().starts_with(b"_"))
            .partition(|entry| entry.name.as_encoded_bytes().cmp(b"_") == Ordering::Less);
        let below = |entries: Vec<&Entry>| -> Vec<FoundRepositories> {
            entries.par_iter().map(|entry| self.entry(name, entry)).collect()
        };
        let (before, (own, after)) = rayon::join(
            || below(before),
            || {
                let own = || (has_layers || has_manifests).then(|| self.repository(name, has_layers, has_manifests));
                rayon::join(own, || below(after))
            },
        );
        before.into_iter().chain(own).chain(after).for_each(|more| found.extend(more));
        found
    }

    fn entry(&self, parent: &Path, entry: &Entry) -> FoundRepositories {
        let name = parent.join(&entry.name);
        match entry.kind {
            EntryKind::Folder => self.folder(&name),
            EntryKind::LinkedFolder => match self.refuse_link(&name) {
                None => self.folder(&name),
                Some(why) => {
                    let path = layout::repository(&name);
                    let mut found =
                        FoundRepositories { noted: vec![unverified(&path, why)], ..FoundRepositories::default() };
                    found.unlisted.push(Unlisted { path, fault: Fault::Unreadable(why.to_string()) });
                    found
                }
            },
            EntryKind::File | EntryKind::Unusable(_) => FoundRepositories::default(),
        }
    }

    fn refuse_link(&self, name: &Path) -> Option<&'static str> {
        let linked = layout::repository(name);
        let above = name.ancestors().skip(1).map(layout::repository);
        if above.into_iter().any(|above| self.source.is_same_folder(&above, &linked)) {
            Some("a symbolic link to a parent directory")
        } else if self.linked_folders.fetch_add(1, AtomicOrdering::Relaxed) >= MOST_LINKED_FOLDERS {
            Some("more symbolic links than this program follows (10000)")
        } else {
            None
        }
    }

    fn repository(&self, name: &Path, has_layers: bool, has_manifests: bool) -> FoundRepositories {
        let mut noted = Vec::new();
        let tags = self.tags(name, &mut noted);
        let revisions = read_links(self.source, layout::revisions(name), &mut noted);
        let layers = read_links(self.source, layout::layers(name), &mut noted);
        let repository = FoundRepository { name: name.to_owned(), has_layers, has_manifests, revisions, layers, tags };
        FoundRepositories { repositories: vec![repository], noted, ..FoundRepositories::default() }
    }

    fn tags(&self, name: &Path, noted: &mut Vec<Unverified>) -> Option<FoundTags> {
        let folder = layout::tags(name);
        let mut entries = match self.source.list(&folder) {
            Ok(entries) => entries,
            Err(fault) if fault.is_absence() => {
                unlisted(folder, fault, noted);
                return None;
            }
            Err(fault) => {
                return Some(FoundTags { unlisted: unlisted(folder, fault, noted), ..FoundTags::default() });
            }
        };
        entries.sort();
        let read: Vec<_> = entries
            .into_par_iter()
            .map(|entry| {
                let mut noted = Vec::new();
                let target = match entry.kind {
                    EntryKind::Unusable(what) => {
                        noted.push(unverified(&folder.join(&entry.name), what));
                        FoundTarget::Absent
                    }
                    _ => read_link(self.source, &layout::tag_current(name, Path::new(&entry.name)), "", &mut noted),
                };
                (entry.name, target, noted)
            })
            .collect();
        let mut tags = FoundTags::default();
        for (name, target, more) in read {
            tags.entries.push((name, target));
            noted.extend(more);
        }
        Some(tags)
    }
}

impl FoundRepositories {
    fn extend(&mut self, other: Self) {
        self.repositories.extend(other.repositories);
        self.unlisted.extend(other.unlisted);
        self.noted.extend(other.noted);
    }

    /// Numbers the digests.
    pub(super) fn into_tree(self, tree: &mut Tree) {
        tree.has_no_repositories_folder = self.is_absent;
        tree.unlisted = self.unlisted;
        tree.unverified.extend(self.noted);
        for found in self.repositories {
            let digests = &mut tree.digests;
            let tags = found.tags.map(|tags| Tags {
                entries: tags
                    .entries
                    .into_iter()
                    .map(|(name, target)| Tag { name, current: target.into_target(None, digests) })
                    .collect(),
                unlisted: tags.unlisted,
            });
            let repository = Repository {
                name: found.name,
                has_layers: found.has_layers,
                has_manifests: found.has_manifests,
                revisions: found.revisions.into_links(digests),
                layers: found.layers.into_links(digests),
                tags,
            };
            tree.repositories.push(repository);
        }
    }
}

//! Reads, hashes and parses the manifests.

use std::collections::HashMap;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::note::unverified;
use crate::oci::{Descriptor, Digest, Manifest as Parsed, ManifestError, Platform, Unusable, parse_manifest};
use crate::storage::collector::{is_plain, references};
use crate::storage::layout;
use crate::storage::source::Source;
use crate::storage::tree::{
    Blob, Collected, Content, Digests, Edge, Id, Manifest, Repository, Role, Target, Tree, Unverified,
};

/// Registries serve no larger manifests, and their collectors abort at them.
const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;

/// Manifests whose digests are numbered together.
const BATCH: usize = 4096;

/// Reads the targets of revisions and tags, their children, and so on: a child's data can exist without its link.
pub(super) fn read(source: &dyn Source, tree: &mut Tree) {
    let mut asked: FxHashSet<Id> = FxHashSet::default();
    let mut numbers = Platforms::default();
    let aliases = aliases(tree);
    let mut wanted: Vec<Id> = tree.repositories.iter().flat_map(manifest_targets).collect();
    while !wanted.is_empty() {
        wanted.retain(|id| asked.insert(*id) && matches!(tree.blob(*id), Blob::Present(_)));
        let mut children = Vec::new();
        let mut read = Vec::new();
        for batch in wanted.chunks(BATCH) {
            let digest = |id: &Id| (*id, tree.digests.get(*id).clone());
            let named = |id: &Id| (digest(id), aliases.get(id).into_iter().flatten().map(digest).collect());
            let named: Vec<(Named, Vec<Named>)> = batch.iter().map(named).collect();
            let read_batch =
                || named.par_iter().map(|((id, digest), aliases)| (*id, read_one(source, digest, aliases)));
            // One batch is numbered while the next one is read.
            let keep_batch = || read.into_iter().for_each(|found| keep(found, tree, &mut numbers, &mut children));
            (read, ()) = rayon::join(|| read_batch().collect(), keep_batch);
        }
        read.into_iter().for_each(|found| keep(found, tree, &mut numbers, &mut children));
        wanted = children;
    }
    tree.platforms = numbers.platforms;
}

fn keep(
    (id, found): (Id, Result<FoundManifest, Unread>),
    tree: &mut Tree,
    platforms: &mut Platforms,
    children: &mut Vec<Id>,
) {
    match found {
        Ok(found) => {
            tree.wrong_aliases.extend(found.wrong_aliases.iter().map(|alias| (*alias, id)));
            let manifest = found.into_manifest(&mut tree.digests, platforms);
            let edges = manifest.edges().iter();
            children.extend(edges.filter(|edge| edge.role == Role::Child).map(|edge| edge.digest));
            tree.manifests.insert(id, manifest);
        }
        Err(Unread { state, note }) => {
            tree.unverified.push(note);
            tree.blobs.states[id.index()] = state;
        }
    }
}

fn manifest_targets(repository: &Repository) -> Vec<Id> {
    let tags = repository.tags.iter().flat_map(|tags| &tags.entries).map(|tag| &tag.current);
    let revisions = repository.revisions.entries.iter().map(|link| &link.target);
    let target = |target: &Target| if let Target::Digest(id) = target { Some(*id) } else { None };
    revisions.chain(tags).filter_map(target).collect()
}

/// Digests of the same data in another algorithm: a push by sha512 leaves a link to sha256.
fn aliases(tree: &Tree) -> FxHashMap<Id, Vec<Id>> {
    let mut aliases: FxHashMap<Id, Vec<Id>> = FxHashMap::default();
    for link in tree.repositories.iter().flat_map(|repository| &repository.revisions.entries) {
        if let (Some(digest), Target::Digest(target)) = (link.digest, &link.target)
            && digest != *target
            && tree.digests.get(digest).algorithm() != tree.digests.get(*target).algorithm()
        {
            aliases.entry(*target).or_default().push(digest);
        }
    }
    aliases
}

/// A digest with its number, copied because the tree grows meanwhile.
type Named = (Id, Digest);

/// A manifest, before its digests are numbered.
struct FoundManifest {
    content: Result<Vec<FoundEdge>, Invalid>,
    unusable: Option<Box<str>>,
    /// `None`: both collectors read it like clients.
    collected: Option<[Result<Vec<Digest>, String>; 2]>,
    wrong_aliases: Vec<Id>,
}

struct FoundEdge {
    digest: Digest,
    role: Role,
    size: Option<u64>,
    has_negative_size: bool,
    platform: Option<Platform>,
    may_be_absent: bool,
    attestation: bool,
}

enum Invalid {
    WrongDigest { actual: Digest, also: Option<String> },
    Malformed(String),
    SchemaOne,
}

/// Data that exists but cannot be read.
struct Unread {
    state: Blob,
    note: Unverified,
}

fn read_one(source: &dyn Source, digest: &Digest, aliases: &[Named]) -> Result<FoundManifest, Unread> {
    let path = layout::data(digest);
    let bytes = source.read(&path, LARGEST_MANIFEST).map_err(|fault| {
        let note = unverified(&path, &fault);
        let state = if fault.is_absence() { Blob::Absent } else { Blob::Unknown(Box::new(fault)) };
        Unread { state, note }
    })?;
    if bytes.len() > LARGEST_MANIFEST {
        let why = "larger than 4 MiB, which no registry serves as a manifest".to_string();
        let collected = Some([(); 2].map(|()| Err(why.clone())));
        let content = Err(Invalid::Malformed(why));
        return Ok(FoundManifest { content, unusable: None, collected, wrong_aliases: Vec::new() });
    }
    let hashes_to_another = |expected: &Digest| {
        let actual = Digest::of(expected.algorithm()?, &bytes);
        (actual != *expected).then_some(actual)
    };
    let wrong_aliases = aliases.iter().filter(|(_, alias)| hashes_to_another(alias).is_some()).map(|(id, _)| *id);
    let wrong_aliases = wrong_aliases.collect();
    let parsed = parse_manifest(&bytes);
    let wrong = hashes_to_another(digest);
    let collected = (wrong.is_some() || parsed.is_err() || !is_plain(&bytes)).then(|| references(&bytes));
    let unusable = parsed.as_ref().ok().and_then(|parsed| Unusable::summary(parsed.unusable.iter()));
    let content = match (wrong, parsed, &collected) {
        (None, Err(ManifestError::SchemaOne), _) => Err(Invalid::SchemaOne),
        (None, Err(ManifestError::Malformed(why) | ManifestError::Untyped(why)), _) => Err(Invalid::Malformed(why)),
        // A registry parses a manifest before serving it.
        (None, Ok(_), Some([Err(why), Err(_)])) => Err(Invalid::Malformed(why.clone())),
        (None, Ok(parsed), _) => Ok(edges(parsed)),
        (Some(actual), Err(ManifestError::Malformed(why) | ManifestError::Untyped(why)), _) => {
            Err(Invalid::WrongDigest { actual, also: Some(why) })
        }
        (Some(actual), ..) => Err(Invalid::WrongDigest { actual, also: None }),
    };
    Ok(FoundManifest { content, unusable: unusable.map(Into::into), collected, wrong_aliases })
}

fn edges(parsed: Parsed) -> Vec<FoundEdge> {
    let Parsed { manifests, config, layers, .. } = parsed;
    let children = manifests.into_iter().map(|descriptor| (Role::Child, descriptor));
    let config = config.into_iter().map(|descriptor| (Role::Config, descriptor));
    let layers = layers.into_iter().map(|descriptor| (Role::Layer, descriptor));
    let edge = |(role, descriptor): (Role, Descriptor)| FoundEdge {
        digest: descriptor.digest,
        role,
        size: descriptor.size,
        has_negative_size: descriptor.has_negative_size,
        platform: descriptor.platform,
        may_be_absent: descriptor.has_urls,
        attestation: descriptor.attestation,
    };
    children.chain(config).chain(layers).map(edge).collect()
}

impl FoundManifest {
    fn into_manifest(self, digests: &mut Digests, platforms: &mut Platforms) -> Manifest {
        let content = match self.content {
            Ok(edges) => Content::Manifest(edges.into_iter().map(|edge| edge.into_edge(digests, platforms)).collect()),
            Err(Invalid::WrongDigest { actual, also }) => Content::WrongDigest { actual, also },
            Err(Invalid::Malformed(why)) => Content::Malformed(why),
            Err(Invalid::SchemaOne) => Content::SchemaOne,
        };
        let collected = match self.collected {
            None => [Collected::AsPulled, Collected::AsPulled],
            Some(references) => references.map(|references| match references {
                Ok(references) => {
                    Collected::References(references.into_iter().map(|digest| digests.intern(digest)).collect())
                }
                Err(why) => Collected::Refused(why.into()),
            }),
        };
        Manifest { content, unusable: self.unusable, collected }
    }
}

impl FoundEdge {
    fn into_edge(self, digests: &mut Digests, platforms: &mut Platforms) -> Edge {
        Edge {
            digest: digests.intern(self.digest),
            role: self.role,
            size: self.size,
            has_negative_size: self.has_negative_size,
            platform: self.platform.and_then(|platform| platforms.number(platform)),
            may_be_absent: self.may_be_absent,
            attestation: self.attestation,
        }
    }
}

/// Platforms by number.
#[derive(Default)]
struct Platforms {
    platforms: Vec<Platform>,
    numbers: HashMap<Platform, u16>,
}

impl Platforms {
    fn number(&mut self, platform: Platform) -> Option<u16> {
        if let Some(&number) = self.numbers.get(&platform) {
            return Some(number);
        }
        let number = u16::try_from(self.platforms.len()).ok()?;
        self.platforms.push(platform.clone());
        self.numbers.insert(platform, number);
        Some(number)
    }
}

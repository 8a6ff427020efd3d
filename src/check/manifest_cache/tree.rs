//! The tree of one image, and the other images that share its objects.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::SystemTime;

use super::{ManifestCache, RepositoryCache, compact};
use crate::oci::{Descriptor, Digest, Reference, Repository};
use crate::report::Kind;

/// Maximum number of nodes. Only a malicious manifest has more.
pub const NODES_LIMIT: usize = 20_000;
/// As deep as a walk goes.
const DEPTH_LIMIT: u8 = 9;

/// An object of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its kind.
    pub kind: Kind,
    /// Its digest.
    pub digest: Digest,
    /// Its media type, by the manifest that names it or by itself.
    pub media_type: Option<String>,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its platform, on the children of an index.
    pub platform: Option<String>,
    /// True for an attestation.
    pub attestation: bool,
    /// When a manifest's bytes were last hashed; `None` if it is not cached.
    pub hashed_at: Option<SystemTime>,
    /// The objects that it names.
    pub needs: Vec<Node>,
}

/// Which other images of the repository need an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// How many.
    pub count: usize,
    /// The first of them, in order.
    pub first: Vec<Reference>,
}

impl Node {
    /// The node and all nodes below it.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(node.needs.iter().rev());
            Some(node)
        })
    }
}

impl ManifestCache {
    /// The tree of a manifest. Manifests that are not cached have no children in it.
    pub fn tree(&self, repository: &Repository, digest: &Digest) -> Node {
        let repositories = self.read();
        let known = repositories.get(repository);
        let mut left = NODES_LIMIT;
        let root = Node {
            kind: Kind::Manifest,
            digest: digest.clone(),
            media_type: None,
            size: None,
            platform: None,
            attestation: false,
            hashed_at: None,
            needs: Vec::new(),
        };
        grow(root, known, 0, &mut left)
    }

    /// Which other images of the repository need these objects; at most `names` of each are named.
    pub fn shared<'a>(
        &self,
        repository: &Repository,
        image: &Reference,
        objects: impl IntoIterator<Item = &'a Digest>,
        names: usize,
    ) -> HashMap<Digest, Shared> {
        let repositories = self.read();
        let Some(known) = repositories.get(repository) else { return HashMap::new() };
        let mut parents: HashMap<Digest, Vec<&Digest>> = HashMap::new();
        for (digest, entry) in &known.manifests {
            for named in compact::digests(&entry.bytes) {
                parents.entry(named).or_default().push(digest);
            }
        }
        let mut tags: HashMap<&Digest, Vec<Reference>> = HashMap::new();
        for (tag, digest) in &known.tags {
            tags.entry(digest).or_default().push(Reference::Tag(tag.clone()));
        }
        let users = |object: &Digest| {
            let mut met = HashSet::from([object]);
            let mut open = VecDeque::from([object]);
            let mut users = Vec::new();
            while let Some(digest) = open.pop_front() {
                users.extend(tags.get(digest).into_iter().flatten().filter(|tag| *tag != image));
                open.extend(parents.get(digest).into_iter().flatten().copied().filter(|parent| met.insert(parent)));
            }
            users.sort_unstable();
            Shared { count: users.len(), first: users.into_iter().take(names).cloned().collect() }
        };
        let objects: HashSet<&Digest> = objects.into_iter().collect();
        objects.into_iter().map(|object| (object.clone(), users(object))).collect()
    }
}

fn grow(mut node: Node, known: Option<&RepositoryCache>, depth: u8, left: &mut usize) -> Node {
    *left = left.saturating_sub(1);
    let Some(entry) = known.and_then(|known| known.manifests.get(&node.digest)) else { return node };
    node.hashed_at = Some(entry.hashed_at);
    node.size = node.size.or(Some(entry.size));
    let Some(manifest) = compact::decode(&entry.bytes) else { return node };
    node.media_type = node.media_type.or(manifest.media_type);
    if depth == DEPTH_LIMIT {
        return node;
    }
    let children = manifest.manifests.iter().map(|child| (Kind::Child, child));
    let config = manifest.config.iter().map(|config| (Kind::Config, config));
    let layers = manifest.layers.iter().map(|layer| (Kind::Layer, layer));
    for (kind, descriptor) in children.chain(config).chain(layers) {
        if *left == 0 {
            break;
        }
        let leaf = leaf(kind, descriptor);
        node.needs.push(if kind == Kind::Child {
            grow(leaf, known, depth + 1, left)
        } else {
            *left -= 1;
            leaf
        });
    }
    node
}

fn leaf(kind: Kind, descriptor: &Descriptor) -> Node {
    Node {
        kind,
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
        platform: descriptor.platform.as_ref().map(ToString::to_string),
        attestation: descriptor.attestation,
        hashed_at: None,
        needs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::check::manifest_cache::Budget;
    use crate::oci::{Manifest, Tag};

    fn named(digests: &[&Digest]) -> Vec<Descriptor> {
        let descriptor = |digest: &&Digest| serde_json::from_value(serde_json::json!({ "digest": digest })).unwrap();
        digests.iter().map(descriptor).collect()
    }

    #[test]
    fn uncached_child_has_no_nodes() {
        let manifests = ManifestCache::new(Arc::new(Budget::default()));
        let repository: Repository = "app".parse().unwrap();
        let [index, child, lost, layer, other] =
            ["index", "child", "lost", "layer", "other"].map(|n| Digest::sha256(n.as_bytes()));
        let put = |digest: &Digest, manifest: &Manifest| {
            manifests.hashed(&repository, digest, manifest, 7, SystemTime::UNIX_EPOCH);
        };
        put(&index, &Manifest { manifests: named(&[&child, &lost]), ..Manifest::default() });
        put(&child, &Manifest { layers: named(&[&layer]), ..Manifest::default() });
        put(&other, &Manifest { layers: named(&[&layer]), ..Manifest::default() });
        let tags: Vec<(Tag, Digest)> =
            vec![("1".parse().unwrap(), index.clone()), ("2".parse().unwrap(), other.clone())];
        manifests.walked(&repository, tags, &HashSet::from([&index, &child, &other]));

        let tree = manifests.tree(&repository, &index);
        let seen: Vec<(Kind, &Digest, bool)> =
            tree.all().map(|node| (node.kind, &node.digest, node.hashed_at.is_some())).collect();
        assert_eq!(
            seen,
            [
                (Kind::Manifest, &index, true),
                (Kind::Child, &child, true),
                (Kind::Layer, &layer, false),
                (Kind::Child, &lost, false)
            ]
        );
        let image = Reference::Tag("1".parse().unwrap());
        let shared = manifests.shared(&repository, &image, [&layer, &child], 5);
        assert_eq!(shared[&layer], Shared { count: 1, first: vec![Reference::Tag("2".parse().unwrap())] });
        assert_eq!(shared[&child], Shared::default());
    }

    #[test]
    fn cyclic_indexes_end() {
        let manifests = ManifestCache::new(Arc::new(Budget::default()));
        let repository: Repository = "app".parse().unwrap();
        let [a, b] = ["a", "b"].map(|n| Digest::sha256(n.as_bytes()));
        let many = |digest: &Digest| Manifest { manifests: named(&[digest; 50]), ..Manifest::default() };
        manifests.hashed(&repository, &a, &many(&b), 1, SystemTime::UNIX_EPOCH);
        manifests.hashed(&repository, &b, &many(&a), 1, SystemTime::UNIX_EPOCH);
        assert!(manifests.tree(&repository, &a).all().count() <= NODES_LIMIT);
    }
}

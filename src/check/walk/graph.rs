//! The graph of one repository. Each object is one node, however many images share it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::check::judge::Suspicion;
use crate::oci::{Descriptor, Digest, Manifest, Platform, Reference, Unusable};
use crate::report::{Cause, Kind};

/// Index of an object in the graph.
pub type NodeId = usize;
/// Index of an image in the graph.
pub type RootId = usize;

/// The images of a repository and the objects that they need.
#[derive(Debug, Default)]
pub struct Graph {
    /// The images.
    pub roots: Vec<Root>,
    /// The objects.
    pub nodes: Vec<Node>,
    root_ids: HashMap<Reference, RootId>,
    /// By endpoint (true: manifests) and digest.
    node_ids: HashMap<(bool, Digest), NodeId>,
    names: HashSet<Arc<str>>,
}

/// An image.
#[derive(Debug)]
pub struct Root {
    /// The tag or digest.
    pub reference: Reference,
    /// The manifest that it resolves to, once it is known.
    pub node: Option<NodeId>,
    /// The finding against the reference itself.
    pub finding: Option<Finding>,
    /// True once the tag was read again because of a broken object.
    pub reread: bool,
    /// True if the tag was deleted during the walk, so that its findings do not count.
    pub gone: bool,
}

/// An object.
#[derive(Debug)]
pub struct Node {
    /// Its digest.
    pub digest: Digest,
    /// Its kind; the first in order if it has several.
    pub kind: Kind,
    /// Its length in bytes, by the first descriptor that names it.
    pub size: Option<u64>,
    /// Its media type, by that descriptor.
    pub media_type: Option<Arc<str>>,
    /// The platform of the first image that contains it.
    pub platform: Option<Arc<str>>,
    /// True for an attestation and the objects that it names.
    pub attestation: bool,
    /// True if every descriptor that names it allows it to be absent (`urls`).
    pub may_be_absent: bool,
    /// Number of index levels above it.
    depth: u8,
    /// The manifests that name it, with the size in each one's descriptor.
    pub parents: Vec<(NodeId, Option<u64>)>,
    /// Those of them whose descriptor has a negative size.
    pub misstated_by: Vec<NodeId>,
    /// The result so far.
    pub state: NodeState,
}

/// The result for an object.
#[derive(Debug)]
pub enum NodeState {
    /// Not requested yet, or no response yet.
    Waiting,
    /// Intact, with its length if known.
    Intact(Option<u64>),
    /// Absent, which its descriptors allow.
    Permitted,
    /// Suspect or unverified.
    Found(Finding),
}

/// A finding against an object or a reference.
#[derive(Clone, Debug)]
pub enum Finding {
    /// A response speaks against it.
    Suspect {
        /// The suspicion.
        suspicion: Suspicion,
        /// What was seen, in words.
        detail: String,
        /// The responses that it rests on.
        grounds: Grounds,
    },
    /// It could not be verified.
    Unverified {
        /// The cause.
        cause: Cause,
        /// What was seen, in words.
        detail: String,
    },
}

/// The responses that a suspicion rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Number of consecutive responses that raised it.
    pub answers: u32,
    /// True once it was confirmed as often as required.
    pub confirmed: bool,
    /// True if it was a response to HEAD.
    pub by_head: bool,
    /// True if an outage of the registry may explain some of the responses.
    pub is_mixed: bool,
}

impl Finding {
    /// True for a confirmed suspicion.
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Suspect { grounds: Grounds { confirmed: true, .. }, .. })
    }
}

impl Node {
    /// True if it is requested from the manifests endpoint.
    pub fn is_manifest(&self) -> bool {
        matches!(self.kind, Kind::Manifest | Kind::Child)
    }

    /// The finding against it, if there is one.
    pub fn finding(&self) -> Option<&Finding> {
        match &self.state {
            NodeState::Found(finding) => Some(finding),
            _ => None,
        }
    }
}

impl Graph {
    /// Adds an image that is not resolved yet.
    pub fn add_root(&mut self, reference: Reference) -> RootId {
        let id = self.roots.len();
        self.root_ids.entry(reference.clone()).or_insert(id);
        self.roots.push(Root { reference, node: None, finding: None, reread: false, gone: false });
        id
    }

    /// The image with this reference.
    pub fn root(&self, reference: &Reference) -> Option<RootId> {
        self.root_ids.get(reference).copied()
    }

    /// Sets the manifest that an image resolves to. Returns its node if it is new.
    pub fn resolve(&mut self, root: RootId, digest: Digest) -> Option<NodeId> {
        let (id, is_new) = self.node(digest, Kind::Manifest, None);
        self.roots[root].node = Some(id);
        self.roots[root].finding = None;
        is_new.then_some(id)
    }

    /// Adds the objects that a manifest names. Returns the new nodes to request.
    pub fn expand(&mut self, parent: NodeId, manifest: &Manifest, platforms: &[Platform], deepest: u8) -> Vec<NodeId> {
        let children = wanted_children(manifest, platforms).map(|child| (Kind::Child, child));
        let config = manifest.config.iter().map(|config| (Kind::Config, config));
        let layers = manifest.layers.iter().filter(|layer| is_wanted(layer.platform.as_ref(), platforms));
        let layers = layers.map(|layer| (Kind::Layer, layer));
        let unusable = manifest.unusable.iter().filter(|it| is_wanted(it.platform.as_ref(), platforms));
        if let Some(summary) = Unusable::summary(unusable) {
            // The bytes match the digest, so no other response can differ.
            self.nodes[parent].state = NodeState::Found(Finding::Suspect {
                suspicion: Suspicion::Malformed,
                detail: format!("no client can pull all that it names: {summary}"),
                grounds: Grounds { answers: 1, confirmed: true, ..Grounds::default() },
            });
        }
        // A manifest may name an object twice. Compared within the manifest only: a shared blob has very many parents.
        let mut attached = HashSet::new();
        children
            .chain(config)
            .chain(layers)
            .filter_map(|(kind, descriptor)| self.attach(parent, kind, descriptor, deepest, &mut attached))
            .collect()
    }

    fn attach(
        &mut self,
        parent: NodeId,
        kind: Kind,
        descriptor: &Descriptor,
        deepest: u8,
        attached: &mut HashSet<(NodeId, Option<u64>)>,
    ) -> Option<NodeId> {
        let (id, is_new) = self.node(descriptor.digest.clone(), kind, descriptor.size);
        let media_type = descriptor.media_type.as_deref().map(|text| self.intern(text));
        let platform = descriptor.platform.as_ref().map(|platform| self.intern(&platform.to_string()));
        let platform = platform.or_else(|| self.nodes[parent].platform.clone());
        let attestation = descriptor.attestation || self.nodes[parent].attestation;
        let depth = self.nodes[parent].depth + u8::from(kind == Kind::Child);
        let node = &mut self.nodes[id];
        if is_new {
            (node.platform, node.attestation, node.depth) = (platform, attestation, depth);
            node.may_be_absent = descriptor.has_urls;
        }
        node.media_type = node.media_type.take().or(media_type);
        node.may_be_absent &= descriptor.has_urls;
        if attached.insert((id, descriptor.size)) {
            node.parents.push((parent, descriptor.size));
        }
        if descriptor.has_negative_size && node.misstated_by.last() != Some(&parent) {
            node.misstated_by.push(parent);
        }
        if is_new && depth > deepest {
            let detail = format!("indexes are nested more than {deepest} deep");
            node.state = NodeState::Found(Finding::Unverified { cause: Cause::Protocol, detail });
            return None;
        }
        if is_new && node.digest.algorithm().is_none() {
            let detail = "the digest's algorithm is unknown".to_string();
            node.state = NodeState::Found(Finding::Unverified { cause: Cause::Protocol, detail });
            return None;
        }
        is_new.then_some(id)
    }

    /// The node of a digest, and whether it is new. A manifest and a blob of one digest have two nodes.
    fn node(&mut self, digest: Digest, kind: Kind, size: Option<u64>) -> (NodeId, bool) {
        let is_manifest = matches!(kind, Kind::Manifest | Kind::Child);
        if let Some(&id) = self.node_ids.get(&(is_manifest, digest.clone())) {
            let node = &mut self.nodes[id];
            node.kind = node.kind.min(kind);
            node.size = node.size.or(size);
            return (id, false);
        }
        let id = self.nodes.len();
        self.node_ids.insert((is_manifest, digest.clone()), id);
        self.nodes.push(Node {
            digest,
            kind,
            size,
            media_type: None,
            platform: None,
            attestation: false,
            may_be_absent: false,
            depth: 0,
            parents: Vec::new(),
            misstated_by: Vec::new(),
            state: NodeState::Waiting,
        });
        (id, true)
    }

    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// The node of a manifest or blob with this digest.
    pub fn find(&self, digest: &Digest) -> impl Iterator<Item = &Node> {
        [true, false]
            .into_iter()
            .filter_map(|is_manifest| self.node_ids.get(&(is_manifest, digest.clone())).map(|&id| &self.nodes[id]))
    }
}

/// True if an object for this platform must exist, given the wanted platforms (empty: all). An object without a platform may
/// be for any.
fn is_wanted(platform: Option<&Platform>, platforms: &[Platform]) -> bool {
    platforms.is_empty() || platform.is_none_or(|platform| platforms.iter().any(|wanted| wanted.matches(platform)))
}

/// The children of an index that must exist, given the wanted platforms (empty: all). An attestation follows its subject.
pub fn wanted_children<'a>(manifest: &'a Manifest, platforms: &[Platform]) -> impl Iterator<Item = &'a Descriptor> {
    let is_wanted = |child: &Descriptor| child.attestation || is_wanted(child.platform.as_ref(), platforms);
    // A child listed for several platforms is unwanted only if all of them are.
    let mut unwanted: HashSet<&Digest> =
        manifest.manifests.iter().filter(|child| !is_wanted(child)).map(|child| &child.digest).collect();
    for child in manifest.manifests.iter().filter(|child| is_wanted(child)) {
        unwanted.remove(&child.digest);
    }
    manifest
        .manifests
        .iter()
        .filter(move |child| !unwanted.contains(child.attestation_subject.as_ref().unwrap_or(&child.digest)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::oci::parse_manifest;

    #[test]
    fn child_of_several_platforms_is_wanted_for_each() {
        let (both, other, attestation) = (Digest::sha256(b"a"), Digest::sha256(b"b"), Digest::sha256(b"c"));
        let child = |digest: &Digest, platform: &str| {
            format!(r#"{{"digest":"{digest}","platform":{{"os":"linux","architecture":"{platform}"}}}}"#)
        };
        let attests = format!(
            r#"{{"digest":"{attestation}","annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{both}"}}}}"#
        );
        let children = [child(&both, "arm64"), child(&both, "amd64"), child(&other, "s390x"), attests].join(",");
        let index = parse_manifest(format!(r#"{{"manifests":[{children}]}}"#).as_bytes()).unwrap();
        let wanted = |platforms: &[&str]| {
            let platforms: Vec<Platform> = platforms.iter().map(|platform| platform.parse().unwrap()).collect();
            wanted_children(&index, &platforms).map(|child| child.digest.clone()).collect::<HashSet<_>>()
        };
        let needed = HashSet::from([both, attestation]);
        assert_eq!(wanted(&["linux/amd64"]), needed);
        assert_eq!(wanted(&["linux/arm64"]), needed);
        assert_eq!(wanted(&["linux/s390x"]), HashSet::from([other]));
        assert_eq!(wanted(&[]).len(), 3);
    }

    #[test]
    fn children_match_any_platform_alias_or_no_platform() {
        let index = |platform: &str| {
            let digest = Digest::sha256(b"child");
            let json = format!(r#"{{"manifests":[{{"digest":"{digest}","platform":{platform}}}]}}"#);
            parse_manifest(json.as_bytes()).unwrap()
        };
        for (wanted, platform, is_wanted) in [
            ("linux/arm64/v8", r#"{"os":"linux","architecture":"arm64"}"#, true),
            ("linux/arm64", r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#, true),
            ("linux/aarch64", r#"{"os":"Linux","architecture":"ARM64"}"#, true),
            ("linux/arm", r#"{"os":"linux","architecture":"arm","variant":"v7"}"#, true),
            ("linux/arm", r#"{"os":"linux","architecture":"arm","variant":"v6"}"#, false),
            ("linux/arm64", r#"{"os":"linux","architecture":"amd64"}"#, false),
            ("linux/arm64", "{}", true),
            ("linux/arm64", r#"{"os":"","architecture":""}"#, true),
            ("linux/arm64", "null", true),
        ] {
            let found = wanted_children(&index(platform), &[wanted.parse().unwrap()]).count();
            assert_eq!(found, usize::from(is_wanted), "{wanted} {platform}");
        }
    }

    /// The time to add `count` images, each with one layer.
    fn time_to_build(count: u32, layer: impl Fn(u32) -> Digest) -> Duration {
        let digest = |n: u32| Digest::sha256(&n.to_be_bytes());
        let manifests: Vec<Manifest> = (0..count)
            .map(|n| {
                parse_manifest(format!(r#"{{"layers":[{{"digest":"{}","size":1}}]}}"#, layer(n)).as_bytes()).unwrap()
            })
            .collect();
        let mut graph = Graph::default();
        let began = Instant::now();
        for (n, manifest) in (0..).zip(&manifests) {
            let root = graph.add_root(Reference::Tag(format!("t{n}").parse().unwrap()));
            let node = graph.resolve(root, digest(n)).unwrap();
            graph.expand(node, manifest, &[], 8);
        }
        assert_eq!(graph.nodes.iter().map(|node| node.parents.len()).sum::<usize>(), manifests.len());
        began.elapsed()
    }

    #[test]
    fn shared_layer_costs_the_same_as_own_layers() {
        const IMAGES: u32 = 100_000;
        let own = time_to_build(IMAGES, |n| Digest::sha256(format!("layer {n}").as_bytes()));
        let shared = time_to_build(IMAGES, |_| Digest::sha256(b"base"));
        assert!(shared < own * 5, "one shared layer takes {shared:?}, {IMAGES} layers take {own:?}");
    }

    #[test]
    fn layer_named_twice_has_one_parent() {
        let layer = format!(r#"{{"digest":"{}","size":1}}"#, Digest::sha256(b"layer"));
        let manifest = parse_manifest(format!(r#"{{"layers":[{layer},{layer}]}}"#).as_bytes()).unwrap();
        let mut graph = Graph::default();
        let root = graph.add_root(Reference::Digest(Digest::sha256(b"image")));
        let node = graph.resolve(root, Digest::sha256(b"image")).unwrap();
        let layers = graph.expand(node, &manifest, &[], 8);
        assert_eq!((layers.len(), &graph.nodes[layers[0]].parents), (1, &vec![(node, Some(1))]));
    }
}

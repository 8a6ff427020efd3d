//! One repository's graph: each object once, however many images share it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::check::judge::Suspicion;
use crate::oci::{Descriptor, Digest, Manifest, Platform, Reference, Unusable};
use crate::report::{Cause, Kind};

/// An object of the graph, by its position.
pub type NodeId = usize;
/// An image of the graph, by its position.
pub type RootId = usize;

/// A repository's images, and everything that they need.
#[derive(Debug, Default)]
pub struct Graph {
    /// The images.
    pub roots: Vec<Root>,
    /// The objects.
    pub nodes: Vec<Node>,
    ids: HashMap<(bool, Digest), NodeId>,
    names: HashSet<Arc<str>>,
}

/// An image.
#[derive(Debug)]
pub struct Root {
    /// The tag or digest.
    pub reference: Reference,
    /// What it resolves to, once that is known.
    pub node: Option<NodeId>,
    /// What is wrong with the reference itself.
    pub finding: Option<Finding>,
    /// True once the tag has been read again after something that it needs was found bad.
    pub reread: bool,
    /// True if the tag was deleted meanwhile: nobody needs what it pointed to.
    pub gone: bool,
}

/// An object.
#[derive(Debug)]
pub struct Node {
    /// Its digest.
    pub digest: Digest,
    /// What it is; the first in order, if it is several things.
    pub kind: Kind,
    /// Its length in bytes by the first descriptor that names it.
    pub size: Option<u64>,
    /// Its media type by that descriptor.
    pub media_type: Option<Arc<str>>,
    /// The platform of the image that it was first found in.
    pub platform: Option<Arc<str>>,
    /// True for an attestation and what belongs to one.
    pub attestation: bool,
    /// True while every descriptor that names it lets it be absent (`urls`).
    pub may_be_absent: bool,
    /// Index levels above it.
    depth: u8,
    /// The manifests that name it, with the length by each one's descriptor.
    pub parents: Vec<(NodeId, Option<u64>)>,
    /// Those of them whose descriptor states a negative length.
    pub misstated_by: Vec<NodeId>,
    /// What is known of it.
    pub state: NodeState,
}

/// What is known of an object.
#[derive(Debug)]
pub enum NodeState {
    /// Nothing yet.
    Waiting,
    /// It is as it should be; its length, where it is known.
    Intact(Option<u64>),
    /// It is absent, and may be.
    Permitted,
    /// It is not, or could not be judged.
    Found(Finding),
}

/// What was found against an object or a reference.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Something speaks against it.
    Suspect {
        /// What.
        suspicion: Suspicion,
        /// What was seen, in words.
        detail: String,
        /// What it rests on.
        grounds: Grounds,
    },
    /// It could not be judged.
    Unverified {
        /// Why not.
        cause: Cause,
        /// What was seen, in words.
        detail: String,
    },
}

/// What a suspicion rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Answers in a row that spoke against the object.
    pub answers: u32,
    /// True once it has been asked again as often as is wanted.
    pub confirmed: bool,
    /// True if the answer came to HEAD.
    pub by_head: bool,
    /// True if some of the answers may have been the registry's trouble and not the object's.
    pub is_mixed: bool,
}

impl Finding {
    /// True if it is confirmed that something is wrong.
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Suspect { grounds: Grounds { confirmed: true, .. }, .. })
    }
}

impl Node {
    /// True if it is asked for at the manifests' endpoint.
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
        self.roots.push(Root { reference, node: None, finding: None, reread: false, gone: false });
        self.roots.len() - 1
    }

    /// Lets an image point to a manifest. Gives the manifest's node if it has to be asked for.
    pub fn resolve(&mut self, root: RootId, digest: Digest) -> Option<NodeId> {
        let (id, is_new) = self.node(digest, Kind::Manifest, None, None);
        self.roots[root].node = Some(id);
        self.roots[root].finding = None;
        is_new.then_some(id)
    }

    /// Takes in what a manifest points to. Gives the nodes that have to be asked for.
    pub fn expand(&mut self, parent: NodeId, manifest: &Manifest, platforms: &[Platform], deepest: u8) -> Vec<NodeId> {
        let children = wanted_children(manifest, platforms).map(|child| (Kind::Child, child));
        let config = manifest.config.iter().map(|config| (Kind::Config, config));
        let layers = manifest.layers.iter().filter(|layer| is_wanted(layer.platform.as_ref(), platforms));
        let layers = layers.map(|layer| (Kind::Layer, layer));
        let unusable = manifest.unusable.iter().filter(|it| is_wanted(it.platform.as_ref(), platforms));
        if let Some(summary) = Unusable::summary(unusable) {
            // The bytes hash to the digest, so that no other answer can say anything else.
            self.nodes[parent].state = NodeState::Found(Finding::Suspect {
                suspicion: Suspicion::Malformed,
                detail: format!("no client can pull all that it names: {summary}"),
                grounds: Grounds { answers: 1, confirmed: true, ..Grounds::default() },
            });
        }
        children
            .chain(config)
            .chain(layers)
            .filter_map(|(kind, descriptor)| self.attach(parent, kind, descriptor, deepest))
            .collect()
    }

    fn attach(&mut self, parent: NodeId, kind: Kind, descriptor: &Descriptor, deepest: u8) -> Option<NodeId> {
        let (id, is_new) = self.node(descriptor.digest.clone(), kind, descriptor.size, Some(parent));
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
        if !node.parents.iter().any(|&(known, size)| known == parent && size == descriptor.size) {
            node.parents.push((parent, descriptor.size));
        }
        if descriptor.has_negative_size && !node.misstated_by.contains(&parent) {
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

    /// The node of a digest, made if there is none. A manifest and a blob of one digest are two questions.
    fn node(&mut self, digest: Digest, kind: Kind, size: Option<u64>, parent: Option<NodeId>) -> (NodeId, bool) {
        let is_manifest = matches!(kind, Kind::Manifest | Kind::Child);
        if let Some(&id) = self.ids.get(&(is_manifest, digest.clone())) {
            let node = &mut self.nodes[id];
            node.kind = node.kind.min(kind);
            node.size = node.size.or(size);
            return (id, false);
        }
        let id = self.nodes.len();
        self.ids.insert((is_manifest, digest.clone()), id);
        self.nodes.push(Node {
            digest,
            kind,
            size,
            media_type: None,
            platform: None,
            attestation: false,
            may_be_absent: false,
            depth: 0,
            parents: parent.map(|parent| (parent, size)).into_iter().collect(),
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

    /// Who needs what, as the graph is now.
    pub fn reach(&self) -> Reach<'_> {
        let mut images: HashMap<NodeId, Vec<RootId>> = HashMap::new();
        for (id, root) in self.roots.iter().enumerate().filter(|(_, root)| !root.gone) {
            if let Some(node) = root.node {
                images.entry(node).or_default().push(id);
            }
        }
        Reach { graph: self, images }
    }

    /// The node of a manifest or blob with this digest.
    pub fn find(&self, digest: &Digest) -> impl Iterator<Item = &Node> {
        [true, false]
            .into_iter()
            .filter_map(|is_manifest| self.ids.get(&(is_manifest, digest.clone())).map(|&id| &self.nodes[id]))
    }
}

/// True if what is for a platform must exist, where only some platforms are wanted (none: all). What names no platform may be
/// for any.
fn is_wanted(platform: Option<&Platform>, platforms: &[Platform]) -> bool {
    platforms.is_empty() || platform.is_none_or(|platform| platforms.iter().any(|wanted| wanted.matches(platform)))
}

/// The children of an index that must exist if only these platforms are wanted (none: all). An attestation follows the
/// child that it refers to.
pub fn wanted_children<'a>(manifest: &'a Manifest, platforms: &[Platform]) -> impl Iterator<Item = &'a Descriptor> {
    let is_wanted = |child: &Descriptor| child.attestation || is_wanted(child.platform.as_ref(), platforms);
    // One child may stand for several platforms: it is unwanted if all of them are.
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

/// Answers which images need a node.
pub struct Reach<'a> {
    graph: &'a Graph,
    images: HashMap<NodeId, Vec<RootId>>,
}

impl Reach<'_> {
    /// The images that need a node, in order, and the first way to it: the nodes from an image's manifest down to it.
    ///
    /// With `wrong_length`, only descriptors that say another length than this count.
    pub fn of(&self, node: NodeId, wrong_length: Option<u64>) -> (Vec<RootId>, Vec<NodeId>) {
        let mut below = HashMap::from([(node, node)]);
        let mut open = VecDeque::from([node]);
        let mut images: Vec<RootId> = Vec::new();
        while let Some(id) = open.pop_front() {
            images.extend(self.images.get(&id).into_iter().flatten());
            for &(parent, size) in &self.graph.nodes[id].parents {
                let counts = id != node || wrong_length.is_none_or(|length| size != Some(length));
                if counts && !below.contains_key(&parent) {
                    below.insert(parent, id);
                    open.push_back(parent);
                }
            }
        }
        images.sort_unstable();
        let mut path: Vec<NodeId> =
            images.first().and_then(|&image| self.graph.roots[image].node).into_iter().collect();
        while let Some(&at) = path.last()
            && at != node
            && let Some(&next) = below.get(&at)
        {
            path.push(next);
        }
        (images, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::parse_manifest;

    #[test]
    fn a_child_of_several_platforms_is_wanted_if_one_of_them_is() {
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
    fn children_are_wanted_by_any_name_of_their_platform_and_without_one() {
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
}

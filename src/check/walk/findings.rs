//! Turns the graph of a walk into findings, each with the images that it affects.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use super::graph::{Finding, Graph, Grounds, Node, NodeId, NodeState, Root, RootId};
use super::inquiry::Inquiry;
use super::reach::Reach;
use super::walked::{Suspected, Tally, Walked};
use crate::check::contradictions::Contradiction;
use crate::check::evidence::Evidence;
use crate::check::judge::Suspicion;
use crate::oci::{Digest, Image, Reference, Repository};
use crate::registry::Trouble;
use crate::report::{Cause, Failure, FailureKey, Kind, ObjectCounts, Unverified, counted};

/// The results of a walk that are not in its graph.
pub(super) struct Context {
    pub repository: Repository,
    pub tally: Tally,
    /// The error that ended the reading of the tag list.
    pub unread: Option<Trouble>,
    /// Open failures of earlier sweeps.
    pub known: Vec<Failure>,
    /// Broken blobs that this walk cannot resolve.
    pub unproved: HashSet<Digest>,
    /// Images of open failures that are listed, and that the tag filter excludes.
    pub filtered_out: HashSet<Reference>,
    /// Indexes of the patterns of `tags.include` that match a listed tag; `None` if no tag list was read.
    pub matched_tags: Option<BTreeSet<usize>>,
    pub contradicted: Vec<Contradiction>,
    pub cleared: Vec<Image>,
}

/// Collects the results of a walk.
pub(super) fn collect(graph: &Graph, context: Context) -> Walked {
    let Context { repository, mut tally, unread, known, unproved, filtered_out, matched_tags, contradicted, cleared } =
        context;
    let list_was_read = unread.is_none();
    // An incomplete list is still a response.
    let list_was_answered = unread.as_ref().is_none_or(|trouble| trouble.cause == Cause::Incomplete);
    let reach = Reach::new(graph);
    let unread_below = if known.is_empty() { HashMap::new() } else { unread_below(graph, &reach) };
    let mut reading = Reading {
        graph,
        reach,
        unread_below,
        list_was_read,
        repository,
        suspected: Vec::new(),
        suspected_keys: HashSet::new(),
        unverified_keys: HashSet::new(),
        unverified: Vec::new(),
    };
    reading.unverified.extend(unread.map(|trouble| Unverified {
        repository: Some(reading.repository.to_string()),
        reference: reading.repository.to_string(),
        kind: None,
        cause: trouble.cause,
        images: Vec::new(),
        detail: format!("its tag list could not be read to the end: {}", trouble.detail),
    }));
    (0..graph.roots.len()).for_each(|id| reading.root(id));
    (0..graph.nodes.len()).for_each(|id| reading.node(id));
    for node in &graph.nodes {
        if matches!(node.state, NodeState::Intact(_)) {
            *tally.served.get_mut(node.kind) += 1;
        }
    }
    let blobs_served = tally.served.config + tally.served.layer;
    reading.suspected.iter_mut().for_each(|suspected| suspected.blobs_served = blobs_served);
    let may_be_resolved = |known: &&Failure| known.digest.as_ref().is_none_or(|digest| !unproved.contains(digest));
    let (filtered_out, resolved): (Vec<&Failure>, Vec<&Failure>) =
        known.iter().filter(may_be_resolved).filter(|known| reading.resolves(known)).partition(|known| {
            !reading.is_intact(known) && known.images.iter().any(|it| filtered_out.contains(&it.reference))
        });
    Walked {
        list_was_read,
        matched_tags,
        unwalked: unwalked(graph, &known),
        filtered_out: filtered_out.into_iter().map(Failure::key).collect(),
        resolved: resolved.into_iter().map(Failure::key).collect(),
        answered: list_was_answered && (graph.roots.is_empty() || graph.roots.iter().any(is_answered)),
        images: graph.roots.iter().filter(|root| !root.gone).count() as u64,
        objects: objects(graph),
        tally,
        canaries: canaries(graph),
        contradicted,
        cleared,
        suspected: reading.suspected,
        unverified: reading.unverified,
        repository: reading.repository,
    }
}

fn is_answered(root: &Root) -> bool {
    root.node.is_some() || !matches!(root.finding, Some(Finding::Unverified { .. }))
}

fn unwalked(graph: &Graph, known: &[Failure]) -> HashSet<Image> {
    let walked: HashSet<&Reference> =
        graph.roots.iter().filter(|root| !root.gone).map(|root| &root.reference).collect();
    let images = known.iter().flat_map(|failure| &failure.images);
    images.filter(|image| !walked.contains(&image.reference)).cloned().collect()
}

/// Counts each digest once, as the first of its kinds.
fn objects(graph: &Graph) -> ObjectCounts {
    let mut counts = ObjectCounts::default();
    for node in &graph.nodes {
        let counted_as_manifest = !node.is_manifest() && graph.find(&node.digest).any(|other| other.is_manifest());
        if !counted_as_manifest && !matches!(node.state, NodeState::Permitted) {
            *counts.get_mut(node.kind) += 1;
        }
    }
    counts
}

fn canaries(graph: &Graph) -> Vec<Inquiry> {
    let first_intact = |is_manifest: bool| {
        graph.nodes.iter().find(|node| {
            node.is_manifest() == is_manifest && matches!(node.state, NodeState::Intact(_)) && node.size != Some(0)
        })
    };
    [first_intact(true), first_intact(false)].into_iter().flatten().map(inquiry_of).collect()
}

/// The question that requests a node by GET.
fn inquiry_of(node: &Node) -> Inquiry {
    let (digest, size) = (node.digest.clone(), node.size);
    if node.is_manifest() {
        Inquiry::Manifest { digest, size, media_type: node.media_type.clone() }
    } else {
        Inquiry::Blob { digest, size, evidence: Evidence::LastByte }
    }
}

struct Reading<'a> {
    graph: &'a Graph,
    reach: Reach<'a>,
    /// For each image, the manifests below it that could not be read.
    unread_below: HashMap<RootId, Vec<NodeId>>,
    list_was_read: bool,
    repository: Repository,
    suspected: Vec<Suspected>,
    suspected_keys: HashSet<FailureKey>,
    /// Unverified objects that some image needs.
    unverified_keys: HashSet<FailureKey>,
    unverified: Vec<Unverified>,
}

impl Reading<'_> {
    fn image(&self, root: RootId) -> Image {
        Image { repository: self.repository.clone(), reference: self.graph.roots[root].reference.clone() }
    }

    fn root(&mut self, id: RootId) {
        let root = &self.graph.roots[id];
        let (Some(finding), false) = (&root.finding, root.gone) else { return };
        let image = self.image(id);
        match finding {
            Finding::Suspect { suspicion, detail, grounds } => {
                let failure = Failure {
                    digest: match &root.reference {
                        Reference::Digest(digest) => Some(digest.clone()),
                        Reference::Tag(_) => None,
                    },
                    path: vec![image.to_string()],
                    images: vec![image],
                    ..self.failure(Kind::Manifest, *suspicion, detail)
                };
                let inquiry = || Inquiry::Resolution(root.reference.clone());
                self.add(failure, *suspicion, *grounds, inquiry);
            }
            Finding::Unverified { cause, detail } => self.unverified.push(Unverified {
                repository: Some(self.repository.to_string()),
                reference: root.reference.to_string(),
                kind: Some(Kind::Manifest),
                cause: *cause,
                images: vec![image],
                detail: detail.clone(),
            }),
        }
    }

    fn node(&mut self, id: NodeId) {
        let node = &self.graph.nodes[id];
        match &node.state {
            NodeState::Permitted | NodeState::Waiting => {}
            NodeState::Intact(length) => {
                let mut stated = node.parents.iter().filter_map(|&(_, size)| size);
                // If two descriptors of one object differ, one of them is wrong.
                match length.and_then(|length| Some((length, stated.find(|&size| size != length)?))) {
                    Some((length, size)) => {
                        let detail =
                            format!("the registry has {}, a descriptor says {size}", counted(length, "byte", "bytes"));
                        let grounds = Grounds { answers: 1, ..Grounds::default() };
                        self.suspect(id, Suspicion::Size, &detail, grounds, Some(length));
                    }
                    None => self.misstated(id),
                }
            }
            NodeState::Found(Finding::Suspect { suspicion, detail, grounds }) => {
                self.suspect(id, *suspicion, detail, *grounds, None);
            }
            NodeState::Found(Finding::Unverified { cause, detail }) => {
                let (roots, _) = self.reach.of(id, None);
                if !roots.is_empty() {
                    self.unverified_keys.insert(FailureKey {
                        repository: self.repository.clone(),
                        reference: Some(Reference::Digest(node.digest.clone())),
                    });
                    self.unverified.push(Unverified {
                        repository: Some(self.repository.to_string()),
                        reference: node.digest.to_string(),
                        kind: Some(node.kind),
                        cause: *cause,
                        images: roots.into_iter().map(|root| self.image(root)).collect(),
                        detail: detail.clone(),
                    });
                }
            }
        }
    }

    /// Reports a negative size in a descriptor: some clients pull such an object, others do not.
    fn misstated(&mut self, id: NodeId) {
        let node = &self.graph.nodes[id];
        let roots: BTreeSet<RootId> =
            node.misstated_by.iter().flat_map(|&parent| self.reach.of(parent, None).0).collect();
        if roots.is_empty() {
            return;
        }
        let unverified = Unverified {
            repository: Some(self.repository.to_string()),
            reference: node.digest.to_string(),
            kind: Some(node.kind),
            cause: Cause::Protocol,
            images: roots.into_iter().map(|root| self.image(root)).collect(),
            detail: "its descriptor states a negative size, which some clients refuse".to_string(),
        };
        self.unverified.push(unverified);
    }

    fn suspect(&mut self, id: NodeId, suspicion: Suspicion, detail: &str, grounds: Grounds, wrong_length: Option<u64>) {
        let node = &self.graph.nodes[id];
        let (roots, path) = self.reach.of(id, wrong_length);
        let Some(&first) = roots.first() else { return };
        let digests = path.into_iter().map(|id| self.graph.nodes[id].digest.to_string());
        let failure = Failure {
            digest: Some(node.digest.clone()),
            media_type: node.media_type.as_deref().map(str::to_string),
            platform: node.platform.as_deref().map(str::to_string),
            attestation: node.attestation,
            path: std::iter::once(self.image(first).to_string()).chain(digests).collect(),
            images: roots.into_iter().map(|root| self.image(root)).collect(),
            ..self.failure(node.kind, suspicion, detail)
        };
        self.add(failure, suspicion, grounds, || inquiry_of(node));
    }

    /// Adds a suspect. A digest that is both a manifest and a blob is one object.
    fn add(&mut self, failure: Failure, suspicion: Suspicion, grounds: Grounds, inquiry: impl Fn() -> Inquiry) {
        if self.suspected_keys.insert(failure.key()) {
            let mixed = grounds.is_mixed.then(inquiry);
            self.suspected.push(Suspected { failure, suspicion, answers: grounds.answers, mixed, blobs_served: 0 });
        }
    }

    fn failure(&self, kind: Kind, suspicion: Suspicion, detail: &str) -> Failure {
        let now = SystemTime::now();
        Failure {
            repository: self.repository.clone(),
            digest: None,
            kind,
            reason: suspicion.reason(),
            media_type: None,
            platform: None,
            attestation: false,
            images: Vec::new(),
            path: Vec::new(),
            detail: detail.to_string(),
            first_seen: now,
            last_seen: now,
        }
    }

    /// True if an open failure is resolved: the object is intact, or no image can need it any more.
    fn resolves(&self, known: &Failure) -> bool {
        if self.suspected_keys.contains(&known.key()) || self.unverified_keys.contains(&known.key()) {
            return false;
        }
        self.is_intact(known) || known.images.iter().all(|image| !self.may_need(image, known))
    }

    /// True if the object of an open failure is intact.
    fn is_intact(&self, known: &Failure) -> bool {
        let Some(digest) = &known.digest else { return false };
        let mut found = self.graph.find(digest).peekable();
        found.peek().is_some() && found.all(|node| matches!(node.state, NodeState::Intact(_) | NodeState::Permitted))
    }

    /// True if an image may still need a broken object, because a manifest above the object could not be read.
    fn may_need(&self, image: &Image, known: &Failure) -> bool {
        let id = self.graph.root(&image.reference).filter(|&id| !self.graph.roots[id].gone);
        let Some(id) = id else { return !self.list_was_read };
        let root = &self.graph.roots[id];
        match (&root.finding, root.node) {
            (Some(_), _) => true,
            // The reference itself was broken, and it resolves now.
            (None, _) if known.digest.is_none() => false,
            (None, None) => false,
            (None, Some(_)) => self.unread_below.get(&id).is_some_and(|unread| {
                unread.iter().any(|&node| match self.graph.nodes[node].finding() {
                    Some(Finding::Unverified { .. }) => true,
                    // Broken itself, and on the path from the image to the object.
                    _ => known.path.contains(&self.graph.nodes[node].digest.to_string()),
                })
            }),
        }
    }
}

/// For each image, the manifests below it that could not be read.
fn unread_below(graph: &Graph, reach: &Reach<'_>) -> HashMap<RootId, Vec<NodeId>> {
    let mut unread: HashMap<RootId, Vec<NodeId>> = HashMap::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        if node.is_manifest() && node.finding().is_some() {
            for root in reach.of(id, None).0 {
                unread.entry(root).or_default().push(id);
            }
        }
    }
    unread
}

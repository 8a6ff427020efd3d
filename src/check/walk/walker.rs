//! The state of one walk.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::contradicting::Contradicting;
use super::graph::{Finding, Graph, NodeId, Root, RootId};
use super::observer::Observation;
use super::scope::Scope;
use super::subject::Subject;
use super::walked::Tally;
use crate::check::evidence::Evidence;
use crate::check::judge::Verdict;
use crate::oci::{Digest, Image, Reference, Repository};
use crate::registry::{Object, may_pass};
use crate::report::{Cause, Failure, Kind, Reason};

/// Requests of one repository that are started at once, including those that wait for a retry. The registry's gate decides
/// how many are in flight.
pub(super) const STARTED_AT_ONCE: usize = 64;

/// A walk of one repository.
pub(super) struct Walk<R> {
    pub registry: Arc<R>,
    pub repository: Repository,
    pub scope: Arc<Scope>,
    pub graph: Graph,
    /// Subjects to request.
    pub queue: VecDeque<Subject>,
    /// Subjects whose request failed and was repeated once.
    retried: HashSet<Subject>,
    /// Blobs that are known to be broken, with the reason and the time of detection.
    pub known: HashMap<Digest, (Reason, SystemTime)>,
    /// Minimum evidence for single blobs.
    pub required: HashMap<NodeId, Evidence>,
    /// Blobs that are known to be broken and that this walk cannot resolve.
    pub unproved: HashSet<Digest>,
    pub contradicting: Contradicting,
    pub tally: Tally,
}

impl<R> Walk<R> {
    pub fn new(registry: Arc<R>, repository: Repository, scope: Arc<Scope>, known: &[Failure]) -> Self {
        let contradicting = Contradicting::new(scope.contradictions.remembered_in(&repository), known);
        Self {
            registry,
            repository,
            scope,
            graph: Graph::default(),
            queue: VecDeque::new(),
            retried: HashSet::new(),
            known: known_blobs(known),
            required: HashMap::new(),
            unproved: HashSet::new(),
            contradicting,
            tally: Tally::default(),
        }
    }

    /// Adds an image, and queues it.
    pub fn add_root(&mut self, reference: Reference) {
        let root = self.graph.add_root(reference.clone());
        match reference {
            Reference::Tag(_) => self.queue.push_back(Subject::Root(root)),
            Reference::Digest(digest) => self.resolved(root, digest),
        }
    }

    /// Notes the digest that an image resolves to, and queues its manifest.
    pub fn resolved(&mut self, root: RootId, digest: Digest) {
        if digest.algorithm().is_none() {
            let detail = "the digest's algorithm is unknown".to_string();
            self.graph.roots[root].finding = Some(Finding::Unverified { cause: Cause::Protocol, detail });
            return;
        }
        self.queue.extend(self.graph.resolve(root, digest).map(Subject::Node));
    }

    /// The name under which an object or a tag is remembered.
    pub fn image(&self, subject: Subject) -> Image {
        let reference = match subject {
            Subject::Root(root) => self.graph.roots[root].reference.clone(),
            Subject::Node(id) => Reference::Digest(self.graph.nodes[id].digest.clone()),
        };
        Image { repository: self.repository.clone(), reference }
    }

    /// Passes a result to the observer.
    pub fn observe(&self, subject: Subject, verdict: &Verdict, evidence: Evidence, took: Duration) {
        let Some(observer) = &self.scope.observer else { return };
        let object = match subject {
            Subject::Root(root) => Object::Manifest(self.graph.roots[root].reference.clone()),
            Subject::Node(id) if self.graph.nodes[id].is_manifest() => {
                Object::Manifest(Reference::Digest(self.graph.nodes[id].digest.clone()))
            }
            Subject::Node(id) => Object::Blob(self.graph.nodes[id].digest.clone()),
        };
        observer.observe(&Observation { repository: &self.repository, object: &object, verdict, evidence, took });
    }

    /// Queues, once more, each subject whose request failed for a temporary reason. True if there are any.
    pub fn retry_failed_requests(&mut self) -> bool {
        let is_temporary =
            |finding: Option<&Finding>| matches!(finding, Some(Finding::Unverified { cause, .. }) if may_pass(*cause));
        let roots =
            self.graph.roots.iter().enumerate().filter(|(_, root)| !root.gone && is_temporary(root.finding.as_ref()));
        let nodes = self.graph.nodes.iter().enumerate().filter(|(_, node)| is_temporary(node.finding()));
        let open: Vec<Subject> =
            roots.map(|(id, _)| Subject::Root(id)).chain(nodes.map(|(id, _)| Subject::Node(id))).collect();
        self.queue.extend(open.into_iter().filter(|&subject| self.retried.insert(subject)));
        !self.queue.is_empty()
    }

    /// Hands the tags to the manifest cache. If anything could not be read, the cache keeps what it has.
    pub fn cache_tags(&self) {
        let is_unread = |finding: Option<&Finding>| matches!(finding, Some(Finding::Unverified { .. }));
        let manifests = || self.graph.nodes.iter().filter(|node| node.is_manifest());
        if self.graph.roots.iter().any(|root| is_unread(root.finding.as_ref()))
            || manifests().any(|node| is_unread(node.finding()))
        {
            return;
        }
        let tag = |root: &Root| match (&root.reference, root.node) {
            (Reference::Tag(tag), Some(node)) if !root.gone => {
                Some((tag.clone(), self.graph.nodes[node].digest.clone()))
            }
            _ => None,
        };
        let tags = self.graph.roots.iter().filter_map(tag).collect();
        self.scope.manifests.walked(&self.repository, tags, &manifests().map(|node| &node.digest).collect());
    }
}

/// The blobs among known failures. Manifests are not needed here: each request for one brings all its bytes.
fn known_blobs(known: &[Failure]) -> HashMap<Digest, (Reason, SystemTime)> {
    let of_blobs = known.iter().filter(|failure| matches!(failure.kind, Kind::Config | Kind::Layer));
    of_blobs.filter_map(|failure| Some((failure.digest.clone()?, (failure.reason, failure.first_seen)))).collect()
}

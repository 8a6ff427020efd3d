//! The walk of one repository: its images, what they need, and what is wrong with that.
//!
//! A walk goes in rounds. It asks for everything that it knows of, learning of more from each manifest; it asks again for
//! what looked bad; and it reads the tags again whose images look broken, since one may have been deleted or moved
//! meanwhile, in which case its new content is walked.

mod blob_hasher;
mod confirmation;
mod doubts;
mod findings;
mod graph;
mod inquiry;
mod observer;
mod tags;
mod walked;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::future;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::ReusableBoxFuture;

pub use blob_hasher::{BlobHasher, DueBlob, FindingChange};
pub use graph::wanted_children;
pub use inquiry::Inquiry;
pub use observer::{Observation, Observer};
pub use walked::{Suspected, Tally, Walked};

use crate::check::contradictions::Contradictions;
use crate::check::evidence::{Evidence, EvidenceSchedule};
use crate::check::judge::{Suspicion, Verdict};
use crate::check::manifest_cache::{CachedManifest, ManifestCache};
use crate::config::{Confirm, Filter, Limits};
use crate::oci::{Digest, Manifest, Platform, Reference, Repository};
use crate::registry::{ListEnd, Method, Object, Registry, may_pass};
use crate::report::{Cause, Failure, Kind, Reason};
use blob_hasher::BrokenBlob;
use doubts::Contradicting;
use graph::{Finding, Graph, Grounds, NodeId, NodeState, Root, RootId};
use inquiry::Judged;
use tags::Listed;

/// Questions of one repository that are under way at once, with those that wait before they are put again; how many requests
/// are, the registry's gate decides.
const UNDER_WAY: usize = 64;
/// Configs up to this length, in bytes, are read whole where somebody watches.
const SHORT_CONFIG: u64 = 64 * 1024;
/// A tag that moves more often than this while its repository is walked is not judged.
const MOVES: u32 = 3;

/// What a walk looks at, and how closely.
#[derive(Clone, Debug)]
pub struct Scope {
    /// How a failure is confirmed.
    pub confirm: Confirm,
    /// What it may cost at most.
    pub limits: Limits,
    /// Which tags.
    pub tags: Filter,
    /// Children that must exist; empty: all.
    pub platforms: Vec<Platform>,
    /// Which blobs are proved by their last byte.
    pub evidence_schedule: Arc<EvidenceSchedule>,
    /// Where the manifests go that are hashed.
    pub manifests: Arc<ManifestCache>,
    /// Who hashes blobs beside the walk; `None`: what is to be hashed is hashed in it.
    pub blob_hasher: Option<Arc<BlobHasher>>,
    /// What contradicted itself in an earlier sweep.
    pub contradictions: Arc<Contradictions>,
    /// Who watches.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Which images of a repository are walked.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// Those that its tag list names.
    pub listed: bool,
    /// These, listed or not.
    pub named: BTreeSet<Reference>,
    /// True if the configuration names the repository, so that it must exist.
    pub must_exist: bool,
}

/// What is walked: one repository, and what was known to be bad in it.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which.
    pub repository: Repository,
    /// Which of its images.
    pub roots: Roots,
    /// Failures known before, to be told if they are disproved.
    pub known: Vec<Failure>,
}

/// Walks one repository. `on_judged` is called for each object that has been asked for.
pub async fn walk<R: Registry + 'static>(
    registry: Arc<R>,
    assignment: Assignment,
    scope: Arc<Scope>,
    on_judged: impl Fn() + Send,
) -> Walked {
    let Assignment { repository, roots, known } = assignment;
    let contradicting = Contradicting::new(scope.contradictions.remembered_in(&repository), &known);
    let mut walk = Walk {
        registry,
        repository,
        scope,
        graph: Graph::default(),
        queue: VecDeque::new(),
        looked_again: HashSet::new(),
        known: known_blobs(&known),
        insisted: HashMap::new(),
        unproved: HashSet::new(),
        contradicting,
        tally: Tally::default(),
    };
    let listed = walk.listed_tags(&roots).await;
    let filtered_out = listed.filtered_out(&known);
    for reference in listed.tags.iter().cloned().map(Reference::Tag).chain(roots.named.iter().cloned()) {
        walk.add_root(reference);
    }
    let mut moves = 0;
    loop {
        walk.ask_all(&on_judged).await;
        if walk.settle_doubts().await || walk.look_again() {
            continue;
        }
        if moves == MOVES {
            walk.give_up_moving_tags();
            break;
        }
        if !walk.read_tags_again(&roots).await {
            break;
        }
        moves += 1;
    }
    let unread = match listed.end {
        ListEnd::Incomplete(trouble) => Some(trouble),
        ListEnd::Complete | ListEnd::Absent => None,
    };
    if unread.is_none() {
        walk.remember();
    }
    let cleared = walk.cleared(unread.is_none());
    let context = findings::Context {
        repository: walk.repository,
        tally: walk.tally,
        unread,
        known,
        unproved: walk.unproved,
        filtered_out,
        matched_tags: listed.matched,
        contradicted: walk.contradicting.found,
        cleared,
    };
    findings::collect(&walk.graph, context)
}

/// What is known to be bad of blobs; manifests are hashed whenever they are asked for.
fn known_blobs(known: &[Failure]) -> HashMap<Digest, (Reason, SystemTime)> {
    let of_blobs = known.iter().filter(|failure| matches!(failure.kind, Kind::Config | Kind::Layer));
    of_blobs.filter_map(|failure| Some((failure.digest.clone()?, (failure.reason, failure.first_seen)))).collect()
}

struct Walk<R> {
    registry: Arc<R>,
    repository: Repository,
    scope: Arc<Scope>,
    graph: Graph,
    queue: VecDeque<Subject>,
    /// What had no answer and was asked for once more.
    looked_again: HashSet<Subject>,
    /// Of the blobs that are known to be bad, what was found, and since when.
    known: HashMap<Digest, (Reason, SystemTime)>,
    /// Blobs that are to be proved by no less than this.
    insisted: HashMap<NodeId, Evidence>,
    /// Blobs that are known to be bad, and that the walk has seen nothing of that says otherwise.
    unproved: HashSet<Digest>,
    contradicting: Contradicting,
    tally: Tally,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Root(RootId),
    Node(NodeId),
}

/// What a question was about, what came of it, and how long that took.
type Asked = (Subject, Judged, Duration);

impl<R: Registry + 'static> Walk<R> {
    fn add_root(&mut self, reference: Reference) {
        let root = self.graph.add_root(reference.clone());
        match reference {
            Reference::Tag(_) => self.queue.push_back(Subject::Root(root)),
            Reference::Digest(digest) => self.resolved(root, digest),
        }
    }

    fn resolved(&mut self, root: RootId, digest: Digest) {
        if digest.algorithm().is_none() {
            let detail = "the digest's algorithm is unknown".to_string();
            self.graph.roots[root].finding = Some(Finding::Unverified { cause: Cause::Protocol, detail });
            return;
        }
        self.queue.extend(self.graph.resolve(root, digest).map(Subject::Node));
    }

    fn inquiry(&self, subject: Subject) -> Inquiry {
        match subject {
            Subject::Root(root) => Inquiry::Resolution(self.graph.roots[root].reference.clone()),
            Subject::Node(id) => {
                let node = &self.graph.nodes[id];
                if node.is_manifest() {
                    Inquiry::Manifest(node.digest.clone(), node.size)
                } else {
                    let wanted = self.wanted(id);
                    let is_short = node.size.is_some_and(|size| size <= SHORT_CONFIG);
                    let evidence = match wanted {
                        // Whoever watches learns its platform so, and all of it costs no more than its last byte.
                        Evidence::LastByte
                            if self.scope.observer.is_some() && node.kind == Kind::Config && is_short =>
                        {
                            Evidence::Content
                        }
                        wanted => wanted,
                    };
                    Inquiry::Blob { digest: node.digest.clone(), size: node.size, evidence }
                }
            }
        }
    }

    /// A manifest that was hashed lately enough: it cannot have changed under its digest, so that its headers do until it
    /// is due again. Not where somebody watches, who wants it whole.
    fn remembered(&self, subject: Subject) -> Option<CachedManifest> {
        let Subject::Node(id) = subject else { return None };
        let node = &self.graph.nodes[id];
        if !node.is_manifest() || self.scope.observer.is_some() {
            return None;
        }
        let known = self.scope.manifests.get(&self.repository, &node.digest)?;
        let (evidence_schedule, now) = (&self.scope.evidence_schedule, SystemTime::now());
        let is_due = evidence_schedule.is_manifest_due(&self.repository, &node.digest, known.hashed_at, now);
        (!known.is_doubted && !is_due).then_some(known)
    }

    /// How a blob is to be proved. What is to be hashed beside the walk is named for that.
    fn wanted(&self, id: NodeId) -> Evidence {
        let node = &self.graph.nodes[id];
        let now = SystemTime::now();
        let wanted = match &self.scope.blob_hasher {
            None => self.scope.evidence_schedule.wanted(&self.repository, &node.digest, now),
            Some(blob_hasher) => {
                let (wanted, due) = self.scope.evidence_schedule.wanted_beside(&self.repository, &node.digest, now);
                if let Some(hashed_at) = due {
                    blob_hasher.name(self.due(id), hashed_at);
                }
                // What GET did not deliver, HEAD does not clear.
                let is_doubted = blob_hasher.was_not_delivered(&self.repository, &node.digest);
                wanted.max(if is_doubted { Evidence::LastByte } else { Evidence::Head })
            }
        };
        wanted.max(self.insisted.get(&id).copied().unwrap_or(Evidence::Head))
    }

    fn due(&self, id: NodeId) -> DueBlob {
        let node = &self.graph.nodes[id];
        DueBlob { repository: self.repository.clone(), digest: node.digest.clone(), size: node.size }
    }

    /// Holds what an answer proved of a blob against what is known otherwise. Gives what was found beside the walk, if that
    /// says that it is bad; the blob is in the queue again, if something else than what came has to clear it.
    fn weigh(&mut self, id: NodeId, evidence: Evidence) -> Option<BrokenBlob> {
        let node = &self.graph.nodes[id];
        if node.is_manifest() || evidence == Evidence::Content {
            return None;
        }
        let blob_hasher = self.scope.blob_hasher.clone();
        if let Some(bad) = blob_hasher.as_ref().and_then(|blob_hasher| blob_hasher.bad(&self.repository, &node.digest))
        {
            return Some(bad);
        }
        let &(reason, since) = self.known.get(&node.digest)?;
        let needed = match reason {
            Reason::DigestMismatch => Evidence::Content,
            Reason::Unreadable => Evidence::LastByte,
            Reason::Missing | Reason::SizeMismatch | Reason::Malformed => Evidence::Head,
        };
        if evidence >= needed {
            return None;
        }
        match blob_hasher {
            Some(blob_hasher) if needed == Evidence::Content => {
                // In whole seconds, as what is proved is kept.
                let was_hashed = self.scope.evidence_schedule.hashed_at(&self.repository, &node.digest);
                if was_hashed.is_none_or(|at| at + Duration::from_secs(1) < since) {
                    blob_hasher.name(self.due(id), 0);
                    self.unproved.insert(self.graph.nodes[id].digest.clone());
                }
            }
            // Where the registry gives no more than that, it has to do.
            _ if self.insisted.insert(id, needed).is_none() => self.queue.push_back(Subject::Node(id)),
            _ => {}
        }
        None
    }

    /// Asks for everything in the queue, and for what that leads to: each level as soon as it is known.
    async fn ask_all(&mut self, on_judged: &(impl Fn() + Send)) {
        let mut under_way = FuturesUnordered::new();
        // Where questions were that have ended. The next one gets such a place, which was in use a moment ago and is mostly in
        // the processor's first caches yet.
        let mut places: Vec<ReusableBoxFuture<'static, Asked>> = Vec::new();
        loop {
            let next = future::poll_fn(|context| {
                loop {
                    let polled = under_way.poll_next_unpin(context);
                    if let Poll::Ready(Some(_)) = polled {
                        return polled;
                    }
                    // At least one, so that the walk goes on.
                    let has_room = under_way.is_empty() || under_way.len() < UNDER_WAY && self.registry.has_room();
                    // What was found last comes first, so that kinds follow each other as they do in a pull, not in bursts.
                    match has_room.then(|| self.queue.pop_back()).flatten() {
                        Some(subject) => {
                            let question = self.put(subject);
                            let mut place = match places.pop() {
                                Some(mut place) => {
                                    place.set(question);
                                    place
                                }
                                None => ReusableBoxFuture::new(question),
                            };
                            under_way.push(async move { (place.get_pin().await, place) });
                        }
                        None => return polled,
                    }
                }
            });
            let Some(((subject, judged, took), place)) = next.await else { return };
            places.push(place);
            self.tell(subject, &judged.verdict, judged.evidence, took);
            if matches!(subject, Subject::Node(_)) {
                on_judged();
            }
            let Judged { verdict, exchanges, evidence, answered } = judged;
            self.tally.count(exchanges, &verdict);
            if matches!(verdict, Verdict::Intact(_))
                && let Subject::Node(id) = subject
            {
                if let Some(BrokenBlob { suspicion, detail, answers, .. }) = self.weigh(id, evidence) {
                    let grounds = Grounds { answers, confirmed: true, ..Grounds::default() };
                    self.take(subject, Verdict::Suspect { suspicion, detail }, grounds);
                    continue;
                }
                self.proved(id, evidence);
            }
            let answers = match verdict {
                Verdict::Suspect { suspicion: Suspicion::ServerError, .. } => exchanges,
                _ => 1,
            };
            let by_head = answered.is_some_and(|(method, _)| method == Method::Head);
            self.take(subject, verdict, Grounds { answers, by_head, ..Grounds::default() });
        }
    }

    /// Notes how a sound object was proved.
    fn proved(&self, id: NodeId, evidence: Evidence) {
        let node = &self.graph.nodes[id];
        if node.is_manifest() {
            return;
        }
        self.scope.evidence_schedule.proved(&self.repository, &node.digest, evidence, SystemTime::now());
        if let Some(blob_hasher) = self.scope.blob_hasher.as_ref().filter(|_| evidence >= Evidence::LastByte) {
            blob_hasher.delivered(&self.repository, &node.digest);
        }
    }

    /// Puts the question about a subject; tells how long that took, too.
    fn put(&self, subject: Subject) -> impl Future<Output = Asked> + use<R> {
        let (registry, repository) = (Arc::clone(&self.registry), self.repository.clone());
        let inquiry = self.inquiry(subject);
        let remembered = self.remembered(subject).map(Box::new);
        async move {
            let asked_at = Instant::now();
            let judged = match remembered {
                Some(known) => Box::pin(inquiry.ask_remembered(&*registry, &repository, *known)).await,
                None => inquiry.ask(&*registry, &repository, false).await,
            };
            (subject, judged, asked_at.elapsed())
        }
    }

    fn take(&mut self, subject: Subject, verdict: Verdict, grounds: Grounds) {
        if let (Verdict::Suspect { .. }, Subject::Node(id)) = (&verdict, subject) {
            self.scope.manifests.doubted(&self.repository, &self.graph.nodes[id].digest);
        }
        let finding = match verdict {
            Verdict::Intact(intact) => match subject {
                Subject::Root(root) => {
                    if let Some(digest) = intact.digest {
                        self.resolved(root, digest);
                    }
                    return;
                }
                Subject::Node(id) => {
                    let named = intact.manifest.as_deref().map_or(0, Manifest::descriptors);
                    let Limits { descriptors, objects, depth, .. } = self.scope.limits;
                    let too_many = match () {
                        () if named > descriptors => {
                            Some(format!("the manifest names more than {descriptors} objects"))
                        }
                        () if self.graph.nodes.len() + named > objects => {
                            Some(format!("the repository has more than {objects} objects"))
                        }
                        () => None,
                    };
                    if let Some(detail) = too_many {
                        let finding = Finding::Unverified { cause: Cause::Protocol, detail };
                        self.graph.nodes[id].state = NodeState::Found(finding);
                        return;
                    }
                    self.graph.nodes[id].state = NodeState::Intact(intact.length);
                    if let Some(manifest) = intact.manifest {
                        if !intact.is_remembered {
                            let (digest, size) = (&self.graph.nodes[id].digest, intact.length.unwrap_or_default());
                            self.scope.manifests.hashed(&self.repository, digest, &manifest, size, SystemTime::now());
                        }
                        let found = self.graph.expand(id, &manifest, &self.scope.platforms, depth);
                        self.queue.extend(found.into_iter().map(Subject::Node));
                        let node = &mut self.graph.nodes[id];
                        node.media_type = node.media_type.take().or_else(|| manifest.media_type.map(Into::into));
                    }
                    return;
                }
            },
            Verdict::Suspect { suspicion, detail } => Finding::Suspect { suspicion, detail, grounds },
            Verdict::Unverified { cause, detail } => Finding::Unverified { cause, detail },
        };
        match subject {
            Subject::Root(root) => self.graph.roots[root].finding = Some(finding),
            Subject::Node(id) => self.graph.nodes[id].state = NodeState::Found(finding),
        }
    }

    fn tell(&self, subject: Subject, verdict: &Verdict, evidence: Evidence, took: Duration) {
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

    /// Takes up once more what had no answer although it was retried: by now the trouble may have passed. True if there is
    /// anything.
    fn look_again(&mut self) -> bool {
        let passing =
            |finding: Option<&Finding>| matches!(finding, Some(Finding::Unverified { cause, .. }) if may_pass(*cause));
        let roots =
            self.graph.roots.iter().enumerate().filter(|(_, root)| !root.gone && passing(root.finding.as_ref()));
        let nodes = self.graph.nodes.iter().enumerate().filter(|(_, node)| passing(node.finding()));
        let open: Vec<Subject> =
            roots.map(|(id, _)| Subject::Root(id)).chain(nodes.map(|(id, _)| Subject::Node(id))).collect();
        self.queue.extend(open.into_iter().filter(|&subject| self.looked_again.insert(subject)));
        !self.queue.is_empty()
    }

    /// Hands over what the tags are. What was not read says nothing of what it needs, so that nothing is forgotten then.
    fn remember(&self) {
        let unread = |finding: Option<&Finding>| matches!(finding, Some(Finding::Unverified { .. }));
        let manifests = || self.graph.nodes.iter().filter(|node| node.is_manifest());
        if self.graph.roots.iter().any(|root| unread(root.finding.as_ref()))
            || manifests().any(|node| unread(node.finding()))
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

    /// The tags whose images look broken and that were not read again since.
    fn doubtful_tags(&self) -> Vec<RootId> {
        let reach = self.graph.reach();
        let mut doubtful: HashSet<RootId> = HashSet::new();
        for (id, node) in self.graph.nodes.iter().enumerate() {
            if node.finding().is_some_and(Finding::is_confirmed) {
                doubtful.extend(reach.of(id, None).0);
            }
        }
        let roots = self.graph.roots.iter().enumerate();
        roots
            .filter(|(id, root)| {
                let itself = root.finding.as_ref().is_some_and(Finding::is_confirmed);
                (itself || doubtful.contains(id))
                    && !root.gone
                    && !root.reread
                    && matches!(root.reference, Reference::Tag(_))
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// Reads the tag list and the tags again whose images look broken. True if there is more to walk.
    async fn read_tags_again(&mut self, roots: &Roots) -> bool {
        let doubtful = self.doubtful_tags();
        if doubtful.is_empty() {
            return false;
        }
        let mut still_there = Vec::new();
        let listed = if roots.listed { Some(self.listed_tags(roots).await) } else { None };
        for root in doubtful {
            let reference = &self.graph.roots[root].reference;
            match (&listed, reference) {
                (Some(Listed { tags, end, .. }), Reference::Tag(tag))
                    if !roots.named.contains(reference) && !tags.contains(tag) =>
                {
                    match end {
                        ListEnd::Complete | ListEnd::Absent => self.graph.roots[root].gone = true,
                        ListEnd::Incomplete(trouble) => {
                            let detail =
                                format!("found bad, but its tag list could not be read again: {}", trouble.detail);
                            self.doubt(root, trouble.cause, detail);
                        }
                    }
                }
                _ => still_there.push(root),
            }
        }
        let walk = &*self;
        let rereads = stream::iter(still_there).map(|root| {
            let (registry, repository) = (Arc::clone(&self.registry), self.repository.clone());
            let inquiry = self.inquiry(Subject::Root(root));
            // By GET: what stands in front of a registry may keep an old answer to HEAD.
            async move {
                let asked_at = Instant::now();
                let judged = inquiry.ask(&*registry, &repository, true).await;
                walk.tell(Subject::Root(root), &judged.verdict, judged.evidence, asked_at.elapsed());
                (root, judged)
            }
        });
        let rereads: Vec<_> = rereads.buffer_unordered(UNDER_WAY).collect().await;
        for (root, judged) in rereads {
            self.tally.count(judged.exchanges, &judged.verdict);
            self.reread(root, judged.verdict);
        }
        !self.queue.is_empty()
            || self.graph.roots.iter().any(|root| {
                root.finding
                    .as_ref()
                    .is_some_and(|finding| matches!(finding, Finding::Suspect { .. }) && !finding.is_confirmed())
            })
    }

    fn reread(&mut self, root: RootId, verdict: Verdict) {
        let known = self.graph.roots[root].node.map(|node| self.graph.nodes[node].digest.clone());
        match verdict {
            Verdict::Intact(intact) if known.is_some() && intact.digest == known => {
                self.graph.roots[root].reread = true
            }
            // Moved, or there again: what it points to now is what counts.
            Verdict::Intact(intact) => {
                if let Some(digest) = intact.digest {
                    self.resolved(root, digest);
                }
            }
            Verdict::Suspect { .. } if known.is_none() => self.graph.roots[root].reread = true,
            Verdict::Suspect { suspicion, detail } => {
                let root = &mut self.graph.roots[root];
                root.node = None;
                let grounds = Grounds { answers: 1, ..Grounds::default() };
                root.finding = Some(Finding::Suspect { suspicion, detail, grounds });
            }
            Verdict::Unverified { cause, detail } => {
                self.doubt(root, cause, format!("found bad, but its tag could not be read again: {detail}"));
            }
        }
    }

    /// Nobody can say what the tag is: what it was found to need is not held against it.
    fn doubt(&mut self, root: RootId, cause: Cause, detail: String) {
        let root = &mut self.graph.roots[root];
        root.node = None;
        root.finding = Some(Finding::Unverified { cause, detail });
    }

    fn give_up_moving_tags(&mut self) {
        for root in self.doubtful_tags() {
            self.doubt(root, Cause::Protocol, format!("the tag moved more than {MOVES} times while it was walked"));
        }
    }
}

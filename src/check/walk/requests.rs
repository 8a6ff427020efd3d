//! The requests of a walk: which, in which form, and in which order.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::blob_hasher::DueBlob;
use super::graph::{Grounds, NodeId};
use super::inquiry::{Inquiry, Judged};
use super::subject::Subject;
use super::walker::{STARTED_AT_ONCE, Walk};
use crate::check::evidence::Evidence;
use crate::check::judge::{Suspicion, Verdict};
use crate::check::manifest_cache::CachedManifest;
use crate::registry::{Method, Registry};
use crate::report::Kind;

/// Configs up to this length, in bytes, are read completely for an observer.
const SHORT_CONFIG: u64 = 64 * 1024;

/// The result of one request and its duration.
type Response = (Subject, Judged, Duration);

impl<R: Registry + 'static> Walk<R> {
    /// Requests every queued subject, and the objects that these lead to.
    pub async fn request_all(&mut self, on_checked: &(impl Fn() + Send)) {
        let mut started = FuturesUnordered::new();
        loop {
            // At least one, so that the walk makes progress.
            let has_room = started.is_empty() || started.len() < STARTED_AT_ONCE && self.registry.has_room();
            let next = if has_room { self.queue.pop_back() } else { None };
            let response = match next {
                // The latest subject first, so that manifests and blobs alternate as in a pull.
                Some(subject) => {
                    started.push(self.request(subject));
                    // Poll it once, so that the registry counts it before the next one is started.
                    started.next().now_or_never().flatten()
                }
                None => match started.next().await {
                    Some(response) => Some(response),
                    None => return,
                },
            };
            if let Some(response) = response {
                self.accept(response, on_checked);
            }
        }
    }

    /// Sends the request for a subject.
    fn request(&self, subject: Subject) -> impl Future<Output = Response> + use<R> {
        let (registry, repository) = (Arc::clone(&self.registry), self.repository.clone());
        let inquiry = self.inquiry(subject);
        let cached = self.cached(subject).map(Box::new);
        async move {
            let asked_at = Instant::now();
            let judged = match cached {
                Some(cached) => Box::pin(inquiry.ask_cached(&*registry, &repository, *cached)).await,
                None => inquiry.ask(&*registry, &repository, false).await,
            };
            (subject, judged, asked_at.elapsed())
        }
    }

    /// Applies a response to the graph.
    fn accept(&mut self, (subject, judged, took): Response, on_checked: &(impl Fn() + Send)) {
        self.observe(subject, &judged.verdict, judged.evidence, took);
        if matches!(subject, Subject::Node(_)) {
            on_checked();
        }
        let Judged { verdict, exchanges, evidence, answered } = judged;
        self.tally.count(exchanges, &verdict);
        if let (Verdict::Intact(_), Subject::Node(id)) = (&verdict, subject) {
            if let Some(broken) = self.weigh(id, evidence) {
                let grounds = Grounds { answers: broken.answers, confirmed: true, ..Grounds::default() };
                return self.apply(subject, broken.into_verdict(), grounds);
            }
            self.proved(id, evidence);
        }
        let answers = match verdict {
            Verdict::Suspect { suspicion: Suspicion::ServerError, .. } => exchanges,
            _ => 1,
        };
        let by_head = answered.is_some_and(|(method, _)| method == Method::Head);
        self.apply(subject, verdict, Grounds { answers, by_head, ..Grounds::default() });
    }

    /// The question to ask about a subject.
    pub fn inquiry(&self, subject: Subject) -> Inquiry {
        let id = match subject {
            Subject::Root(root) => return Inquiry::Resolution(self.graph.roots[root].reference.clone()),
            Subject::Node(id) => id,
        };
        let node = &self.graph.nodes[id];
        if node.is_manifest() {
            let (digest, media_type) = (node.digest.clone(), node.media_type.clone());
            return Inquiry::Manifest { digest, size: node.size, media_type };
        }
        let is_short_config = node.kind == Kind::Config && node.size.is_some_and(|size| size <= SHORT_CONFIG);
        let evidence = match self.wanted_evidence(id) {
            // An observer learns the platform from it, and all of it costs no more than its last byte.
            Evidence::LastByte if self.scope.observer.is_some() && is_short_config => Evidence::Content,
            evidence => evidence,
        };
        Inquiry::Blob { digest: node.digest.clone(), size: node.size, evidence }
    }

    /// A cached manifest that is not yet due to be hashed again. It cannot have changed under its digest, so its headers
    /// suffice. Observers always get the manifest itself.
    fn cached(&self, subject: Subject) -> Option<CachedManifest> {
        let Subject::Node(id) = subject else { return None };
        let node = &self.graph.nodes[id];
        if !node.is_manifest() || self.scope.observer.is_some() {
            return None;
        }
        let cached = self.scope.manifests.get(&self.repository, &node.digest)?;
        let (schedule, now) = (&self.scope.evidence_schedule, SystemTime::now());
        let is_due = schedule.is_manifest_due(&self.repository, &node.digest, cached.hashed_at, now);
        (!cached.is_doubted && !is_due).then_some(cached)
    }

    /// The evidence that a blob needs now. A blob that is due to be hashed in the background is queued for that.
    fn wanted_evidence(&self, id: NodeId) -> Evidence {
        let node = &self.graph.nodes[id];
        let (schedule, now) = (&self.scope.evidence_schedule, SystemTime::now());
        let wanted = match &self.scope.blob_hasher {
            None => schedule.wanted(&self.repository, &node.digest, now),
            Some(blob_hasher) => {
                let (wanted, due) = schedule.wanted_with_background(&self.repository, &node.digest, now);
                if let Some(hashed_at) = due {
                    blob_hasher.enqueue(self.due_blob(id), hashed_at);
                }
                // HEAD does not clear a blob that GET did not deliver.
                let is_undelivered = blob_hasher.is_undelivered(&self.repository, &node.digest);
                wanted.max(if is_undelivered { Evidence::LastByte } else { Evidence::Head })
            }
        };
        wanted.max(self.required.get(&id).copied().unwrap_or(Evidence::Head))
    }

    /// A blob, as the background hasher needs it.
    pub fn due_blob(&self, id: NodeId) -> DueBlob {
        let node = &self.graph.nodes[id];
        DueBlob { repository: self.repository.clone(), digest: node.digest.clone(), size: node.size }
    }
}

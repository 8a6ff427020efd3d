//! Reads the tags of broken images again, since a tag may have been deleted or moved during the walk.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::graph::{Finding, Grounds, RootId};
use super::reach::Reach;
use super::scope::Roots;
use super::subject::Subject;
use super::tags::Listed;
use super::walker::{STARTED_AT_ONCE, Walk};
use crate::check::judge::Verdict;
use crate::oci::Reference;
use crate::registry::{ListEnd, Registry};
use crate::report::Cause;

impl<R: Registry + 'static> Walk<R> {
    /// The tags of broken images that were not read again since.
    fn doubtful_tags(&self) -> Vec<RootId> {
        let reach = Reach::new(&self.graph);
        let mut doubtful: HashSet<RootId> = HashSet::new();
        for (id, node) in self.graph.nodes.iter().enumerate() {
            if node.finding().is_some_and(Finding::is_confirmed) {
                doubtful.extend(reach.of(id, None).0);
            }
        }
        let roots = self.graph.roots.iter().enumerate();
        roots
            .filter(|(id, root)| {
                let is_broken_itself = root.finding.as_ref().is_some_and(Finding::is_confirmed);
                (is_broken_itself || doubtful.contains(id))
                    && !root.gone
                    && !root.reread
                    && matches!(root.reference, Reference::Tag(_))
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// Reads the tag list again, and the tags of broken images. True if there is more to walk.
    pub async fn read_tags_again(&mut self, roots: &Roots) -> bool {
        let doubtful = self.doubtful_tags();
        if doubtful.is_empty() {
            return false;
        }
        let still_listed = self.drop_deleted_tags(doubtful, roots).await;
        let walk = &*self;
        let rereads = stream::iter(still_listed).map(|root| {
            let (registry, repository) = (Arc::clone(&self.registry), self.repository.clone());
            let inquiry = self.inquiry(Subject::Root(root));
            // By GET, because a cache in front of the registry may keep an old response to HEAD.
            async move {
                let asked_at = Instant::now();
                let judged = inquiry.ask(&*registry, &repository, true).await;
                walk.observe(Subject::Root(root), &judged.verdict, judged.evidence, asked_at.elapsed());
                (root, judged)
            }
        });
        let rereads: Vec<_> = rereads.buffer_unordered(STARTED_AT_ONCE).collect().await;
        for (root, judged) in rereads {
            self.tally.count(judged.exchanges, &judged.verdict);
            self.reread(root, judged.verdict);
        }
        let is_unconfirmed = |finding: &Finding| matches!(finding, Finding::Suspect { .. }) && !finding.is_confirmed();
        !self.queue.is_empty() || self.graph.roots.iter().any(|root| root.finding.as_ref().is_some_and(is_unconfirmed))
    }

    /// Marks the tags that the tag list no longer names, and returns the others.
    async fn drop_deleted_tags(&mut self, doubtful: Vec<RootId>, roots: &Roots) -> Vec<RootId> {
        if !roots.listed {
            return doubtful;
        }
        let Listed { tags, end, .. } = self.listed_tags(roots).await;
        let mut still_listed = Vec::new();
        for root in doubtful {
            let reference = &self.graph.roots[root].reference;
            let is_listed = match reference {
                Reference::Tag(tag) => roots.named.contains(reference) || tags.contains(tag),
                Reference::Digest(_) => true,
            };
            match &end {
                _ if is_listed => still_listed.push(root),
                ListEnd::Complete | ListEnd::Absent => self.graph.roots[root].gone = true,
                ListEnd::Incomplete(trouble) => {
                    let detail = format!("found bad, but its tag list could not be read again: {}", trouble.detail);
                    self.forget_target(root, trouble.cause, detail);
                }
            }
        }
        still_listed
    }

    /// Applies the new reading of a tag.
    fn reread(&mut self, root: RootId, verdict: Verdict) {
        let known = self.graph.roots[root].node.map(|node| self.graph.nodes[node].digest.clone());
        match verdict {
            Verdict::Intact(intact) if known.is_some() && intact.digest == known => {
                self.graph.roots[root].reread = true;
            }
            // It moved, or exists again: its new content counts.
            Verdict::Intact(intact) => intact.digest.into_iter().for_each(|digest| self.resolved(root, digest)),
            Verdict::Suspect { .. } if known.is_none() => self.graph.roots[root].reread = true,
            Verdict::Suspect { suspicion, detail } => {
                let root = &mut self.graph.roots[root];
                root.node = None;
                let grounds = Grounds { answers: 1, ..Grounds::default() };
                root.finding = Some(Finding::Suspect { suspicion, detail, grounds });
            }
            Verdict::Unverified { cause, detail } => {
                self.forget_target(root, cause, format!("found bad, but its tag could not be read again: {detail}"));
            }
        }
    }

    /// Makes a tag unverified: its target is unknown, so findings below the old one do not count for it.
    fn forget_target(&mut self, root: RootId, cause: Cause, detail: String) {
        let root = &mut self.graph.roots[root];
        root.node = None;
        root.finding = Some(Finding::Unverified { cause, detail });
    }

    /// Makes the tags unverified that still move after `moves` readings.
    pub fn give_up_moving_tags(&mut self, moves: u32) {
        for root in self.doubtful_tags() {
            let detail = format!("the tag moved more than {moves} times while it was walked");
            self.forget_target(root, Cause::Protocol, detail);
        }
    }
}

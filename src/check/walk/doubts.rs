//! Requests suspects again, and objects that had contradictory responses in an earlier sweep.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::confirmation::{Confirmation, Doubt, Start, confirm};
use super::graph::{Finding, Grounds, NodeState};
use super::subject::Subject;
use super::walker::Walk;
use crate::check::contradictions::Contradiction;
use crate::check::judge::{Suspicion, Verdict};
use crate::oci::{Image, Reference};
use crate::registry::Registry;
use crate::report::Cause;

/// Objects of one repository that are confirmed at once. Nearly all of them wait.
const CONFIRMED_AT_ONCE: usize = 1024;

/// An object in doubt, and whether it may be absent.
type Open = (Subject, Doubt, bool);

impl<R: Registry + 'static> Walk<R> {
    /// Requests everything that is in doubt again. True if that queued more subjects.
    pub(super) async fn settle_doubts(&mut self) -> bool {
        let open = self.doubts();
        self.contradicting.asked.extend(open.iter().map(|(subject, ..)| *subject));
        let started_at = Instant::now();
        let confirmations = stream::iter(open).map(|open| self.settle(open, started_at));
        let mut confirmations: Vec<_> = confirmations.buffer_unordered(CONFIRMED_AT_ONCE).collect().await;
        confirmations.sort_unstable_by_key(|(subject, ..)| match *subject {
            Subject::Root(id) => (0, id),
            Subject::Node(id) => (1, id),
        });
        for (subject, suspicion, confirmation) in confirmations {
            match (confirmation, suspicion, subject) {
                (None, _, Subject::Node(id)) => self.graph.nodes[id].state = NodeState::Permitted,
                (None, _, Subject::Root(_)) => {}
                (Some(confirmation), Some(suspicion), _) => self.confirmed(subject, suspicion, confirmation),
                (Some(confirmation), None, _) => self.asked_again(subject, confirmation),
            }
        }
        !self.queue.is_empty()
    }

    /// Confirms or clears one doubt. The confirmation is `None` for an absent object that may be absent.
    async fn settle(
        &self,
        (subject, doubt, may_be_absent): Open,
        started_at: Instant,
    ) -> (Subject, Option<Suspicion>, Option<Confirmation>) {
        let suspicion = match doubt {
            Doubt::Suspected { suspicion, .. } => Some(suspicion),
            Doubt::Remembered => None,
        };
        if may_be_absent && suspicion.is_some_and(Suspicion::is_absent) {
            return (subject, suspicion, None);
        }
        let (registry, repository) = (Arc::clone(&self.registry), self.repository.clone());
        let start = Start {
            confirm: self.scope.confirm,
            opened_after: started_at,
            bad_by_head_only: &self.contradicting.bad_by_head_only,
        };
        let asked_at = Instant::now();
        let confirmation = confirm(&*registry, &repository, self.inquiry(subject), doubt, start).await;
        if suspicion.is_some() {
            self.observe(subject, &confirmation.verdict, confirmation.evidence, asked_at.elapsed());
        }
        (subject, suspicion, Some(confirmation))
    }

    /// Everything that is in doubt.
    fn doubts(&self) -> Vec<Open> {
        let roots = self.graph.roots.iter().enumerate().filter(|(_, root)| !root.gone);
        let roots = roots.map(|(id, root)| (Subject::Root(id), root.finding.as_ref(), root.node.is_some(), false));
        let nodes = self.graph.nodes.iter().enumerate().map(|(id, node)| {
            let is_intact = matches!(node.state, NodeState::Intact(_));
            (Subject::Node(id), node.finding(), is_intact, node.may_be_absent)
        });
        let is_remembered = |subject| {
            !self.contradicting.remembered.is_empty() && self.contradicting.remembered.contains(&self.image(subject))
        };
        let doubt = |(subject, finding, is_intact, may_be_absent): (Subject, Option<&Finding>, bool, bool)| {
            let doubt = match finding {
                Some(Finding::Suspect {
                    suspicion,
                    detail,
                    grounds: Grounds { confirmed: false, answers, by_head, .. },
                }) => Doubt::Suspected {
                    suspicion: *suspicion,
                    detail: detail.clone(),
                    answers: *answers,
                    by_head: *by_head,
                    is_remembered: is_remembered(subject),
                },
                None if is_intact && !self.contradicting.asked.contains(&subject) && is_remembered(subject) => {
                    Doubt::Remembered
                }
                _ => return None,
            };
            Some((subject, doubt, may_be_absent))
        };
        roots.chain(nodes).filter_map(doubt).collect()
    }

    /// Applies the result for a suspect.
    fn confirmed(&mut self, subject: Subject, suspicion: Suspicion, confirmation: Confirmation) {
        let Confirmation { verdict, answers, exchanges, is_mixed, evidence, contradiction } = confirmation;
        self.tally.count_confirmation(suspicion, answers, exchanges, &verdict);
        if let Subject::Root(root) = subject {
            self.graph.roots[root].finding = None;
        }
        let (verdict, answers) = match (&verdict, subject) {
            (Verdict::Intact(_), Subject::Node(id)) => match self.weigh(id, evidence) {
                Some(broken) => {
                    let answers = broken.answers;
                    (broken.into_verdict(), answers)
                }
                None => {
                    self.proved(id, evidence);
                    (verdict, answers)
                }
            },
            _ => (verdict, answers),
        };
        self.apply(subject, verdict, Grounds { answers, confirmed: true, by_head: false, is_mixed });
        if let Some(answers) = contradiction {
            self.contradicted(subject, answers);
        }
    }

    /// Applies the result for an object that was served, and that had contradictory responses in an earlier sweep.
    fn asked_again(&mut self, subject: Subject, confirmation: Confirmation) {
        self.tally.answers += u64::from(confirmation.exchanges);
        match (confirmation.contradiction, confirmation.verdict) {
            (Some(answers), _) => self.contradicted(subject, answers),
            (None, Verdict::Intact(_)) => {}
            (None, _) => drop(self.contradicting.unanswered.insert(self.image(subject))),
        }
    }

    /// Records contradictory responses. After two sweeps with them, or if the object was broken, it is unverified.
    fn contradicted(&mut self, subject: Subject, (bad, good): (String, String)) {
        let object = self.image(subject);
        let since = if self.contradicting.remembered.contains(&object) {
            Some("in this sweep and in the one before")
        } else if self.contradicting.known.contains(&object.reference) {
            Some("and was broken before")
        } else {
            None
        };
        if let Some(since) = since {
            let detail =
                format!("it contradicts itself {since}: {bad}, but also {good}; a replica or a cache is stale");
            let finding = Finding::Unverified { cause: Cause::Protocol, detail };
            match subject {
                Subject::Root(root) => self.graph.roots[root].finding = Some(finding),
                Subject::Node(id) if self.graph.nodes[id].finding().is_none() => {
                    self.graph.nodes[id].state = NodeState::Found(finding);
                }
                // A finding from its own bytes stays.
                Subject::Node(_) => {}
            }
        }
        self.contradicting.found.push(Contradiction { object, bad, good });
    }

    /// Remembered objects that had no contradictory responses this time, or that no image needs any more.
    pub(super) fn cleared(&self, list_was_read: bool) -> Vec<Image> {
        let is_unread = |finding: Option<&Finding>| matches!(finding, Some(Finding::Unverified { .. }));
        let is_all_read = list_was_read
            && !self.graph.roots.iter().any(|root| is_unread(root.finding.as_ref()))
            && !self.graph.nodes.iter().any(|node| node.is_manifest() && is_unread(node.finding()));
        let found: HashSet<&Image> = self.contradicting.found.iter().map(|found| &found.object).collect();
        let is_clear = |object: &&Image| {
            if self.contradicting.unanswered.contains(*object) || found.contains(*object) {
                return false;
            }
            match &object.reference {
                Reference::Digest(digest) => {
                    let mut nodes = self.graph.find(digest).peekable();
                    if nodes.peek().is_none() { is_all_read } else { nodes.all(|node| !is_unread(node.finding())) }
                }
                tag @ Reference::Tag(_) => match self.graph.root(tag) {
                    Some(root) => {
                        let root = &self.graph.roots[root];
                        root.gone || !is_unread(root.finding.as_ref())
                    }
                    None => list_was_read,
                },
            }
        };
        self.contradicting.remembered.iter().filter(is_clear).cloned().collect()
    }
}

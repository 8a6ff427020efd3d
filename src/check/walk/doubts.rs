//! What a walk asks for again: what looked bad, and what contradicted itself in an earlier sweep.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::blob_hasher::BrokenBlob;
use super::confirmation::{ConfirmOptions, Confirmation, Doubt, confirm};
use super::graph::{Finding, Grounds, NodeState};
use super::{Subject, Walk};
use crate::check::contradictions::Contradiction;
use crate::check::judge::{Suspicion, Verdict};
use crate::oci::{Image, Reference};
use crate::registry::Registry;
use crate::report::{Cause, Failure};

/// Objects of one repository that wait at once for being asked again.
const CONFIRMED_AT_ONCE: usize = 1024;

/// What a walk knows of answers that contradict each other.
#[derive(Debug, Default)]
pub(super) struct Contradicting {
    /// What contradicted itself in an earlier sweep.
    pub remembered: BTreeSet<Image>,
    /// What is known to be broken: it takes more to disprove that than one good answer among bad ones.
    pub known: HashSet<Reference>,
    /// What did so in this walk.
    pub found: Vec<Contradiction>,
    /// Remembered, and asked for again.
    asked: HashSet<Subject>,
    /// Remembered, and without an answer.
    unanswered: HashSet<Image>,
    head_alone: AtomicU32,
}

impl Contradicting {
    pub fn new(remembered: BTreeSet<Image>, known: &[Failure]) -> Self {
        let known = known.iter().filter_map(|failure| failure.key().reference).collect();
        Self { remembered, known, ..Self::default() }
    }
}

impl<R: Registry + 'static> Walk<R> {
    /// Asks again for what is in doubt and has not been asked for again. True if that brought more to ask for.
    pub(super) async fn settle_doubts(&mut self) -> bool {
        let open = self.doubts();
        self.contradicting.asked.extend(open.iter().map(|(subject, ..)| *subject));
        let walk = &*self;
        let asking = ConfirmOptions {
            confirm: self.scope.confirm,
            since: Instant::now(),
            head_alone: &self.contradicting.head_alone,
        };
        let confirmations = stream::iter(open).map(|(subject, doubt, may_be_absent)| {
            let (registry, repository) = (Arc::clone(&self.registry), self.repository.clone());
            let inquiry = self.inquiry(subject);
            async move {
                let suspicion = match doubt {
                    Doubt::Suspected { suspicion, .. } => Some(suspicion),
                    Doubt::Remembered => None,
                };
                // Nobody is told of what may be absent, so nothing is to be confirmed.
                if may_be_absent && suspicion.is_some_and(Suspicion::is_absent) {
                    return (subject, suspicion, None);
                }
                let asked_at = Instant::now();
                let confirmation = confirm(&*registry, &repository, inquiry, doubt, asking).await;
                if suspicion.is_some() {
                    walk.tell(subject, &confirmation.verdict, confirmation.evidence, asked_at.elapsed());
                }
                (subject, suspicion, Some(confirmation))
            }
        });
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

    /// What is in doubt, and whether it may be absent.
    fn doubts(&self) -> Vec<(Subject, Doubt, bool)> {
        let roots = self.graph.roots.iter().enumerate().filter(|(_, root)| !root.gone);
        let roots = roots.map(|(id, root)| (Subject::Root(id), root.finding.as_ref(), root.node.is_some(), false));
        let nodes = self.graph.nodes.iter().enumerate().map(|(id, node)| {
            let is_served = matches!(node.state, NodeState::Intact(_));
            (Subject::Node(id), node.finding(), is_served, node.may_be_absent)
        });
        let doubt = |(subject, finding, is_served, may_be_absent): (Subject, Option<&Finding>, bool, bool)| {
            let is_remembered = || {
                !self.contradicting.remembered.is_empty()
                    && self.contradicting.remembered.contains(&self.image(subject))
            };
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
                    is_remembered: is_remembered(),
                },
                None if is_served && !self.contradicting.asked.contains(&subject) && is_remembered() => {
                    Doubt::Remembered
                }
                _ => return None,
            };
            Some((subject, doubt, may_be_absent))
        };
        roots.chain(nodes).filter_map(doubt).collect()
    }

    /// A suspicion was confirmed, or contradicted.
    fn confirmed(&mut self, subject: Subject, suspicion: Suspicion, confirmation: Confirmation) {
        let Confirmation { verdict, answers, exchanges, is_mixed, evidence, contradiction } = confirmation;
        self.tally.count_confirmation(suspicion, answers, exchanges, &verdict);
        if let Subject::Root(root) = subject {
            self.graph.roots[root].finding = None;
        }
        let (verdict, answers) = match (&verdict, subject) {
            (Verdict::Intact(_), Subject::Node(id)) => match self.weigh(id, evidence) {
                Some(BrokenBlob { suspicion, detail, answers, .. }) => {
                    (Verdict::Suspect { suspicion, detail }, answers)
                }
                None => {
                    self.proved(id, evidence);
                    (verdict, answers)
                }
            },
            _ => (verdict, answers),
        };
        self.take(subject, verdict, Grounds { answers, confirmed: true, by_head: false, is_mixed });
        if let Some(answers) = contradiction {
            self.contradicted(subject, answers);
        }
    }

    /// What contradicted itself in an earlier sweep, and was served at first in this one, was asked for again.
    fn asked_again(&mut self, subject: Subject, confirmation: Confirmation) {
        self.tally.answers += u64::from(confirmation.exchanges);
        match (confirmation.contradiction, confirmation.verdict) {
            (Some(answers), _) => self.contradicted(subject, answers),
            (None, Verdict::Intact(_)) => {}
            (None, _) => drop(self.contradicting.unanswered.insert(self.image(subject))),
        }
    }

    /// Notes that an object contradicted itself. Twice in a row, and it is not known what a client gets of it.
    fn contradicted(&mut self, subject: Subject, (bad, good): (String, String)) {
        let object = self.image(subject);
        let since = match () {
            () if self.contradicting.remembered.contains(&object) => Some("in this sweep and in the one before"),
            () if self.contradicting.known.contains(&object.reference) => Some("and was broken before"),
            () => None,
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
                // What its own bytes say is wrong with it stays.
                Subject::Node(_) => {}
            }
        }
        self.contradicting.found.push(Contradiction { object, bad, good });
    }

    /// The name under which an object or a tag is remembered.
    fn image(&self, subject: Subject) -> Image {
        let reference = match subject {
            Subject::Root(root) => self.graph.roots[root].reference.clone(),
            Subject::Node(id) => Reference::Digest(self.graph.nodes[id].digest.clone()),
        };
        Image { repository: self.repository.clone(), reference }
    }

    /// What was remembered and did not contradict itself this time, or is needed no more.
    pub(super) fn cleared(&self, list_was_read: bool) -> Vec<Image> {
        let unread = |finding: Option<&Finding>| matches!(finding, Some(Finding::Unverified { .. }));
        let is_all_read = list_was_read
            && !self.graph.roots.iter().any(|root| unread(root.finding.as_ref()))
            && !self.graph.nodes.iter().any(|node| node.is_manifest() && unread(node.finding()));
        let is_clear = |object: &&Image| {
            if self.contradicting.unanswered.contains(*object)
                || self.contradicting.found.iter().any(|found| found.object == **object)
            {
                return false;
            }
            match &object.reference {
                Reference::Digest(digest) => {
                    let mut nodes = self.graph.find(digest).peekable();
                    if nodes.peek().is_none() { is_all_read } else { nodes.all(|node| !unread(node.finding())) }
                }
                tag => match self.graph.roots.iter().find(|root| root.reference == *tag) {
                    Some(root) => root.gone || !unread(root.finding.as_ref()),
                    None => list_was_read,
                },
            }
        };
        self.contradicting.remembered.iter().filter(is_clear).cloned().collect()
    }
}

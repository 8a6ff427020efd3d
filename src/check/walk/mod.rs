//! The walk of one repository: its images, the objects that they need, and the findings against those.
//!
//! A walk goes in rounds. It requests every object that it knows of, and learns of more from each manifest. It requests
//! suspects again. Then it reads the tags of broken images again: a deleted tag drops its findings, a moved tag is walked
//! again.

mod blob_hasher;
mod confirmation;
mod contradicting;
mod doubts;
mod findings;
mod graph;
mod inquiry;
mod observer;
mod reach;
mod requests;
mod retag;
mod scope;
mod subject;
mod tags;
mod verdicts;
mod walked;
mod walker;

use std::sync::Arc;

pub use blob_hasher::{BlobHasher, DueBlob, FindingChange};
pub use graph::wanted_children;
pub use inquiry::Inquiry;
pub use observer::{Observation, Observer};
pub use scope::{Assignment, Roots, Scope};
pub use walked::{Suspected, Tally, Walked};

use crate::oci::Reference;
use crate::registry::{ListEnd, Registry};
use walker::Walk;

/// A tag that moves more often than this during the walk of its repository is unverified.
const MOVES: u32 = 3;

/// Walks one repository. `on_checked` is called after each object.
pub async fn walk<R: Registry + 'static>(
    registry: Arc<R>,
    assignment: Assignment,
    scope: Arc<Scope>,
    on_checked: impl Fn() + Send,
) -> Walked {
    let Assignment { repository, roots, known } = assignment;
    let mut walk = Walk::new(registry, repository, scope, &known);
    let listed = walk.listed_tags(&roots).await;
    let filtered_out = listed.filtered_out(&known);
    for reference in listed.tags.iter().cloned().map(Reference::Tag).chain(roots.named.iter().cloned()) {
        walk.add_root(reference);
    }
    let mut moves = 0;
    loop {
        walk.request_all(&on_checked).await;
        if walk.settle_doubts().await || walk.retry_failed_requests() {
            continue;
        }
        if moves == MOVES {
            walk.give_up_moving_tags(MOVES);
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
        walk.cache_tags();
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

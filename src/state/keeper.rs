//! What a registry's state needs to be kept.

use std::sync::Arc;
use std::time::Duration;

use super::Known;
use crate::check::contradictions::Contradictions;
use crate::check::evidence::EvidenceSchedule;
use crate::state::store::{Key, Store};

/// Between two times when what a sweep has proved so far is kept: what a crash may lose of it.
const INTERVAL: Duration = Duration::from_secs(10);

/// Where and as whose the state of a registry is kept.
#[derive(Clone, Debug)]
pub struct Keeper {
    pub store: Arc<Store>,
    pub key: Arc<Key>,
}

impl Keeper {
    /// Keeps what is known after a sweep.
    pub async fn keep(&self, known: &Known, contradictions: &Contradictions, proofs: Arc<EvidenceSchedule>) {
        self.store.keep(Arc::clone(&self.key), known.kept(contradictions.remembered()), proofs).await;
    }

    /// Keeps what was proved so far.
    pub fn keep_proofs(&self, proofs: Arc<EvidenceSchedule>) {
        self.store.keep_proofs(Arc::clone(&self.key), proofs);
    }

    /// The proofs again and again, for as long as something else takes.
    pub async fn keep_proofs_during<T>(&self, proofs: &Arc<EvidenceSchedule>, sweep: impl Future<Output = T>) -> T {
        let mut sweep = std::pin::pin!(sweep);
        loop {
            tokio::select! {
                ended = &mut sweep => return ended,
                () = tokio::time::sleep(INTERVAL) => self.keep_proofs(Arc::clone(proofs)),
            }
        }
    }

    /// Keeps what was found beside the sweeps: of each blob what, or nothing any more.
    pub async fn keep_beside(&self, changes: Vec<(String, Option<String>)>) {
        self.store.keep_beside(Arc::clone(&self.key), changes).await;
    }
}

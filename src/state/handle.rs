//! A registry's access to the store.

use std::sync::Arc;
use std::time::Duration;

use super::snapshot::Snapshot;
use super::store::{Key, Store};
use crate::check::contradictions::Contradictions;
use crate::check::evidence::EvidenceSchedule;

/// How often proofs are saved during a sweep; a crash loses at most this much.
const INTERVAL: Duration = Duration::from_secs(10);

/// The store, and the key of one registry in it.
#[derive(Clone, Debug)]
pub(super) struct StoreHandle {
    pub store: Arc<Store>,
    pub key: Arc<Key>,
}

impl StoreHandle {
    /// Saves the state after a sweep.
    pub async fn save(&self, snapshot: &Snapshot, contradictions: &Contradictions, proofs: Arc<EvidenceSchedule>) {
        self.store.save(Arc::clone(&self.key), snapshot.to_saved(contradictions.remembered()), proofs).await;
    }

    /// Queues the proofs made so far.
    pub fn save_proofs(&self, proofs: Arc<EvidenceSchedule>) {
        self.store.save_proofs(Arc::clone(&self.key), proofs);
    }

    /// Runs a sweep and saves its proofs at intervals.
    pub async fn save_proofs_during<T>(&self, proofs: &Arc<EvidenceSchedule>, sweep: impl Future<Output = T>) -> T {
        let mut sweep = std::pin::pin!(sweep);
        loop {
            tokio::select! {
                ended = &mut sweep => return ended,
                () = tokio::time::sleep(INTERVAL) => self.save_proofs(Arc::clone(proofs)),
            }
        }
    }

    /// Queues changed results of background hashing by blob; `None` deletes one.
    pub async fn save_background(&self, changes: Vec<(String, Option<String>)>) {
        self.store.save_background(Arc::clone(&self.key), changes).await;
    }
}

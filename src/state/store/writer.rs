//! The one thread that writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use super::disk::Disk;
use super::{Kept, Key};
use crate::check::evidence::EvidenceSchedule;

/// Something to be written.
#[derive(Debug)]
pub(super) enum Order {
    /// What is known once a sweep has ended.
    Sweep { key: Arc<Key>, kept: Box<Kept>, proofs: Arc<EvidenceSchedule>, done: oneshot::Sender<bool> },
    /// What a sweep that runs has proved.
    Proofs { key: Arc<Key>, proofs: Arc<EvidenceSchedule> },
    /// What was found beside the sweeps, by blob; `None`: nothing any more.
    Beside { key: Arc<Key>, changes: Vec<(String, Option<String>)> },
}

/// The same, for the file.
pub(super) struct Job<'a> {
    pub key: &'a Key,
    pub kept: Option<&'a Kept>,
    pub proofs: Option<&'a EvidenceSchedule>,
    pub beside: &'a [(String, Option<String>)],
}

impl Order {
    fn job(&self) -> Job<'_> {
        match self {
            Self::Sweep { key, kept, proofs, .. } => Job { key, kept: Some(kept), proofs: Some(proofs), beside: &[] },
            Self::Proofs { key, proofs } => Job { key, kept: None, proofs: Some(proofs), beside: &[] },
            Self::Beside { key, changes } => Job { key, kept: None, proofs: None, beside: changes },
        }
    }
}

/// Writes what is asked for until nobody can ask any more: everything that waits in one transaction.
pub(super) fn run(disk: &Mutex<Disk>, mut orders: mpsc::Receiver<Order>, is_writable: &AtomicBool) {
    while let Some(first) = orders.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = orders.try_recv() {
            batch.push(next);
        }
        let jobs: Vec<Job<'_>> = batch.iter().map(Order::job).collect();
        let written = disk.lock().unwrap_or_else(PoisonError::into_inner).write(&jobs, SystemTime::now());
        drop(jobs);
        let was_writable = is_writable.swap(written.is_ok(), Ordering::Relaxed);
        match &written {
            Ok(()) if !was_writable => tracing::info!("the state is kept again"),
            Err(error) if was_writable => tracing::error!(%error, "the state could not be kept; going on in memory"),
            Ok(()) | Err(_) => {}
        }
        for order in batch {
            if let Order::Sweep { done, .. } = order {
                // Whoever waited may have gone.
                let _ = done.send(written.is_ok());
            }
        }
    }
}

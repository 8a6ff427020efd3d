//! What is known, on disk, so that a restart forgets nothing. It takes what `state` knows and gives it back; it renders
//! nothing and judges nothing.
//!
//! One SQLite file in WAL mode, and one thread that writes it. A sweep is kept in one transaction, which has reached the
//! disk before anybody is shown what the sweep found; the proofs of a sweep that runs are kept on the way.

mod beside;
mod disk;
mod error;
mod kept;
mod lock;
mod proofs;
mod read;
mod read_only;
mod schema;
mod write;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use disk::Disk;
pub use error::StoreError;
pub use kept::{Kept, Key, Restored, Summary};
use writer::Order;

use crate::check::evidence::EvidenceSchedule;

/// The file's name in the directory.
pub const FILE: &str = "state.db";
/// How much may wait to be written: a sweep and some proofs of each registry.
const QUEUE: usize = 256;
/// A disk that hangs this long holds up nobody any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Registries that nobody asked for this long are forgotten.
    pub age: Duration,
    /// Bytes of the file. The oldest of the past makes room; what is known now never does.
    pub bytes: u64,
}

/// The state's directory, which this process alone uses.
#[derive(Debug)]
pub struct Store {
    disk: Arc<Mutex<Disk>>,
    is_writable: Arc<AtomicBool>,
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Opens the state in a directory, which is made if it is absent. A directory that cannot be written is no error: what
    /// it holds is known, and what becomes of it is not kept until it can be written again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if another process uses it, or it holds what cannot be read.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let disk = Disk::open(directory, limits)?;
        let is_writable = Arc::new(AtomicBool::new(disk.is_writable()));
        let disk = Arc::new(Mutex::new(disk));
        let (orders, receiver) = mpsc::channel(QUEUE);
        let (shared, health) = (Arc::clone(&disk), Arc::clone(&is_writable));
        let thread = std::thread::Builder::new()
            .name("store".to_string())
            .spawn(move || writer::run(&shared, receiver, &health))
            .map_err(|source| StoreError::Directory { path: directory.to_path_buf(), source })?;
        Ok(Self { disk, is_writable, writer: Mutex::new(Some(Writer { orders, thread })) })
    }

    /// What was kept of a registry; `None`: nothing yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    pub fn load(&self, key: &Key) -> Result<Option<Restored>, StoreError> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).load(key, SystemTime::now())
    }

    /// Keeps what is known of a registry once a sweep has ended, and comes back when the disk has it: false if it has not,
    /// which has been logged.
    pub async fn keep(&self, key: Arc<Key>, kept: Kept, proofs: Arc<EvidenceSchedule>) -> bool {
        let (done, is_kept) = oneshot::channel();
        let order = Order::Sweep { key, kept: Box::new(kept), proofs, done };
        let written = async {
            match self.orders() {
                Some(orders) => orders.send(order).await.is_ok() && is_kept.await.unwrap_or(false),
                None => false,
            }
        };
        let is_kept = timeout(PATIENCE, written).await;
        if is_kept.is_err() {
            tracing::error!(waited = ?PATIENCE, "the state's disk does not answer; going on in memory");
            self.is_writable.store(false, Ordering::Relaxed);
        }
        is_kept.unwrap_or(false)
    }

    /// Keeps the proofs of a sweep that runs, in its time. If there is too much to do, those of the next call.
    pub fn keep_proofs(&self, key: Arc<Key>, proofs: Arc<EvidenceSchedule>) {
        if let Some(orders) = self.orders() {
            let _ = orders.try_send(Order::Proofs { key, proofs });
        }
    }

    /// Keeps what was found beside the sweeps, in its time: of each blob what, or nothing any more.
    pub async fn keep_beside(&self, key: Arc<Key>, changes: Vec<(String, Option<String>)>) {
        if let Some(orders) = self.orders() {
            // The writer ends after everybody who asks.
            let _ = timeout(PATIENCE, orders.send(Order::Beside { key, changes })).await;
        }
    }

    /// False if what is known was not kept when that was last tried.
    pub fn is_writable(&self) -> bool {
        self.is_writable.load(Ordering::Relaxed)
    }

    /// Waits until everything is kept that was asked to be; nothing more is.
    pub async fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Writer { orders, thread }) = writer {
            drop(orders);
            let ended = tokio::task::spawn_blocking(|| thread.join());
            // A panic of the thread has been told; a disk that hangs must not keep the process.
            let _ = timeout(PATIENCE, ended).await;
        }
    }

    fn orders(&self) -> Option<mpsc::Sender<Order>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.as_ref().map(|writer| writer.orders.clone())
    }
}

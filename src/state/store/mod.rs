//! Stores the state on disk, so that a restart loses nothing. It takes what `state` holds and gives it back.
//!
//! One SQLite file in WAL mode, and one thread that writes it. A sweep is one transaction, which reaches the disk before
//! anyone sees the sweep's results. A sweep's proofs are saved while it runs.

mod database;
mod error;
mod model;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use database::{Database, Write};
pub use error::StoreError;
pub use model::{FILE, Key, Limits, Restored, Saved, Summary};

use crate::check::evidence::EvidenceSchedule;

/// Pending writes: room for a sweep and some proofs of each registry.
const QUEUE: usize = 256;
/// How long a sweep waits for a hanging disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// The state directory, which belongs to this process.
#[derive(Debug)]
pub struct Store {
    database: Arc<Mutex<Database>>,
    is_writable: Arc<AtomicBool>,
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

/// A write for the writer thread.
#[derive(Debug)]
enum Order {
    /// The state after a sweep.
    Sweep { key: Arc<Key>, saved: Box<Saved>, proofs: Arc<EvidenceSchedule>, done: oneshot::Sender<bool> },
    /// EvidenceSchedule of the current sweep.
    Proofs { key: Arc<Key>, proofs: Arc<EvidenceSchedule> },
    /// Results of background hashing by blob; `None` deletes one.
    Background { key: Arc<Key>, changes: Vec<(String, Option<String>)> },
}

impl Order {
    fn write(&self) -> Write<'_> {
        match self {
            Self::Sweep { key, saved, proofs, .. } => {
                Write { key, saved: Some(saved), proofs: Some(proofs), background: &[] }
            }
            Self::Proofs { key, proofs } => Write { key, saved: None, proofs: Some(proofs), background: &[] },
            Self::Background { key, changes } => Write { key, saved: None, proofs: None, background: changes },
        }
    }
}

impl Store {
    /// Opens the state in a directory, which is created if absent. A directory that is not writable is no error: its state
    /// is loaded, and new results are stored once it becomes writable.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if another process uses the directory, or its state cannot be read.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let database = Database::open(directory, limits)?;
        let is_writable = Arc::new(AtomicBool::new(database.is_writable()));
        let database = Arc::new(Mutex::new(database));
        let (orders, receiver) = mpsc::channel(QUEUE);
        let (shared, health) = (Arc::clone(&database), Arc::clone(&is_writable));
        let thread = std::thread::Builder::new()
            .name("store".to_string())
            .spawn(move || write_orders(&shared, receiver, &health))
            .map_err(|source| StoreError::Directory { path: directory.to_path_buf(), source })?;
        Ok(Self { database, is_writable, writer: Mutex::new(Some(Writer { orders, thread })) })
    }

    /// Loads a registry's state; `None` if none is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    pub fn load(&self, key: &Key) -> Result<Option<Restored>, StoreError> {
        self.database.lock().load(key, SystemTime::now())
    }

    /// Saves a registry's state after a sweep, and returns once it is on disk; false if that failed, which is logged.
    pub async fn save(&self, key: Arc<Key>, saved: Saved, proofs: Arc<EvidenceSchedule>) -> bool {
        let (done, is_saved) = oneshot::channel();
        let order = Order::Sweep { key, saved: Box::new(saved), proofs, done };
        let written = async {
            match self.orders() {
                Some(orders) => orders.send(order).await.is_ok() && is_saved.await.unwrap_or(false),
                None => false,
            }
        };
        let is_saved = timeout(PATIENCE, written).await;
        if is_saved.is_err() {
            tracing::error!(waited = ?PATIENCE, "the disk with the state does not respond; continuing in memory");
            self.is_writable.store(false, Ordering::Relaxed);
        }
        is_saved.unwrap_or(false)
    }

    /// Queues the proofs of the current sweep. A full queue drops them: the next call saves them.
    pub fn save_proofs(&self, key: Arc<Key>, proofs: Arc<EvidenceSchedule>) {
        if let Some(orders) = self.orders() {
            let _ = orders.try_send(Order::Proofs { key, proofs });
        }
    }

    /// Queues changed results of background hashing by blob; `None` deletes one.
    pub async fn save_background(&self, key: Arc<Key>, changes: Vec<(String, Option<String>)>) {
        if let Some(orders) = self.orders() {
            // Sending cannot fail: the writer outlives every sender.
            let _ = timeout(PATIENCE, orders.send(Order::Background { key, changes })).await;
        }
    }

    /// False if the last write failed.
    pub fn is_writable(&self) -> bool {
        self.is_writable.load(Ordering::Relaxed)
    }

    /// Waits for pending writes and accepts no more.
    pub async fn close(&self) {
        let writer = self.writer.lock().take();
        if let Some(Writer { orders, thread }) = writer {
            drop(orders);
            let ended = tokio::task::spawn_blocking(|| thread.join());
            // The thread's panic was reported, and a hanging disk must not keep the process alive.
            let _ = timeout(PATIENCE, ended).await;
        }
    }

    fn orders(&self) -> Option<mpsc::Sender<Order>> {
        self.writer.lock().as_ref().map(|writer| writer.orders.clone())
    }
}

/// Runs the writer thread until all senders are gone. Orders that wait share a transaction.
fn write_orders(database: &Mutex<Database>, mut orders: mpsc::Receiver<Order>, is_writable: &AtomicBool) {
    while let Some(first) = orders.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = orders.try_recv() {
            batch.push(next);
        }
        let writes: Vec<Write<'_>> = batch.iter().map(Order::write).collect();
        let written = database.lock().write(&writes, SystemTime::now());
        drop(writes);
        let was_writable = is_writable.swap(written.is_ok(), Ordering::Relaxed);
        match &written {
            Ok(()) if !was_writable => tracing::info!("saving the state works again"),
            Err(error) if was_writable => tracing::error!(%error, "cannot save the state; continuing in memory"),
            Ok(()) | Err(_) => {}
        }
        for order in batch {
            if let Order::Sweep { done, .. } = order {
                // The receiver is gone if the sweep was cancelled.
                let _ = done.send(written.is_ok());
            }
        }
    }
}

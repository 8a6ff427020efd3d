//! The thread that sweeps run on.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of one thread for the sweeps of all registries. One thread sends and judges more requests a second than
/// registries answer (`cargo bench --bench load -- fast`); two of them wake each other for every answer, which costs half
/// as much processor time again and delays each. Whoever opens the page meanwhile is served by other threads.
pub struct SweepThread(Option<Runtime>);

impl SweepThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What the system says if it gives no thread.
    pub fn start() -> io::Result<Self> {
        Builder::new_multi_thread().worker_threads(1).thread_name("sweeps").enable_all().build().map(Some).map(Self)
    }

    /// Where tasks are spawned that are to run there; of the current runtime, once this one has ended.
    pub fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for SweepThread {
    /// Without waiting: a name that is looked up may take its time, and tasks are dropped in the middle.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

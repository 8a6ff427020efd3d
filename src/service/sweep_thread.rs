//! The thread that sweeps run on.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of one thread for the sweeps of all registries. One thread sends and judges more requests a second than
/// registries answer (`cargo bench --bench load -- fast`); two of them wake each other for every answer, which costs half
/// as much processor time again and delays each. Whoever opens the page meanwhile is served by other threads.
pub struct SweepThread {
    handle: Handle,
    /// Until it is dropped.
    runtime: Option<Runtime>,
}

impl SweepThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What the system says if it gives no thread.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("sweeps").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where tasks are spawned that are to run there.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for SweepThread {
    /// Without waiting: a name that is looked up may take its time, and tasks are dropped in the middle.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

//! The thread on which sweeps run.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime with one thread for the sweeps of all registries. One thread handles more requests per second than registries
/// answer (`cargo bench --bench load -- fast`); two wake each other for every response, which costs 50 % more CPU time. The
/// web server has its own threads.
pub struct SweepThread {
    handle: Handle,
    /// `None` once dropped.
    runtime: Option<Runtime>,
}

impl SweepThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system's error if the thread cannot be created.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("sweeps").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Spawns tasks on the thread.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for SweepThread {
    /// Does not wait for running tasks, since a name lookup can take long.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

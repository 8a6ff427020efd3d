//! Operations of the running service that the web interface can trigger.

use futures_util::future::BoxFuture;

/// Operations of the running service that the web interface can trigger.
pub trait Control: Send + Sync {
    /// Reloads the configuration. On error, the old configuration stays in use.
    fn reload(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Starts a sweep of a registry and returns without waiting for it.
    fn sweep(&self, registry: &str) -> Result<(), SweepRefused>;
}

/// Why no sweep was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SweepRefused {
    /// No registry of this name is configured.
    #[error("no registry of this name is configured; GET /api/v1/registries lists them")]
    UnknownRegistry,
    /// A sweep of it is already running.
    #[error("a sweep of this registry is already running")]
    AlreadySweeping,
}

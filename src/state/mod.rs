//! State between sweeps: the latest report of each registry, and its history.

mod handle;
pub mod history;
pub mod images;
mod log;
mod registry;
mod snapshot;
pub mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;

use crate::check::manifest_cache::Budget;
use crate::config::Target;
use crate::config::shard::Shard;
use history::Retention;
use store::{Key, Store, StoreError};

use handle::StoreHandle;
pub use log::log_changes;
pub use registry::RegistryState;
pub use snapshot::{RunningSweep, Snapshot};

/// The state of all registries, in the configuration's order. The schedule writes it; metrics, API and pages read it.
#[derive(Debug, Default)]
pub struct State {
    registries: RwLock<Vec<Arc<RegistryState>>>,
    /// Memory for the manifests of all registries.
    budget: Arc<Budget>,
    retention: Retention,
    last_reload: RwLock<Option<Reload>>,
    shard: Option<Shard>,
    store: Option<Arc<Store>>,
}

/// Result of the last configuration reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// False if the probe's own file was rejected, so that an older one is in use.
    is_probe_current: bool,
    /// The same for the web configuration, which is reloaded by itself.
    is_web_current: bool,
    /// Time of the last successful reload; the start of the program before the first.
    pub last_success: SystemTime,
}

impl Reload {
    /// True if both files are in use as they are on disk.
    pub fn is_successful(&self) -> bool {
        self.is_probe_current && self.is_web_current
    }
}

/// A part of the configuration that is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigPart {
    /// The probe's own file; it is applied only together with a valid web configuration.
    Probe,
    /// The web configuration.
    Web,
}

/// A loaded configuration that is not in use yet: each registry with its state.
#[derive(Debug)]
pub struct Prepared<'a>(Vec<(&'a Target, Arc<RegistryState>)>);

impl<'a> Prepared<'a> {
    /// The registries in the configuration's order.
    pub fn registries(&self) -> impl Iterator<Item = (&'a Target, &Arc<RegistryState>)> {
        self.0.iter().map(|(target, registry)| (*target, registry))
    }
}

impl State {
    /// An empty state in memory for the configured registries.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let state = Self::default();
        state.configure(targets);
        state
    }

    /// Loads the state of the configured registries from a store, and saves later changes there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a registry's state cannot be read.
    pub fn with_store<'a>(
        store: Option<Store>,
        retention: Retention,
        shard: Option<Shard>,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Result<Self, StoreError> {
        let state = Self { store: store.map(Arc::new), retention, shard, ..Self::default() };
        let registries: Result<Vec<_>, _> = targets.into_iter().map(|target| state.load(target)).collect();
        Ok(Self { registries: RwLock::new(registries?), ..state })
    }

    /// The shard that this process checks; `None` without sharding.
    pub fn shard(&self) -> Option<Shard> {
        self.shard
    }

    /// Applies a changed configuration. A registry keeps its state while its name and URL stay the same.
    pub fn configure<'a>(&self, targets: impl IntoIterator<Item = &'a Target>) {
        self.install(self.prepare(targets));
    }

    /// Loads the state of registries that are new in a configuration, without changing this one.
    pub fn prepare<'a>(&self, targets: impl IntoIterator<Item = &'a Target>) -> Prepared<'a> {
        let mut before: BTreeMap<String, Arc<RegistryState>> =
            self.registries().into_iter().map(|registry| (registry.name.clone(), registry)).collect();
        let entries = targets.into_iter().map(|target| match before.remove(&target.name) {
            // Shared, not copied: a sweep of it may be running.
            Some(known) if known.url == target.url_text() => (target, known),
            _ => (target, self.load_or_new(target)),
        });
        Prepared(entries.collect())
    }

    /// Puts a prepared configuration in use.
    pub fn install(&self, prepared: Prepared<'_>) {
        prepared.registries().for_each(|(target, registry)| registry.configure(target));
        *self.registries.write() = prepared.0.into_iter().map(|(_, registry)| registry).collect();
    }

    fn load_or_new(&self, target: &Target) -> Arc<RegistryState> {
        self.load(target).unwrap_or_else(|error| {
            tracing::error!(
                registry = target.name,
                %error,
                "stored state of this registry is unreadable; ignoring it, and not saving new results"
            );
            Arc::new(self.new_registry(target))
        })
    }

    fn load(&self, target: &Target) -> Result<Arc<RegistryState>, StoreError> {
        let registry = self.new_registry(target);
        Ok(Arc::new(match &self.store {
            Some(store) => {
                let key = Key { name: registry.name.clone(), url: registry.url.clone(), shard: self.shard };
                let restored = store.load(&key)?;
                registry.with_store(StoreHandle { store: Arc::clone(store), key: Arc::new(key) }, restored)
            }
            None => registry,
        }))
    }

    fn new_registry(&self, target: &Target) -> RegistryState {
        RegistryState::new(target, Arc::clone(&self.budget), self.retention)
    }

    /// False if the last write failed; `None` without a store.
    pub fn is_saved(&self) -> Option<bool> {
        let store = self.store.as_ref()?;
        Some(store.is_writable() && self.registries().iter().all(|registry| registry.has_store()))
    }

    /// Saves the proofs of sweeps that were cancelled, and closes the store.
    pub async fn close(&self) {
        if let Some(store) = &self.store {
            self.registries().iter().for_each(|registry| registry.save_proofs());
            store.close().await;
        }
    }

    /// Notes that a part of the configuration was loaded or rejected.
    pub fn reloaded(&self, part: ConfigPart, is_successful: bool, now: SystemTime) {
        let mut last = self.last_reload.write();
        let mut reload = last.unwrap_or(Reload { is_probe_current: true, is_web_current: true, last_success: now });
        match part {
            ConfigPart::Probe => reload.is_probe_current = is_successful,
            ConfigPart::Web => reload.is_web_current = is_successful,
        }
        if is_successful {
            reload.last_success = now;
        }
        *last = Some(reload);
    }

    /// Result of the last configuration reload; `None` for commands that load it once.
    pub fn last_reload(&self) -> Option<Reload> {
        *self.last_reload.read()
    }

    /// All registries.
    pub fn registries(&self) -> Vec<Arc<RegistryState>> {
        self.registries.read().clone()
    }

    /// The registry with a name.
    pub fn registry(&self, name: &str) -> Option<Arc<RegistryState>> {
        self.registries().into_iter().find(|registry| registry.name == name)
    }
}

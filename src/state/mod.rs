//! What is remembered between sweeps: the latest report of each registry, and what became of its failures.

pub mod history;
pub mod images;
mod keeper;
mod known;
mod log;
pub mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use crate::check::contradictions::Contradictions;
use crate::check::evidence::EvidenceSchedule;
use crate::check::manifest_cache::{Budget, ManifestCache};
use crate::check::progress::Progress;
use crate::config::shard::Shard;
use crate::config::{Evidence, Mode, Target};
use crate::registry::Traffic;
use crate::report::Report;
use crate::state::history::Retention;
use crate::state::store::{Key, Restored, Store, StoreError};

use keeper::Keeper;
pub use known::{Known, Sweeping};
pub use log::log_changes;

/// The state of all registries, in the configuration's order. It is shared: a schedule writes, metrics and web read.
#[derive(Debug, Default)]
pub struct State {
    registries: RwLock<Vec<Arc<RegistryState>>>,
    /// What the known manifests of all registries share.
    budget: Arc<Budget>,
    retention: Retention,
    last_reload: RwLock<Option<Reload>>,
    shard: Option<Shard>,
    store: Option<Arc<Store>>,
}

/// How the configuration was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// False if the probe's own file could not be taken up, so that an older one is in use.
    is_probe_current: bool,
    /// The same of the web configuration, which is read again by itself.
    is_web_current: bool,
    /// When one was last taken up; at first, when the program began.
    pub last_success: SystemTime,
}

impl Reload {
    /// True if what is in use is what the files say.
    pub fn is_successful(&self) -> bool {
        self.is_probe_current && self.is_web_current
    }
}

/// Which part of the configuration was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigPart {
    /// The probe's own file; it is taken up only together with a valid web configuration.
    Probe,
    /// The web configuration.
    Web,
}

impl State {
    /// A state that knows the configured registries and nothing of them yet.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let state = Self::default();
        state.configure(targets);
        state
    }

    /// A state that knows what is kept of the configured registries, and keeps what becomes of them.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if what is kept cannot be read.
    pub fn kept_in<'a>(
        store: Option<Store>,
        retention: Retention,
        shard: Option<Shard>,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Result<Self, StoreError> {
        let state = Self { store: store.map(Arc::new), retention, shard, ..Self::default() };
        let registries: Result<Vec<_>, _> = targets.into_iter().map(|target| state.restored(target)).collect();
        Ok(Self { registries: RwLock::new(registries?), ..state })
    }

    /// The shard whose state this is; `None`: it is everything's.
    pub fn shard(&self) -> Option<Shard> {
        self.shard
    }

    /// Takes up a changed configuration: what is known of a registry stays while its name and URL do.
    pub fn configure<'a>(&self, targets: impl IntoIterator<Item = &'a Target>) {
        let mut before: BTreeMap<String, Arc<RegistryState>> =
            self.registries().into_iter().map(|registry| (registry.name.clone(), registry)).collect();
        let after = targets.into_iter().map(|target| match before.remove(&target.name) {
            // The same one, not a copy: a sweep of it may be running.
            Some(known) if known.url == target.url_text() => {
                known.configure(target);
                known
            }
            _ => self.restored(target).unwrap_or_else(|error| {
                tracing::error!(registry = target.name, %error, "what is kept of it cannot be read, and nothing more will be");
                Arc::new(self.unknown(target))
            }),
        });
        // Collected before the lock is taken: who reads must not wait for the disk.
        let after = after.collect();
        *self.registries.write().unwrap_or_else(PoisonError::into_inner) = after;
    }

    /// A registry of which is known what is kept.
    fn restored(&self, target: &Target) -> Result<Arc<RegistryState>, StoreError> {
        let registry = self.unknown(target);
        Ok(Arc::new(match &self.store {
            Some(store) => {
                let key = Key { name: registry.name.clone(), url: registry.url.clone(), shard: self.shard };
                let restored = store.load(&key)?;
                registry.kept_by(Keeper { store: Arc::clone(store), key: Arc::new(key) }, restored)
            }
            None => registry,
        }))
    }

    /// A registry of which nothing is known.
    fn unknown(&self, target: &Target) -> RegistryState {
        RegistryState::new(target, Arc::clone(&self.budget), self.retention)
    }

    /// False if what is known was not kept when that was last tried; `None` where nothing is kept.
    pub fn is_kept(&self) -> Option<bool> {
        let store = self.store.as_ref()?;
        Some(store.is_writable() && self.registries().iter().all(|registry| registry.is_kept()))
    }

    /// Keeps what sweeps that were ended had proved, and nothing any more.
    pub async fn close(&self) {
        if let Some(store) = &self.store {
            self.registries().iter().for_each(|registry| registry.keep_proofs());
            store.close().await;
        }
    }

    /// Notes that a part of the configuration was read, at the start or again.
    pub fn reloaded(&self, part: ConfigPart, is_successful: bool, now: SystemTime) {
        let mut last = self.last_reload.write().unwrap_or_else(PoisonError::into_inner);
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

    /// How the configuration was last read; `None` where it is read only once.
    pub fn last_reload(&self) -> Option<Reload> {
        *self.last_reload.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every registry.
    pub fn registries(&self) -> Vec<Arc<RegistryState>> {
        self.registries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The registry of a name.
    pub fn registry(&self, name: &str) -> Option<Arc<RegistryState>> {
        self.registries().into_iter().find(|registry| registry.name == name)
    }
}

/// What is remembered of one registry.
#[derive(Debug)]
pub struct RegistryState {
    /// Its configured name.
    pub name: String,
    /// Its URL, without credentials.
    pub url: String,
    /// Its requests.
    pub traffic: Arc<Traffic>,
    /// Its manifests, as they were last hashed.
    pub manifests: Arc<ManifestCache>,
    /// What contradicted itself.
    pub contradictions: Arc<Contradictions>,
    settings: RwLock<Settings>,
    known: RwLock<Known>,
    retention: Retention,
    keeper: Option<Keeper>,
    /// What another process found beside its sweeps, until somebody takes it.
    beside: Mutex<Vec<String>>,
}

/// What a changed configuration may change of a registry.
#[derive(Clone, Debug)]
struct Settings {
    mode: Mode,
    interval: Duration,
    evidence: Evidence,
    /// The past goes on when the settings change.
    proofs: Arc<EvidenceSchedule>,
}

impl Settings {
    fn of(target: &Target, proofs: Arc<EvidenceSchedule>) -> Self {
        Self { mode: target.mode, interval: target.interval, evidence: target.evidence.clone(), proofs }
    }
}

impl RegistryState {
    fn new(target: &Target, budget: Arc<Budget>, retention: Retention) -> Self {
        let proofs = EvidenceSchedule::recurring(&target.evidence, target.interval, SystemTime::now());
        Self {
            name: target.name.clone(),
            url: target.url_text(),
            traffic: Arc::default(),
            manifests: Arc::new(ManifestCache::new(budget)),
            contradictions: Arc::default(),
            settings: RwLock::new(Settings::of(target, Arc::new(proofs))),
            known: RwLock::default(),
            retention,
            keeper: None,
            beside: Mutex::default(),
        }
    }

    /// The same, with what another process knew.
    fn kept_by(self, keeper: Keeper, restored: Option<Restored>) -> Self {
        let keeper = Some(keeper);
        let Some(Restored { kept, proofs_since, proofs, beside }) = restored else { return Self { keeper, ..self } };
        let mut settings = self.settings();
        settings.proofs =
            Arc::new(settings.proofs.under(&settings.evidence, settings.interval).with_past(proofs_since, proofs));
        self.contradictions.restore(kept.summary.contradicted.iter().cloned());
        let known = RwLock::new(Known::restored(kept));
        Self { settings: RwLock::new(settings), known, keeper, beside: Mutex::new(beside), ..self }
    }

    /// Takes up changed settings. A sweep that runs goes on under the old ones.
    fn configure(&self, target: &Target) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        let is_as_before = settings.evidence == target.evidence && settings.interval == target.interval;
        let proofs = if is_as_before {
            Arc::clone(&settings.proofs)
        } else {
            Arc::new(settings.proofs.under(&target.evidence, target.interval))
        };
        *settings = Settings::of(target, proofs);
    }

    /// What it is.
    pub fn mode(&self) -> Mode {
        self.settings().mode
    }

    /// Between the starts of two sweeps, as configured.
    pub fn interval(&self) -> Duration {
        self.settings().interval
    }

    /// How its blobs are to be proved, as configured.
    pub fn evidence(&self) -> Evidence {
        self.settings().evidence
    }

    /// When its blobs were proved.
    pub fn proofs(&self) -> Arc<EvidenceSchedule> {
        self.settings().proofs
    }

    fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a sweep began.
    pub fn began(&self, since: SystemTime, progress: Arc<Progress>) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).sweeping = Some(Sweeping { since, progress });
    }

    /// Takes in a sweep's report, which ended at `now`. Its failures already include those kept from before.
    pub fn ended(&self, report: Report, now: SystemTime) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = known.after(report, self.proofs().coverage(), &self.retention, now);
    }

    /// The same where something is kept: what is shown then is not lost any more, however this process ends.
    pub async fn ended_and_kept(&self, report: Report, now: SystemTime) {
        let Some(keeper) = &self.keeper else { return self.ended(report, now) };
        let proofs = self.proofs();
        let after = self.known().after(report, proofs.coverage(), &self.retention, now);
        keeper.keep(&after, &self.contradictions, proofs).await;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = after;
    }

    /// Waits for a sweep, and keeps what it proves on the way.
    pub async fn keep_proofs_during<T>(&self, sweep: impl Future<Output = T>) -> T {
        match &self.keeper {
            Some(keeper) => keeper.keep_proofs_during(&self.proofs(), sweep).await,
            None => sweep.await,
        }
    }

    /// What another process found beside its sweeps, which no sweep of it took in; once.
    pub fn take_found_beside(&self) -> Vec<String> {
        std::mem::take(&mut *self.beside.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what was found beside the sweeps, of each blob what, or nothing any more, until a sweep takes it in: this
    /// process may end before that.
    pub async fn found_beside(&self, changes: Vec<(String, Option<String>)>) {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !changes.is_empty()) {
            keeper.keep_beside(changes).await;
        }
    }

    fn keep_proofs(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.keep_proofs(self.proofs());
        }
    }

    /// True if an earlier process may have known of it.
    pub fn is_kept(&self) -> bool {
        self.keeper.is_some()
    }
}

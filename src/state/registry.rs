//! The state of one registry.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};

use super::handle::StoreHandle;
use super::history::Retention;
use super::snapshot::{RunningSweep, Snapshot};
use super::store::Restored;
use crate::check::contradictions::Contradictions;
use crate::check::evidence::EvidenceSchedule;
use crate::check::manifest_cache::{Budget, ManifestCache};
use crate::check::progress::Progress;
use crate::config::{Evidence, Mode, Target};
use crate::registry::Traffic;
use crate::report::Report;

/// The state of one registry. It outlives configuration reloads while the registry's name and URL stay the same.
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
    /// Images for which it gave contradictory answers.
    pub contradictions: Arc<Contradictions>,
    settings: RwLock<SweepSettings>,
    snapshot: RwLock<Snapshot>,
    retention: Retention,
    store: Option<StoreHandle>,
    /// Results of background hashing by an earlier process, until they are taken.
    background: Mutex<Vec<String>>,
}

/// The settings that a reload can change.
#[derive(Clone, Debug)]
struct SweepSettings {
    mode: Mode,
    interval: Duration,
    evidence: Evidence,
    /// Keeps its past when the settings change.
    evidence_schedule: Arc<EvidenceSchedule>,
}

impl SweepSettings {
    fn of(target: &Target, evidence_schedule: Arc<EvidenceSchedule>) -> Self {
        Self { mode: target.mode, interval: target.interval, evidence: target.evidence.clone(), evidence_schedule }
    }
}

impl RegistryState {
    /// A registry before its first sweep.
    pub(super) fn new(target: &Target, budget: Arc<Budget>, retention: Retention) -> Self {
        let schedule = EvidenceSchedule::recurring(&target.evidence, target.interval, SystemTime::now());
        Self {
            name: target.name.clone(),
            url: target.url_text(),
            traffic: Arc::default(),
            manifests: Arc::new(ManifestCache::new(budget)),
            contradictions: Arc::default(),
            settings: RwLock::new(SweepSettings::of(target, Arc::new(schedule))),
            snapshot: RwLock::default(),
            retention,
            store: None,
            background: Mutex::default(),
        }
    }

    /// Adds the store, and the state that an earlier process saved there.
    pub(super) fn with_store(self, store: StoreHandle, restored: Option<Restored>) -> Self {
        let store = Some(store);
        let Some(Restored { saved, proofs_since, proofs, background }) = restored else {
            return Self { store, ..self };
        };
        let mut settings = self.settings();
        let schedule = settings.evidence_schedule.under(&settings.evidence, settings.interval);
        settings.evidence_schedule = Arc::new(schedule.with_past(proofs_since, proofs));
        self.contradictions.restore(saved.summary.contradicted.iter().cloned());
        let snapshot = RwLock::new(Snapshot::restored(saved));
        Self { settings: RwLock::new(settings), snapshot, store, background: Mutex::new(background), ..self }
    }

    /// Applies changed settings. A running sweep finishes with the old ones.
    pub(super) fn configure(&self, target: &Target) {
        let mut settings = self.settings.write();
        let is_unchanged = settings.evidence == target.evidence && settings.interval == target.interval;
        let schedule = if is_unchanged {
            Arc::clone(&settings.evidence_schedule)
        } else {
            Arc::new(settings.evidence_schedule.under(&target.evidence, target.interval))
        };
        *settings = SweepSettings::of(target, schedule);
    }

    /// Whether it is authoritative or a cache.
    pub fn mode(&self) -> Mode {
        self.settings().mode
    }

    /// Configured time between the starts of two sweeps.
    pub fn interval(&self) -> Duration {
        self.settings().interval
    }

    /// Configured evidence for blobs.
    pub fn evidence(&self) -> Evidence {
        self.settings().evidence
    }

    /// When each blob was last proved.
    pub fn evidence_schedule(&self) -> Arc<EvidenceSchedule> {
        self.settings().evidence_schedule
    }

    fn settings(&self) -> SweepSettings {
        self.settings.read().clone()
    }

    /// The state at this moment.
    pub fn known(&self) -> Snapshot {
        self.snapshot.read().clone()
    }

    /// Notes that a sweep started.
    pub fn begin_sweep(&self, since: SystemTime, progress: Arc<Progress>) {
        self.snapshot.write().sweeping = Some(RunningSweep { since, progress });
    }

    /// Applies the report of a sweep that ended at `now`. It already includes failures that are still open.
    pub fn finish_sweep(&self, report: Report, now: SystemTime) {
        let mut snapshot = self.snapshot.write();
        *snapshot = snapshot.after(report, self.evidence_schedule().coverage(), &self.retention, now);
    }

    /// Like [`Self::finish_sweep`], but saves the state before readers see it.
    pub async fn finish_sweep_and_save(&self, report: Report, now: SystemTime) {
        let Some(store) = &self.store else { return self.finish_sweep(report, now) };
        let schedule = self.evidence_schedule();
        let after = self.known().after(report, schedule.coverage(), &self.retention, now);
        store.save(&after, &self.contradictions, schedule).await;
        *self.snapshot.write() = after;
    }

    /// Runs a sweep and saves its proofs at intervals.
    pub async fn save_proofs_during<T>(&self, sweep: impl Future<Output = T>) -> T {
        match &self.store {
            Some(store) => store.save_proofs_during(&self.evidence_schedule(), sweep).await,
            None => sweep.await,
        }
    }

    /// Takes the results of background hashing that an earlier process saved and no sweep reported.
    pub fn take_background(&self) -> Vec<String> {
        std::mem::take(&mut *self.background.lock())
    }

    /// Saves changed results of background hashing by blob; `None` deletes one. The process may end before a sweep
    /// reports them.
    pub async fn save_background(&self, changes: Vec<(String, Option<String>)>) {
        if let Some(store) = self.store.as_ref().filter(|_| !changes.is_empty()) {
            store.save_background(changes).await;
        }
    }

    pub(super) fn save_proofs(&self) {
        if let Some(store) = &self.store {
            store.save_proofs(self.evidence_schedule());
        }
    }

    /// True if its state is stored on disk.
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }
}

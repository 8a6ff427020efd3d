//! What is remembered between sweeps: the latest report of each registry, and what became of its failures.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use crate::config::{Mode, Target};
use crate::progress::Progress;
use crate::registry::Traffic;
use crate::report::{Changes, Failure, ObjectCounts, Outcome, Report};

/// The state of all registries, in the configuration's order. It is shared: a schedule writes, metrics and web read.
#[derive(Debug, Default)]
pub struct State {
    registries: RwLock<Vec<Arc<RegistryState>>>,
}

impl State {
    /// A state that knows the configured registries and nothing of them yet.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let state = Self::default();
        state.configure(targets);
        state
    }

    /// Takes up a changed configuration: what is known of a registry stays while its name and URL do.
    pub fn configure<'a>(&self, targets: impl IntoIterator<Item = &'a Target>) {
        let mut registries = self.registries.write().unwrap_or_else(PoisonError::into_inner);
        let mut before: BTreeMap<String, Arc<RegistryState>> =
            registries.drain(..).map(|registry| (registry.name.clone(), registry)).collect();
        registries.extend(targets.into_iter().map(|target| match before.remove(&target.name) {
            // The same one, not a copy: a sweep of it may be running.
            Some(known) if known.url == target.url_text() => {
                *known.settings.write().unwrap_or_else(PoisonError::into_inner) = Settings::of(target);
                known
            }
            _ => Arc::new(RegistryState::new(target)),
        }));
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
    settings: RwLock<Settings>,
    known: RwLock<Known>,
}

/// What a changed configuration may change of a registry.
#[derive(Clone, Copy, Debug)]
struct Settings {
    mode: Mode,
    interval: Duration,
}

impl Settings {
    fn of(target: &Target) -> Self {
        Self { mode: target.mode, interval: target.interval }
    }
}

/// A registry's knowledge at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last sweep's report, with the failures kept from before; `None` before the first.
    pub report: Option<Arc<Report>>,
    /// Objects of the last complete sweep; zero before the first.
    pub objects: ObjectCounts,
    /// Repositories of the last sweep that read the catalog to its end; `None` before the first.
    pub repositories: Option<u64>,
    /// End of the last sweep that reached the catalog.
    pub last_sweep: Option<SystemTime>,
    /// End of the last sweep that found everything intact.
    pub last_success: Option<SystemTime>,
    /// Sweeps that ended, by outcome, in the order of [`Outcome::ALL`].
    pub sweeps: [u64; Outcome::ALL.len()],
    /// The sweep that runs now.
    pub sweeping: Option<Sweeping>,
}

/// A sweep that runs.
#[derive(Clone, Debug)]
pub struct Sweeping {
    /// Since when.
    pub since: SystemTime,
    /// How far it is.
    pub progress: Arc<Progress>,
}

impl Known {
    /// Failures known now.
    pub fn failures(&self) -> &[Failure] {
        self.report.as_deref().map_or(&[], |report| &report.failures)
    }
}

impl RegistryState {
    fn new(target: &Target) -> Self {
        Self {
            name: target.name.clone(),
            url: target.url_text(),
            traffic: Arc::default(),
            settings: RwLock::new(Settings::of(target)),
            known: RwLock::default(),
        }
    }

    /// What it is.
    pub fn mode(&self) -> Mode {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).mode
    }

    /// Between the starts of two sweeps, as configured.
    pub fn interval(&self) -> Duration {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).interval
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
        known.sweeping = None;
        known.sweeps[report.outcome as usize] += 1;
        if report.outcome == Outcome::Complete {
            known.objects = report.objects;
        }
        if report.catalog_accessible {
            known.repositories = Some(report.repositories);
        }
        if report.catalog_reached {
            known.last_sweep = Some(now);
        }
        if report.outcome == Outcome::Complete && report.failures.is_empty() {
            known.last_success = Some(now);
        }
        known.report = Some(Arc::new(report));
    }
}

/// One log line for each failure that appeared and for each that is gone; none for what stays.
pub fn log_changes(registry: &str, changes: &Changes) {
    for failure in &changes.appeared {
        tracing::error!(
            registry,
            repository = %failure.repository,
            reference = failure.reference(),
            kind = failure.kind.as_str(),
            reason = failure.reason.as_str(),
            images = failure.images.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            detail = failure.detail,
            "integrity failure"
        );
    }
    for failure in &changes.gone {
        tracing::info!(
            registry,
            repository = %failure.repository,
            reference = failure.reference(),
            kind = failure.kind.as_str(),
            reason = failure.reason.as_str(),
            "integrity failure is gone"
        );
    }
}

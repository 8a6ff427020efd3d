//! Sweeps of an in-process registry, one after the other, with what is known carried over.

use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::check::contradictions::Contradictions;
use registry_integrity_probe::check::evidence::EvidenceSchedule;
use registry_integrity_probe::check::manifest_cache::ManifestCache;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::{ByteEvidence, Confirm, Target};
use registry_integrity_probe::demo::Registry;
use registry_integrity_probe::registry::{HttpRegistry, Traffic};
use registry_integrity_probe::report::{Changes, Failure, KnownCatalog, Report};

/// A series of sweeps of one registry.
pub struct Sweeping {
    target: Target,
    known: Vec<Failure>,
    /// What is known of the catalog.
    pub catalog: KnownCatalog,
    /// What contradicted itself.
    pub contradictions: Arc<Contradictions>,
    /// What the last sweep changed.
    pub changes: Changes,
}

impl Sweeping {
    /// With the default settings, but only one retry and a short delay before confirmations, so that no test waits long.
    pub fn of(registry: &Registry) -> Self {
        Self::over(&registry.url())
    }

    /// The same of whatever serves this URL.
    pub fn over(url: &str) -> Self {
        let mut target = Target::with_defaults(url.parse().unwrap());
        target.confirm = Confirm { attempts: 2, delay: Duration::from_millis(10) };
        target.limits.retries = 1;
        target.evidence.byte = ByteEvidence::Within(Duration::ZERO);
        let contradictions = Arc::default();
        Self {
            target,
            known: Vec::new(),
            catalog: KnownCatalog::default(),
            contradictions,
            changes: Changes::default(),
        }
    }

    /// Changes the settings.
    pub fn with(mut self, change: impl FnOnce(&mut Target)) -> Self {
        change(&mut self.target);
        self
    }

    /// Sweeps once more.
    pub async fn sweep(&mut self) -> Report {
        let traffic = Arc::new(Traffic::default());
        let client = Arc::new(HttpRegistry::new(&self.target, Arc::clone(&traffic)).unwrap());
        let job = Job {
            target: &self.target,
            evidence_schedule: Arc::new(EvidenceSchedule::one_shot(&self.target.evidence)),
            manifests: Arc::new(ManifestCache::none()),
            blob_hasher: None,
            traffic,
            known: &self.known,
            catalog: &self.catalog,
            contradictions: Arc::clone(&self.contradictions),
            progress: Arc::default(),
        };
        let (report, changes) = sweep(client, job).await;
        self.known.clone_from(&report.failures);
        self.catalog.clone_from(&report.catalog);
        self.changes = changes;
        report
    }
}

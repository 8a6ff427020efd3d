//! The state of one registry at one moment, and how a sweep's report updates it.

use std::sync::Arc;
use std::time::SystemTime;

use super::history::{History, Retention};
use super::store::{Saved, Summary};
use crate::check::progress::Progress;
use crate::oci::Image;
use crate::report::{Coverage, Failure, KnownCatalog, ObjectCounts, Outcome, Report};

/// The state of a registry at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The last sweep's report, including failures that are still open; `None` before the first.
    pub report: Option<Arc<Report>>,
    /// Objects of the last complete sweep; zero before the first.
    pub objects: ObjectCounts,
    /// Repositories in the last complete catalog; `None` before the first.
    pub repositories: Option<u64>,
    /// What is known of the catalog, for the next sweep.
    pub catalog: KnownCatalog,
    /// True if the last sweep that reached the registry checked no image; `None` before the first.
    pub empty: Option<bool>,
    /// End of the last sweep that reached the catalog.
    pub last_sweep: Option<SystemTime>,
    /// End of the last sweep that found everything intact.
    pub last_success: Option<SystemTime>,
    /// Sweeps finished by this process, by outcome, in the order of [`Outcome::ALL`].
    pub sweeps: [u64; Outcome::ALL.len()],
    /// Evidence for blobs in the last complete sweep; `None` before the first, and if evidence is off.
    pub coverage: Option<Coverage>,
    /// Failures and sweeps of the past.
    pub history: Arc<History>,
    /// The sweep that is running.
    pub sweeping: Option<RunningSweep>,
}

/// A sweep that is running.
#[derive(Clone, Debug)]
pub struct RunningSweep {
    /// When it started.
    pub since: SystemTime,
    /// Repositories and objects checked so far.
    pub progress: Arc<Progress>,
}

impl Snapshot {
    /// Open failures.
    pub fn failures(&self) -> &[Failure] {
        self.report.as_deref().map_or(&[], |report| &report.failures)
    }

    /// The state that an earlier process saved.
    pub(super) fn restored(saved: Saved) -> Self {
        let Saved { report, history, summary } = saved;
        let Summary { objects, repositories, catalog, empty, last_sweep, last_success, coverage, .. } = summary;
        let snapshot = Self { report, history, objects, repositories, catalog, empty, ..Self::default() };
        Self { last_sweep, last_success, coverage, ..snapshot }
    }

    /// The part to save: not the running sweep, and not the counters, which start at 0 in every process.
    pub(super) fn to_saved(&self, contradicted: Vec<Image>) -> Saved {
        Saved {
            report: self.report.clone(),
            history: Arc::clone(&self.history),
            summary: Summary {
                objects: self.objects,
                repositories: self.repositories,
                catalog: self.catalog.clone(),
                empty: self.empty,
                last_sweep: self.last_sweep,
                last_success: self.last_success,
                coverage: self.coverage,
                contradicted,
            },
        }
    }

    /// The state after a sweep that ended at `now`. The report already includes failures that are still open.
    pub(super) fn after(&self, report: Report, coverage: Coverage, retention: &Retention, now: SystemTime) -> Self {
        let mut next = self.clone();
        next.sweeping = None;
        next.sweeps[report.outcome as usize] += 1;
        let coverage = Some(coverage).filter(|coverage| *coverage != Coverage::default());
        if report.outcome == Outcome::Complete {
            next.objects = report.objects;
            next.coverage = coverage;
        }
        if report.catalog_accessible {
            next.repositories = Some(report.repositories);
        }
        if report.catalog_reached {
            next.last_sweep = Some(now);
            next.empty = Some(report.empty);
        }
        if report.outcome == Outcome::Complete && report.failures.is_empty() && !report.empty {
            next.last_success = Some(now);
        }
        next.catalog = report.catalog.clone();
        let history = Arc::make_mut(&mut next.history);
        history.take(self.failures(), &report, coverage, now);
        history.forget(retention, now);
        next.report = Some(Arc::new(report));
        next
    }
}

//! A registry's knowledge, and how a sweep's report becomes part of it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::check::progress::Progress;
use crate::oci::Image;
use crate::report::{Coverage, Failure, KnownCatalog, ObjectCounts, Outcome, Report};
use crate::state::history::{History, Retention};
use crate::state::store::{Kept, Summary};

/// A registry's knowledge at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last sweep's report, with the failures kept from before; `None` before the first.
    pub report: Option<Arc<Report>>,
    /// Objects of the last complete sweep; zero before the first.
    pub objects: ObjectCounts,
    /// Repositories of the last sweep that read the catalog to its end; `None` before the first.
    pub repositories: Option<u64>,
    /// What is known of the catalog, for the next sweep.
    pub catalog: KnownCatalog,
    /// True if the last sweep that reached the registry checked no image; `None` before the first.
    pub empty: Option<bool>,
    /// End of the last sweep that reached the catalog.
    pub last_sweep: Option<SystemTime>,
    /// End of the last sweep that found everything intact.
    pub last_success: Option<SystemTime>,
    /// Sweeps that ended, by outcome, in the order of [`Outcome::ALL`].
    pub sweeps: [u64; Outcome::ALL.len()],
    /// How blobs were proved in the last complete sweep; `None` before the first, and where none are asked for.
    pub coverage: Option<Coverage>,
    /// What became of it: failures and sweeps.
    pub history: Arc<History>,
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

    /// What another process knew.
    pub(super) fn restored(kept: Kept) -> Self {
        let Kept { report, history, summary } = kept;
        let Summary { objects, repositories, catalog, empty, last_sweep, last_success, coverage, .. } = summary;
        let known = Self { report, history, objects, repositories, catalog, empty, ..Self::default() };
        Self { last_sweep, last_success, coverage, ..known }
    }

    /// What is kept of this: all but what runs, and the counters, which begin at 0 in every process.
    pub(super) fn kept(&self, contradicted: Vec<Image>) -> Kept {
        Kept {
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

    /// What is known once a sweep has ended at `now`. Its failures already include those kept from before.
    pub(super) fn after(&self, report: Report, coverage: Coverage, retention: &Retention, now: SystemTime) -> Self {
        let mut known = self.clone();
        known.sweeping = None;
        known.sweeps[report.outcome as usize] += 1;
        let coverage = Some(coverage).filter(|coverage| *coverage != Coverage::default());
        if report.outcome == Outcome::Complete {
            known.objects = report.objects;
            known.coverage = coverage;
        }
        if report.catalog_accessible {
            known.repositories = Some(report.repositories);
        }
        if report.catalog_reached {
            known.last_sweep = Some(now);
            known.empty = Some(report.empty);
        }
        if report.outcome == Outcome::Complete && report.failures.is_empty() && !report.empty {
            known.last_success = Some(now);
        }
        known.catalog = report.catalog.clone();
        let history = Arc::make_mut(&mut known.history);
        history.take(self.failures(), &report, coverage, now);
        history.forget(retention, now);
        known.report = Some(Arc::new(report));
        known
    }
}

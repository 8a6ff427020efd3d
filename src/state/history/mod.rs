//! The history of a registry: the life of every failure, and its sweeps. Bounded by age and by number.

mod life;
mod sweeps;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use life::{Change, ImagesChange, NAMES_LIMIT, OpenLife, ReasonChange, ResolvedLife};
pub use sweeps::SweepRecord;

use crate::report::{Coverage, Failure, FailureKey, Report};

/// How much history is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Maximum age of resolved failures and sweeps.
    pub age: Duration,
    /// Maximum number of resolved failures per registry.
    pub resolved: usize,
    /// Maximum number of sweeps per registry; more than one every 15 minutes within the default age.
    pub sweeps: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(90 * 24 * 3600), resolved: 10_000, sweeps: 20_000 }
    }
}

/// The history of one registry at the end of a sweep.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Lives of open failures; the last report contains the failures.
    pub open: BTreeMap<FailureKey, Arc<OpenLife>>,
    /// Resolved failures, oldest first.
    pub resolved: VecDeque<Arc<ResolvedLife>>,
    /// Completed sweeps, oldest first.
    pub sweeps: VecDeque<Arc<SweepRecord>>,
    /// Number of the newest life.
    last_life: u64,
}

impl History {
    /// Restores a saved history. `open` contains the lives of the last report's failures, by key.
    pub fn restored(
        report: Option<&Report>,
        mut open: HashMap<String, OpenLife>,
        resolved: VecDeque<Arc<ResolvedLife>>,
        sweeps: VecDeque<Arc<SweepRecord>>,
    ) -> Self {
        let last_life = open.values().map(|life| life.id).chain(resolved.iter().map(|life| life.id)).max();
        let mut history = Self { open: BTreeMap::new(), resolved, sweeps, last_life: last_life.unwrap_or_default() };
        for failure in report.into_iter().flat_map(|report| &report.failures) {
            let key = failure.key();
            let life = open.remove(&key.to_string()).unwrap_or_else(|| history.begin(0));
            history.open.insert(key, Arc::new(life));
        }
        history
    }

    /// The changes of an open failure.
    pub fn changes(&self, failure: &Failure) -> &[Change] {
        self.open.get(&failure.key()).map_or(&[], |life| &life.changes)
    }

    /// The number of the last sweep.
    pub fn last_sweep(&self) -> u64 {
        self.sweeps.back().map_or(0, |sweep| sweep.id)
    }

    /// Adds a sweep that ended at `now`, and compares its failures with those open before.
    pub fn take(&mut self, before: &[Failure], report: &Report, coverage: Option<Coverage>, now: SystemTime) {
        let sweep = self.last_sweep() + 1;
        let mut known: HashMap<FailureKey, &Failure> = before.iter().map(|failure| (failure.key(), failure)).collect();
        let mut appeared = 0;
        for failure in &report.failures {
            let key = failure.key();
            match (known.remove(&key), self.open.get_mut(&key)) {
                (Some(before), Some(life)) => {
                    if let Some(change) = Change::between(before, failure, now) {
                        Arc::make_mut(life).note(change, sweep);
                    }
                }
                (before, _) => {
                    appeared += u64::from(before.is_none());
                    let life = self.begin(sweep);
                    self.open.insert(key, Arc::new(life));
                }
            }
        }
        let disproved = known.len() as u64;
        let mut resolved: Vec<(FailureKey, &Failure)> = known.into_iter().collect();
        resolved.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, failure) in resolved {
            let life = self.open.remove(&key).map_or_else(|| self.begin(sweep), Arc::unwrap_or_clone);
            self.resolved.push_back(Arc::new(ResolvedLife::of(life, failure.clone(), now, sweep)));
        }
        let record = SweepRecord::of(sweep, report, coverage, now);
        self.sweeps.push_back(Arc::new(SweepRecord { appeared, disproved, ..record }));
    }

    /// Deletes what exceeds the retention.
    pub fn forget(&mut self, retention: &Retention, now: SystemTime) {
        let oldest = now.checked_sub(retention.age).unwrap_or(SystemTime::UNIX_EPOCH);
        while self.resolved.len() > retention.resolved
            || self.resolved.front().is_some_and(|life| life.disproved_at < oldest)
        {
            self.resolved.pop_front();
        }
        while self.sweeps.len() > retention.sweeps
            || (self.sweeps.len() > 1 && self.sweeps.front().is_some_and(|sweep| sweep.ended_at < oldest))
        {
            self.sweeps.pop_front();
        }
    }

    fn begin(&mut self, sweep: u64) -> OpenLife {
        self.last_life += 1;
        OpenLife { id: self.last_life, changes: Vec::new(), changed_in: sweep }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::report::{Kind, Outcome, Reason};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_776_589_200 + seconds)
    }

    fn failure(name: &str, reason: Reason, images: &[&str]) -> Failure {
        Failure {
            repository: "app".parse().unwrap(),
            digest: Some(Digest::sha256(name.as_bytes())),
            kind: Kind::Layer,
            reason,
            media_type: None,
            platform: None,
            attestation: false,
            images: images.iter().map(|image| image.parse().unwrap()).collect(),
            path: Vec::new(),
            detail: String::new(),
            first_seen: at(0),
            last_seen: at(0),
        }
    }

    fn report(failures: Vec<Failure>) -> Report {
        Report {
            registry: "r".to_string(),
            url: "https://registry.example.com".to_string(),
            started_at: at(0),
            duration_seconds: 1.0,
            outcome: Outcome::Complete,
            catalog_accessible: true,
            catalog: Default::default(),
            empty: false,
            catalog_reached: true,
            repositories: 1,
            images: Default::default(),
            objects: Default::default(),
            length_only: 0,
            requests: 7,
            received_bytes: 0,
            failures,
            unverified: Vec::new(),
        }
    }

    /// A history of sweeps one minute apart.
    fn after(sweeps: &[Vec<Failure>]) -> History {
        let mut history = History::default();
        let mut before = Vec::new();
        for (minute, failures) in sweeps.iter().enumerate() {
            history.take(&before, &report(failures.clone()), None, at(60 * minute as u64));
            before.clone_from(failures);
        }
        history
    }

    #[test]
    fn failure_that_breaks_again_is_a_new_one() {
        let missing = failure("x", Reason::Missing, &["app:1", "app:2"]);
        let unreadable = failure("x", Reason::Unreadable, &["app:2", "app:3"]);
        let history = after(&[
            vec![missing.clone()],
            vec![missing.clone()],
            vec![unreadable.clone()],
            vec![],
            vec![missing.clone()],
        ]);
        let [over] = history.resolved.iter().collect::<Vec<_>>()[..] else { panic!("{history:?}") };
        assert_eq!((over.id, over.disproved_at, &over.failure), (1, at(180), &unreadable));
        let [change] = &over.changes[..] else { panic!("{over:?}") };
        assert_eq!(change.at, at(120));
        assert_eq!(change.reason, Some(ReasonChange { from: Reason::Missing, to: Reason::Unreadable }));
        let images = change.images.as_ref().unwrap();
        assert_eq!((images.added_count, &images.added[0].to_string()[..]), (1, "app:3"));
        assert_eq!((images.removed_count, &images.removed[0].to_string()[..]), (1, "app:1"));
        assert_eq!(history.open[&missing.key()].id, 2);
        assert!(history.changes(&missing).is_empty());

        let counts: Vec<_> = history.sweeps.iter().map(|s| (s.id, s.failures, s.appeared, s.disproved)).collect();
        assert_eq!(counts, [(1, 1, 1, 0), (2, 1, 0, 0), (3, 1, 0, 0), (4, 0, 0, 1), (5, 1, 1, 0)]);
    }

    #[test]
    fn history_is_bounded_by_age_and_number() {
        let mut history = after(&[
            vec![failure("x", Reason::Missing, &["app:1"])],
            vec![failure("y", Reason::Missing, &["app:1"])],
            vec![],
        ]);
        let retention = Retention { age: Duration::from_secs(60), resolved: 9, sweeps: 9 };
        history.forget(&retention, at(121));
        assert_eq!((history.resolved.len(), history.sweeps.len()), (1, 1));
        assert_eq!(history.resolved[0].disproved_at, at(120));
        history.forget(&retention, at(9_000));
        assert_eq!((history.resolved.len(), history.sweeps.len()), (0, 1), "the last sweep is always kept");

        let flapping: Vec<Vec<Failure>> = (0..40)
            .map(|n| if n % 2 == 0 { vec![failure("x", Reason::Missing, &["app:1"])] } else { vec![] })
            .collect();
        let mut history = after(&flapping);
        history.forget(&Retention { resolved: 3, sweeps: 5, ..Retention::default() }, at(2_400));
        assert_eq!((history.resolved.len(), history.sweeps.len()), (3, 5));
        assert_eq!(history.resolved[2].id, 20);
    }

    #[test]
    fn restored_history_continues() {
        let known = failure("x", Reason::Missing, &["app:1"]);
        let before = after(&[vec![], vec![known.clone()]]);
        let open = before.open.iter().map(|(key, life)| (key.to_string(), OpenLife::clone(life))).collect();
        let last = report(vec![known.clone()]);
        let mut history = History::restored(Some(&last), open, before.resolved.clone(), before.sweeps.clone());
        history.take(&[known], &report(vec![]), None, at(200));
        assert_eq!(history.resolved[0].id, 1);
        assert_eq!(history.last_sweep(), 3);
    }
}

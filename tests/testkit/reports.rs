//! Assertions on the report of a sweep.

use registry_integrity_probe::report::{Cause, Outcome, Reason, Report};

pub fn reasons(report: &Report) -> Vec<Reason> {
    report.failures.iter().map(|failure| failure.reason).collect()
}

pub fn causes(report: &Report) -> Vec<Cause> {
    report.unverified.iter().map(|entry| entry.cause).collect()
}

#[track_caller]
pub fn assert_intact(report: &Report, what: &str) {
    assert_eq!((report.outcome, report.images.broken), (Outcome::Complete, 0), "{what}: {report:#?}");
    assert!(report.images.intact > 0, "{what}: {report:#?}");
}

/// There is no failure, and every unverified object has the same cause.
#[track_caller]
pub fn assert_unverified(report: &Report, cause: Cause, what: &str) {
    assert_eq!(report.failures, [], "{what}");
    assert!(!report.unverified.is_empty(), "{what}: {report:#?}");
    assert!(causes(report).iter().all(|&seen| seen == cause), "{what}: {:#?}", report.unverified);
}

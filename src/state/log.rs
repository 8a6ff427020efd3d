//! What a log says of failures.

use crate::report::Changes;

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

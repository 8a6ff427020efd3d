//! Log lines for failures.

use crate::report::Changes;

/// Logs each new and each resolved failure; failures that stay open are not repeated.
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
            "integrity failure resolved"
        );
    }
}

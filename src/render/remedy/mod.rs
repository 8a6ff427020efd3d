//! Remedies: shell commands that confirm a failure manually, and repairs that are known to work.

mod shell;
mod steps;

pub use shell::quoted;
pub use steps::{Remedy, Step};

use crate::report::{Cause, Failure, Kind, Reason};

/// What to do about a failure, in one sentence.
pub fn in_short(failure: &Failure) -> &'static str {
    let is_manifest = matches!(failure.kind, Kind::Manifest | Kind::Child);
    match (failure.reason, is_manifest) {
        (Reason::Missing, _) if failure.digest.is_none() => {
            "The tag points to nothing. Push the image again, or delete the tag."
        }
        (Reason::Missing, true) => {
            "Do not run garbage collection. If the data is still on the registry's disk, link it again. Otherwise push the \
             image again with all its platforms."
        }
        (Reason::Missing, false) => {
            "Upload the object again with the commands below. A normal push may skip it (\"Layer already exists\")."
        }
        (Reason::Unreadable, _) => {
            "The registry's cache still lists data that is gone. Delete any leftover file, restart the registry, then upload \
             again."
        }
        (Reason::SizeMismatch | Reason::DigestMismatch, _) => {
            "A push does not repair this. Delete the file from the registry's storage, restart the registry, then upload \
             again."
        }
        (Reason::Malformed, _) => "Rebuild the image and push it.",
    }
}

/// What to do about something that could not be verified.
pub fn after_unverified(cause: Cause) -> &'static str {
    match cause {
        Cause::Incomplete => {
            "Check the filters and names in the configuration, and the permissions of the probe's credentials."
        }
        Cause::Unreachable => "Check that the registry is running and that its URL is correct.",
        Cause::Timeout => "Check the load of the registry. The next sweep tries again.",
        Cause::Unauthorized => {
            "The registry requires credentials, or rejected the probe's. Configure credentials with pull permission."
        }
        Cause::RateLimited => "Set rate_limit for this registry, or configure credentials with a higher limit.",
        Cause::ServerError => "Check the registry's log. The next sweep tries again.",
        Cause::Protocol => "The response is invalid, or a limit was exceeded; see the detail.",
    }
}

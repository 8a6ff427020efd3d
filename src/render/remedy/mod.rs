//! What to do about what was found: how to confirm it by hand, and the mending that is known to help, as commands for a shell.

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
            "Push the image under this name again, or delete the tag: it is listed and leads nowhere."
        }
        (Reason::Missing, true) => {
            "Run no garbage collection. If the bytes still lie on the registry's disk, link them again; otherwise push the \
             image again with all its platforms."
        }
        (Reason::Missing, false) => {
            "Upload it again without asking first whether it is there: a push that says the layer exists already mends \
             nothing."
        }
        (Reason::Unreadable, _) => {
            "A cache promises what the storage does not hold: remove what is left of the file, restart the registry, upload \
             it again."
        }
        (Reason::SizeMismatch | Reason::DigestMismatch, _) => {
            "A push alone mends nothing: remove the file from the registry's storage, restart the registry, upload it again."
        }
        (Reason::Malformed, _) => "Build the image again and push it.",
    }
}

/// What to do about something that could not be judged.
pub fn after_unverified(cause: Cause) -> &'static str {
    match cause {
        Cause::Incomplete => {
            "Check the filters and names in the configuration, and what the probe's credentials may list."
        }
        Cause::Unreachable => "Look at whether the registry is up, and whether its URL is right in the configuration.",
        Cause::Timeout => "Look at how busy the registry is. It is asked again in the next sweep.",
        Cause::Unauthorized => "Give the probe credentials that may pull this; the registry refused what it has.",
        Cause::RateLimited => "Set rate_limit for this registry, or give the probe a login with a higher limit.",
        Cause::ServerError => "Read the registry's own log for these minutes. It is asked again in the next sweep.",
        Cause::Protocol => "Read the detail: the answer makes no sense, or a limit was hit.",
    }
}

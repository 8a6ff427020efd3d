//! What to do about what was found: the mending that is known to help, by reason and kind.

use crate::report::{Cause, Failure, Kind, Reason};

/// What to do about a failure.
pub fn after_failure(failure: &Failure) -> &'static str {
    let is_manifest = matches!(failure.kind, Kind::Manifest | Kind::Child);
    match (failure.reason, is_manifest) {
        (Reason::Missing, _) if failure.digest.is_none() && failure.kind == Kind::Child => {
            "build and push the image for this platform too, or do not ask for it"
        }
        (Reason::Missing, _) if failure.digest.is_none() => {
            "look at whether the push ended, and pushed this name; if the registry only needs time, use --retry-for"
        }
        (Reason::Missing, true) => {
            "push the image again, with all its platforms; then look for what deletes untagged manifests (a garbage \
             collection, a retention rule)"
        }
        (Reason::Missing, false) => {
            "push the image again; if the push says that the layer exists already, restart the registry or flush its \
             cache first"
        }
        (Reason::Unreadable, _) => {
            "restart the registry or flush its cache, which promises what the storage does not hold; then push again"
        }
        (Reason::SizeMismatch | Reason::DigestMismatch, _) => {
            "a push does not mend this: remove the blob's file from the registry's storage, flush its cache, push \
             again; if the image was built so, build it anew"
        }
        (Reason::Malformed, _) => "build the image anew and push it",
    }
}

/// What to do about something that could not be judged.
pub fn after_unverified(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Unreachable => {
            Some("look at whether the registry is up and its name is right; one without TLS needs --plain-http")
        }
        Cause::Timeout | Cause::ServerError => Some("try again, or let --retry-for do it"),
        Cause::Unauthorized => {
            Some("docker login or podman login, or --username and --password-stdin; or the repository does not exist")
        }
        Cause::RateLimited => Some("try again later; a login may have a higher limit"),
        Cause::Incomplete => Some("check that the repository exists and that the credentials may list all of its tags"),
        Cause::Protocol => None,
    }
}

//! Advice for each finding, by reason and kind.

use crate::report::{Cause, Failure, Kind, Reason};

/// What to do about a failure.
pub fn after_failure(failure: &Failure) -> &'static str {
    let is_manifest = matches!(failure.kind, Kind::Manifest | Kind::Child);
    match (failure.reason, is_manifest) {
        (Reason::Missing, _) if failure.digest.is_none() && failure.kind == Kind::Child => {
            "build and push the image for this platform too, or do not require it"
        }
        (Reason::Missing, _) if failure.digest.is_none() => {
            "check that the push succeeded and that the name is correct; for an eventually consistent registry, use --retry-for"
        }
        (Reason::Missing, true) => {
            "push the image again with all its platforms; then find the job that deletes untagged manifests (garbage \
             collection, a retention rule)"
        }
        (Reason::Missing, false) => {
            "push the image again; if the push reports that the layer already exists, restart the registry or flush its \
             cache first"
        }
        (Reason::Unreadable, _) => {
            "restart the registry or flush its cache, which lists data that is gone; then push again"
        }
        (Reason::SizeMismatch | Reason::DigestMismatch, _) => {
            "a push does not repair this: delete the blob's file from the registry's storage, flush its cache, push \
             again; if the image itself declares the wrong size, rebuild it"
        }
        (Reason::Malformed, _) => "rebuild the image and push it",
    }
}

/// What to do about something that could not be verified.
pub fn after_unverified(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Unreachable => {
            Some("check that the registry is running and that its name is correct; without TLS it needs --plain-http")
        }
        Cause::Timeout | Cause::ServerError => Some("try again, or use --retry-for"),
        Cause::Unauthorized => Some(
            "log in (docker login, podman login, or --username with --password-stdin), or check that the repository exists",
        ),
        Cause::RateLimited => Some("try again later; an account may have a higher limit"),
        Cause::Incomplete => Some("check that the repository exists and that the credentials may list all of its tags"),
        Cause::Protocol => None,
    }
}

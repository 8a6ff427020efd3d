//! What is done to the objects of a registry, and what each of that proves.

use std::time::Duration;

use proptest::prelude::*;
use registry_integrity_probe::demo::fault::{
    Fault, answers, answers_html, answers_range, claims_digest, cuts_body_after, hangs, ignores_range, on, on_tag,
    resets, stalls_body_after,
};
use registry_integrity_probe::demo::{Headers, Registry};
use registry_integrity_probe::report::{Cause, Reason};

use super::expect::Truth;
use super::graph::Node;

/// No answer is waited for longer than this.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Removed,
    /// Other bytes of the same length in a manifest that no tag names.
    Altered,
    /// A byte is turned in the middle of a blob.
    Flipped,
    Truncated,
    TruncatedUnderStaleCache,
    Cut,
    Refused,
    Throttled,
    Resets,
    Hangs,
    Stalls,
    ServerError,
    /// A page for people, as if it were the object.
    Page,
    /// 404 without an OCI error body.
    NotFoundPage,
    OtherDigest,
    RangeIgnored,
    OtherRange,
    PassingNotFound,
    PassingServerError,
}

pub fn damage() -> impl Strategy<Value = Damage> {
    use Damage::*;
    prop::sample::select(vec![
        Removed,
        Altered,
        Flipped,
        Truncated,
        TruncatedUnderStaleCache,
        Cut,
        Refused,
        Throttled,
        Resets,
        Hangs,
        Stalls,
        ServerError,
        ServerError,
        Page,
        NotFoundPage,
        OtherDigest,
        RangeIgnored,
        OtherRange,
        PassingNotFound,
        PassingServerError,
    ])
}

/// Does it to an object of a repository. Gives what that proves of it, and the fault to lift again.
pub fn inflict(
    registry: &Registry,
    (repository, node): (&str, &Node),
    damage: Damage,
    is_hashed: bool,
) -> (Option<Truth>, Option<Fault>) {
    let digest = &node.digest.parse().unwrap();
    let here = on(digest).in_repository(repository);
    let broken = |reason| (Some(Truth::Broken(reason)), None);
    let replace = |bytes: Vec<u8>, headers| registry.replace(repository, digest, bytes, headers);
    // Of a manifest it says nothing.
    let refused = |cause| if node.is_manifest() { Truth::Unknown(cause) } else { Truth::Refused(cause) };
    let half = || node.bytes[..node.bytes.len() / 2].to_vec();
    let (truth, effect) = match damage {
        Damage::Removed => {
            if node.is_manifest() {
                registry.remove_manifest(repository, digest);
            } else {
                registry.remove_blob(repository, digest);
            }
            return broken(Reason::Missing);
        }
        Damage::Altered => {
            let text = String::from_utf8(node.bytes.clone()).unwrap();
            replace(text.replace("\"x\":[1]", "\"x\":[2]").into_bytes(), Headers::Follow);
            return broken(Reason::DigestMismatch);
        }
        Damage::Flipped => {
            let mut bytes = node.bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            replace(bytes, Headers::Follow);
            return (is_hashed.then_some(Truth::Broken(Reason::DigestMismatch)), None);
        }
        Damage::Truncated => {
            replace(half(), Headers::Follow);
            return broken(Reason::SizeMismatch);
        }
        Damage::TruncatedUnderStaleCache => {
            replace(half(), Headers::Stale);
            return (Some(Truth::Cut), None);
        }
        Damage::Cut => (Some(Truth::Cut), cuts_body_after(0)),
        Damage::Refused => (Some(refused(Cause::Unauthorized)), answers(403)),
        Damage::Throttled => (Some(Truth::Unknown(Cause::RateLimited)), answers(429)),
        Damage::Resets => (Some(refused(Cause::Unreachable)), resets()),
        Damage::Hangs => (Some(Truth::Unknown(Cause::Timeout)), hangs()),
        Damage::Stalls => (Some(Truth::Unknown(Cause::Timeout)), stalls_body_after(0)),
        Damage::ServerError => (Some(Truth::Struggles), answers(503)),
        Damage::Page => (Some(refused(Cause::Protocol)), answers_html(200)),
        Damage::NotFoundPage => (Some(Truth::Broken(Reason::Missing)), answers_html(404)),
        Damage::OtherDigest => {
            let other: String = node.digest.chars().map(|c| if c == '1' { '2' } else { '1' }).collect();
            let (algorithm, _) = node.digest.split_once(':').unwrap();
            let other = format!("{algorithm}:{}", &other[algorithm.len() + 1..]);
            (Some(Truth::Broken(Reason::DigestMismatch)), claims_digest(&other.parse().unwrap()))
        }
        Damage::RangeIgnored => (None, ignores_range()),
        Damage::OtherRange => (None, answers_range(0, 0)),
        Damage::PassingNotFound => return (None, Some(registry.fault(here.times(1), answers(404)))),
        Damage::PassingServerError => return (None, Some(registry.fault(here.times(2), answers(503)))),
    };
    (truth, Some(registry.fault(here, effect)))
}

/// True if it can be done to an object, and proves the same whatever else there is.
pub fn fits(damage: Damage, node: &Node, is_tagged: bool) -> bool {
    match damage {
        // A tag is asked for first, and would name another digest.
        Damage::Altered => node.is_manifest() && !is_tagged,
        // The in-process registry parses manifests before it serves them, as distribution does.
        Damage::Flipped | Damage::Truncated | Damage::TruncatedUnderStaleCache => !node.is_manifest(),
        Damage::RangeIgnored | Damage::OtherRange => !node.is_manifest(),
        _ => true,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagDamage {
    Refused,
    Throttled,
    PassingNotFound,
    PassingServerError,
}

pub fn tag_damage() -> impl Strategy<Value = TagDamage> {
    use TagDamage::*;
    prop::sample::select(vec![Refused, Throttled, PassingNotFound, PassingServerError])
}

/// Does it to a tag.
pub fn inflict_on_tag(registry: &Registry, repository: &str, tag: &str, damage: TagDamage) -> (Option<Truth>, Fault) {
    let here = on_tag(tag).in_repository(repository);
    match damage {
        TagDamage::Refused => (Some(Truth::Unknown(Cause::Unauthorized)), registry.fault(here, answers(403))),
        TagDamage::Throttled => (Some(Truth::Unknown(Cause::RateLimited)), registry.fault(here, answers(429))),
        TagDamage::PassingNotFound => (None, registry.fault(here.times(1), answers(404))),
        TagDamage::PassingServerError => (None, registry.fault(here.times(2), answers(503))),
    }
}

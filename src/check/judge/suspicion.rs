//! Suspicions against an object.

use serde::{Deserialize, Serialize};

use crate::report::{Cause, Reason};

/// A suspicion against an object. Variants differ in what else may explain the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// 404 with an OCI error body (or HEAD's 404, which has none).
    Absent,
    /// 404 without an OCI error body, possibly from a proxy in front of the registry.
    AbsentUnsigned,
    /// The connection ended before the announced bytes had come.
    Cut,
    /// 5xx.
    ServerError,
    /// GET of a blob brought something other than its bytes: another status, an HTML page, an empty body, a redirect that
    /// leads nowhere, or a closed connection. With the cause to report if it is not accepted.
    Refused(Cause),
    /// The registry's length differs from the descriptor's size.
    Size,
    /// The same without `Docker-Content-Digest`, possibly from a proxy in front of the registry.
    SizeUnsigned,
    /// The bytes or `Docker-Content-Digest` contradict the digest.
    Digest,
    /// The bytes contradict the digest, in a response without `Docker-Content-Digest`.
    DigestUnsigned,
    /// The bytes are not a manifest.
    Malformed,
    /// The same without `Docker-Content-Digest`.
    MalformedUnsigned,
}

/// The relation of two bad responses for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// They agree.
    Same,
    /// They differ, but both count against the object.
    Different,
    /// An outage that began or ended between them may explain one.
    Mixed,
}

impl Suspicion {
    /// The reason of the failure, once it is accepted.
    pub fn reason(self) -> Reason {
        match self {
            Self::Absent | Self::AbsentUnsigned => Reason::Missing,
            Self::Cut | Self::ServerError | Self::Refused(_) => Reason::Unreadable,
            Self::Size | Self::SizeUnsigned => Reason::SizeMismatch,
            Self::Digest | Self::DigestUnsigned => Reason::DigestMismatch,
            Self::Malformed | Self::MalformedUnsigned => Reason::Malformed,
        }
    }

    /// The cause to report if it is not accepted.
    pub fn cause(self) -> Cause {
        match self {
            Self::Cut => Cause::Unreachable,
            Self::ServerError => Cause::ServerError,
            Self::Refused(cause) => cause,
            _ => Cause::Protocol,
        }
    }

    /// True if two suspicions agree. A 404 to HEAD has no body, so only the GETs that confirm it show its origin.
    pub fn same_as(self, other: Self) -> bool {
        self.reason() == other.reason() && (self == other || self.reason() != Reason::Unreadable)
    }

    /// The relation of two bad responses for one object, without a good one between them.
    pub fn with(self, later: Self) -> Pair {
        if self.same_as(later) {
            Pair::Same
        } else if self.may_be_the_registry_s() || later.may_be_the_registry_s() {
            Pair::Mixed
        } else {
            Pair::Different
        }
    }

    /// True if an outage of the registry also looks like this. It counts only if other objects are served.
    pub fn may_be_the_registry_s(self) -> bool {
        matches!(self, Self::ServerError | Self::Refused(_))
    }

    /// True if it contradicts a good response. A temporary error does not: one replica may give both.
    pub fn contradicts(self) -> bool {
        !self.may_be_the_registry_s()
    }

    /// True if the object is absent.
    pub fn is_absent(self) -> bool {
        self.reason() == Reason::Missing
    }

    /// True if the response may come from a proxy. It counts only if a neighbour is served.
    pub fn needs_neighbour(self) -> bool {
        matches!(self, Self::AbsentUnsigned | Self::SizeUnsigned | Self::DigestUnsigned | Self::MalformedUnsigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bad_responses_agree_differ_or_mix() {
        use Suspicion::*;
        for (earlier, later, expected) in [
            (Absent, Absent, Pair::Same),
            (AbsentUnsigned, Absent, Pair::Same),
            (Size, SizeUnsigned, Pair::Same),
            (Cut, Cut, Pair::Same),
            (ServerError, ServerError, Pair::Same),
            (Refused(Cause::Protocol), Refused(Cause::Protocol), Pair::Same),
            (Absent, Cut, Pair::Different),
            (Cut, Absent, Pair::Different),
            (Absent, Size, Pair::Different),
            (Size, Digest, Pair::Different),
            (Digest, Malformed, Pair::Different),
            (DigestUnsigned, Absent, Pair::Different),
            (Absent, ServerError, Pair::Mixed),
            (ServerError, Absent, Pair::Mixed),
            (Cut, ServerError, Pair::Mixed),
            (Cut, Refused(Cause::Unreachable), Pair::Mixed),
            (Size, Refused(Cause::Unauthorized), Pair::Mixed),
            (Refused(Cause::Protocol), ServerError, Pair::Mixed),
            (Refused(Cause::Unauthorized), Refused(Cause::Unreachable), Pair::Mixed),
        ] {
            assert_eq!(earlier.with(later), expected, "{earlier:?}, then {later:?}");
        }
    }
}

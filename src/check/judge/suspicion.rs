//! What can speak against an object.

use serde::{Deserialize, Serialize};

use crate::report::{Cause, Reason};

/// What speaks against an object, by how it can be explained otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// 404 with an OCI error body (or HEAD's 404, which has none).
    Absent,
    /// 404 without an OCI error body: a proxy in front may have made it.
    AbsentUnsigned,
    /// The connection ended before the promised bytes had come.
    Cut,
    /// 5xx.
    ServerError,
    /// Bytes of a blob were asked for by GET, and something else came: another status, a page for people, an empty body, a
    /// redirect that leads nowhere, the end of the connection. With what it is called if it is not accepted.
    Refused(Cause),
    /// The registry's length is not the descriptor's.
    Size,
    /// The same in an answer without `Docker-Content-Digest`: something in front may have made it.
    SizeUnsigned,
    /// The bytes or `Docker-Content-Digest` contradict the digest.
    Digest,
    /// The bytes contradict the digest in an answer without `Docker-Content-Digest`.
    DigestUnsigned,
    /// The bytes are not a manifest.
    Malformed,
    /// The same in an answer without `Docker-Content-Digest`.
    MalformedUnsigned,
}

/// What two bad answers about one object mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// They say the same.
    Same,
    /// It is bad in two ways, and so it is broken if it is never good.
    Different,
    /// One of them may be the registry's trouble: an outage may have begun or ended between the two.
    Mixed,
}

impl Suspicion {
    /// The failure that it becomes once it is accepted.
    pub fn reason(self) -> Reason {
        match self {
            Self::Absent | Self::AbsentUnsigned => Reason::Missing,
            Self::Cut | Self::ServerError | Self::Refused(_) => Reason::Unreadable,
            Self::Size | Self::SizeUnsigned => Reason::SizeMismatch,
            Self::Digest | Self::DigestUnsigned => Reason::DigestMismatch,
            Self::Malformed | Self::MalformedUnsigned => Reason::Malformed,
        }
    }

    /// What it is called if it is not accepted.
    pub fn cause(self) -> Cause {
        match self {
            Self::Cut => Cause::Unreachable,
            Self::ServerError => Cause::ServerError,
            Self::Refused(cause) => cause,
            _ => Cause::Protocol,
        }
    }

    /// True if the two say the same: HEAD's 404 has no body, and the GETs that confirm it tell who said it.
    pub fn same_as(self, other: Self) -> bool {
        self.reason() == other.reason() && (self == other || self.reason() != Reason::Unreadable)
    }

    /// What two bad answers about one object, with no good one between them, mean together.
    pub fn with(self, later: Self) -> Pair {
        match () {
            () if self.same_as(later) => Pair::Same,
            () if self.may_be_the_registry_s() || later.may_be_the_registry_s() => Pair::Mixed,
            () => Pair::Different,
        }
    }

    /// True if a registry in trouble answers so for what it holds: it counts only where others are served.
    pub fn may_be_the_registry_s(self) -> bool {
        matches!(self, Self::ServerError | Self::Refused(_))
    }

    /// True if it and a good answer contradict each other. Trouble that passes does not: the same replica may have both.
    pub fn contradicts(self) -> bool {
        !self.may_be_the_registry_s()
    }

    /// True if it says that the object is absent.
    pub fn is_absent(self) -> bool {
        self.reason() == Reason::Missing
    }

    /// True if nothing shows that it was the registry who answered: it counts only beside a neighbour that is served.
    pub fn needs_neighbour(self) -> bool {
        matches!(self, Self::AbsentUnsigned | Self::SizeUnsigned | Self::DigestUnsigned | Self::MalformedUnsigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bad_answers_are_one_fault_two_faults_or_an_outage() {
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

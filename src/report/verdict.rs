//! The one word that a report comes down to.

use super::{Outcome, Report};

/// What a report comes down to. The order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything was checked, and nothing failed.
    Intact,
    /// Nothing failed, and there was no image to check.
    Empty,
    /// Nothing failed, but something could not be judged.
    Unverified,
    /// At least one object is known bad.
    Broken,
}

impl Verdict {
    /// The verdict of one report.
    pub fn of(report: &Report) -> Self {
        if !report.failures.is_empty() {
            Self::Broken
        } else if !report.unverified.is_empty() || report.outcome != Outcome::Complete {
            Self::Unverified
        } else if report.empty {
            Self::Empty
        } else {
            Self::Intact
        }
    }

    /// The verdict as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Empty => "empty",
            Self::Unverified => "unverified",
            Self::Broken => "broken",
        }
    }
}

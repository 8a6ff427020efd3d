//! Whether a catalog is trusted, by what earlier sweeps read. A registry that lost its volume answers with a short list, or
//! an empty one, as readily as one from which repositories were deleted.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::rfc3339;
use crate::oci::Digest;

/// Below this number of repositories, deleting a single one is too large a share of the list to suspect anything.
const SMALLEST_JUDGED: u64 = 5;
/// A shorter list that stays unchanged this long is accepted: somebody would have noticed a lost volume.
const ACCEPTED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of a registry's catalog from sweep to sweep. Counted before any filter and for all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownCatalog {
    /// Number of repositories in the last catalog that was accepted as complete; `None` before the first.
    pub repositories: Option<u64>,
    /// A shorter catalog that is not accepted yet.
    pub shorter: Option<ShorterCatalog>,
}

/// A catalog that lost most of its repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShorterCatalog {
    /// Digest of its names, to recognize it by.
    pub names: Digest,
    /// When it was first read.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
}

/// What a catalog that was read to its end proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogTrust {
    /// It is complete: a repository that it does not name does not exist.
    Complete,
    /// It has lost most of its repositories, of which there were `before`: it is incomplete, and proves no absence.
    Shrunk {
        /// Repositories of the last catalog that was accepted.
        before: u64,
    },
    /// It is empty, and there are open failures: it resolves none of them yet.
    Emptied,
}

impl KnownCatalog {
    /// Judges a catalog that was read to its end at `now`, and returns what is known of it from then on.
    pub fn judge(&self, names: &[String], has_failures: bool, now: SystemTime) -> (CatalogTrust, Self) {
        let count = names.len() as u64;
        let accepted = (CatalogTrust::Complete, Self { repositories: Some(count), shorter: None });
        let trust = match self.repositories {
            Some(before) if before >= SMALLEST_JUDGED && count.saturating_mul(2) < before => {
                CatalogTrust::Shrunk { before }
            }
            _ if count == 0 && has_failures => CatalogTrust::Emptied,
            _ => return accepted,
        };
        let names = fingerprint(names);
        let since = self.shorter.as_ref().filter(|shorter| shorter.names == names).map_or(now, |shorter| shorter.since);
        // A clock that was set back starts the time again.
        let since = since.min(now);
        if now.duration_since(since).is_ok_and(|unchanged| unchanged >= ACCEPTED_AFTER) {
            return accepted;
        }
        (trust, Self { repositories: self.repositories, shorter: Some(ShorterCatalog { names, since }) })
    }
}

/// A digest of the names in any order.
fn fingerprint(names: &[String]) -> Digest {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    let mut bytes = Vec::new();
    for name in sorted {
        // With its length, since a registry may put any character into a name.
        bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    Digest::sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + HOUR * (1000 + hours)
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("r{n}")).collect()
    }

    fn after(count: u64) -> KnownCatalog {
        KnownCatalog { repositories: Some(count), shorter: None }
    }

    #[test]
    fn fewer_than_half_of_at_least_five_is_shrunk() {
        for (before, count, is_shrunk) in [
            (5, 2, true),
            (5, 3, false),
            (6, 3, false),
            (6, 2, true),
            (4, 0, false),
            (4, 1, false),
            (1000, 0, true),
            (1000, 500, false),
            (1000, 499, true),
            (5, 9, false),
        ] {
            let (trust, known) = after(before).judge(&names(count), false, at(0));
            let expected = if is_shrunk { CatalogTrust::Shrunk { before } } else { CatalogTrust::Complete };
            assert_eq!(trust, expected, "{before} {count}");
            assert_eq!(known.repositories, Some(if is_shrunk { before } else { count as u64 }), "{before} {count}");
        }
        assert_eq!(KnownCatalog::default().judge(&[], false, at(0)), (CatalogTrust::Complete, after(0)));
    }

    #[test]
    fn a_shorter_list_is_accepted_once_it_is_unchanged_for_a_day() {
        let shrunk = CatalogTrust::Shrunk { before: 8 };
        let (trust, known) = after(8).judge(&names(3), true, at(0));
        assert_eq!(trust, shrunk);
        let reversed: Vec<String> = names(3).into_iter().rev().collect();
        let (trust, known) = known.judge(&reversed, true, at(23));
        assert_eq!(trust, shrunk, "the order does not matter, and 23 hours are no day");
        assert_eq!(known.clone().judge(&names(2), true, at(24)).0, shrunk, "another list begins again");
        assert_eq!(known.clone().judge(&names(8), true, at(24)), (CatalogTrust::Complete, after(8)));
        assert_eq!(known.judge(&names(3), true, at(24)), (CatalogTrust::Complete, after(3)));
    }

    #[test]
    fn an_empty_catalog_with_open_failures_waits_as_long_however_few_there_were() {
        for before in [KnownCatalog::default(), after(0), after(1), after(4)] {
            let (trust, known) = before.judge(&[], true, at(0));
            assert_eq!(trust, CatalogTrust::Emptied, "{before:?}");
            assert_eq!(known.clone().judge(&[], true, at(23)).0, CatalogTrust::Emptied);
            assert_eq!(known.judge(&[], true, at(24)), (CatalogTrust::Complete, after(0)));
            assert_eq!(before.judge(&[], false, at(0)).0, CatalogTrust::Complete);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_starts_the_day_again() {
        let (_, known) = after(8).judge(&names(3), true, at(30));
        let (trust, known) = known.judge(&names(3), true, at(0));
        assert_eq!((trust, known.shorter.unwrap().since), (CatalogTrust::Shrunk { before: 8 }, at(0)));
    }
}

//! Divides the repositories of a registry between several processes.
//!
//! Each repository belongs to one shard, by rendezvous hashing: every shard has a weight for the repository's name, and the
//! highest wins. Shards need not know each other, and an additional shard takes an equal part from each other one and moves
//! nothing else. The assignment is the same in every version, since two versions run side by side during an update.

use std::fmt;

/// Maximum number of shards; each costs a weight per name.
pub const MAX_COUNT: u32 = 1024;

/// One of several shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// An invalid shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// The count is 0 or too large.
    #[error("invalid shard count {0} (expected 1 to {MAX_COUNT})")]
    Count(u32),
    /// The index is too large.
    #[error("shard {index} of {count} does not exist: indexes run from 0 to {}", count - 1)]
    Index {
        /// The index.
        index: u32,
        /// The number of shards.
        count: u32,
    },
}

impl Shard {
    /// Shard `index`, from 0, of `count`.
    ///
    /// # Errors
    ///
    /// [`ShardError`] if there is no such shard.
    pub fn new(index: u32, count: u32) -> Result<Self, ShardError> {
        if !(1..=MAX_COUNT).contains(&count) {
            return Err(ShardError::Count(count));
        }
        if index >= count {
            return Err(ShardError::Index { index, count });
        }
        Ok(Self { index, count })
    }

    /// Its index, starting at 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// True without other shards.
    pub fn is_only_one(self) -> bool {
        self.count == 1
    }

    /// True if this shard checks a repository.
    pub fn holds(self, repository: &str) -> bool {
        let name = fnv1a(repository.as_bytes());
        let weight = |shard: u32| mix(name ^ mix(u64::from(shard) + 1));
        let own = weight(self.index);
        // The first of equal weights wins.
        (0..self.index).all(|other| weight(other) < own)
            && (self.index + 1..self.count).all(|other| weight(other) <= own)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.index, self.count)
    }
}

/// FNV-1a of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finalizer of splitmix64: every bit of the result depends on every bit of the input.
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owners(repository: &str, count: u32) -> Vec<u32> {
        (0..count).filter(|index| Shard::new(*index, count).unwrap().holds(repository)).collect()
    }

    fn owner(repository: &str, count: u32) -> u32 {
        let owners = owners(repository, count);
        assert_eq!(owners.len(), 1, "{repository} of {count}: {owners:?}");
        owners[0]
    }

    #[test]
    fn assignment_is_the_same_in_every_version() {
        let names = ["infra-ci", "library/alpine", "team/app", "team/app-2", "a", "a/b/c", ""];
        let of = |count: u32| names.map(|name| owner(name, count));
        assert_eq!(of(1), [0; 7]);
        assert_eq!(of(2), [1, 0, 1, 0, 1, 1, 1]);
        assert_eq!(of(3), [1, 0, 2, 2, 2, 1, 1]);
        assert_eq!(of(7), [3, 3, 6, 2, 2, 3, 3]);
        assert_eq!(of(100), [21, 52, 97, 2, 2, 88, 69]);
    }

    #[test]
    fn hash_matches_published_values() {
        assert_eq!(
            (fnv1a(b""), fnv1a(b"a"), fnv1a(b"foobar")),
            (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8)
        );
    }

    #[test]
    fn shards_are_even_and_growth_moves_little() {
        let names: Vec<String> = (0..70_000).map(|number| format!("team-{}/service-{number}", number % 70)).collect();
        for count in 1..=7 {
            let before: Vec<u32> = names.iter().map(|name| owner(name, count)).collect();
            let after: Vec<u32> = names.iter().map(|name| owner(name, count + 1)).collect();
            for index in 0..count {
                let share = before.iter().filter(|owner| **owner == index).count() as f64 / names.len() as f64;
                assert!((share * f64::from(count) - 1.0).abs() < 0.05, "shard {index} of {count} has {share}");
            }
            let moved: Vec<u32> =
                before.iter().zip(&after).filter(|(before, after)| before != after).map(|(_, after)| *after).collect();
            assert!(moved.iter().all(|owner| *owner == count), "only to the new shard");
            let share = moved.len() as f64 / names.len() as f64 * f64::from(count + 1);
            assert!((share - 1.0).abs() < 0.05, "{count} and one more: {share} of its part");
        }
    }

    #[test]
    fn invalid_shards_are_rejected() {
        assert_eq!(Shard::new(0, 0), Err(ShardError::Count(0)));
        assert_eq!(Shard::new(0, MAX_COUNT + 1), Err(ShardError::Count(MAX_COUNT + 1)));
        let error = Shard::new(3, 3).unwrap_err().to_string();
        assert_eq!(error, "shard 3 of 3 does not exist: indexes run from 0 to 2");
    }

    proptest! {
        #[test]
        fn every_name_has_one_shard(name in "[a-z0-9]{1,12}([._/-][a-z0-9]{1,12}){0,4}", count in 1_u32..50) {
            prop_assert_eq!(owners(&name, count).len(), 1);
        }
    }
}

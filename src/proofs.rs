//! When each blob was proved by its bytes, so that it is proved again in time and not everything at once.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::{self, ByteEvidence};
use crate::oci::{Digest, Repository};

/// How a blob is proved, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The registry says that it is there, and how long it is.
    Head,
    /// Its last byte came.
    LastByte,
    /// All of it came, and hashes to its digest.
    Content,
}

/// Decides how each blob of a registry is proved in a sweep, and remembers how it was.
///
/// Every blob has its own moment within a period, by a hash of its name, and is proved in the last sweep before that moment
/// comes round: at least once a period, and evenly spread over the sweeps. Its last byte is read at once when it never was
/// read; hashing everything at once would be too much, so that the first time has its moment too.
#[derive(Debug)]
pub struct Proofs {
    byte: Rhythm,
    content: Rhythm,
    /// Between two sweeps; `None`: there is no next one.
    interval: Option<Duration>,
    /// When this began to remember, as Unix time in seconds.
    since: u32,
}

/// How often one kind of proof is wanted.
#[derive(Debug)]
enum Rhythm {
    Never,
    InEverySweep,
    Within(Duration, Times),
}

/// Unix time in seconds by hash of repository and digest: a few bytes a blob, whatever the names.
type Times = Mutex<HashMap<u64, u32, BuildHasherDefault<DefaultHasher>>>;

impl Rhythm {
    fn of(period: Option<Duration>) -> Self {
        match period {
            None => Self::Never,
            Some(Duration::ZERO) => Self::InEverySweep,
            Some(period) => Self::Within(period, Times::default()),
        }
    }

    /// `first`: as when a blob counts that was never proved; `None`: it is due.
    fn is_due(&self, key: u64, first: Option<u32>, interval: Duration, now: u32) -> bool {
        let (period, times) = match self {
            Self::Never => return false,
            Self::InEverySweep => return true,
            Self::Within(period, times) => (period, times),
        };
        let Some(proved_at) = lock(times).get(&key).copied().or(first) else { return true };
        // A sweep may come up to an interval before the moment, the next one up to an interval after it.
        let (period, interval) = (period.saturating_sub(interval).as_secs(), interval.as_secs());
        if period <= interval {
            return true;
        }
        let offset = key % period;
        let rounds = (u64::from(proved_at) + interval + period - offset) / period;
        rounds * period + offset <= u64::from(now) + interval
    }

    fn proved(&self, key: u64, now: u32) {
        if let Self::Within(_, times) = self {
            lock(times).insert(key, now);
        }
    }

    fn forget_unasked(&self, interval: Duration, now: u32) {
        if let Self::Within(period, times) = self {
            let oldest = u64::from(now).saturating_sub(2 * (*period + interval).as_secs());
            lock(times).retain(|_, proved_at| u64::from(*proved_at) >= oldest);
        }
    }
}

fn lock(times: &Times) -> MutexGuard<'_, HashMap<u64, u32, BuildHasherDefault<DefaultHasher>>> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proofs {
    /// For a registry that is swept every `interval` from `now` on.
    pub fn recurring(wanted: &config::Evidence, interval: Duration, now: SystemTime) -> Self {
        Self {
            byte: Rhythm::of(byte_period(wanted)),
            content: Rhythm::of(wanted.content),
            interval: Some(interval),
            since: seconds(now),
        }
    }

    /// For one sweep without a past: every blob counts as never read, and is hashed only if every sweep is to do so.
    pub fn one_shot(wanted: &config::Evidence) -> Self {
        let in_every_sweep =
            |period: Option<Duration>| if period.is_some() { Rhythm::InEverySweep } else { Rhythm::Never };
        Self {
            byte: in_every_sweep(byte_period(wanted)),
            content: in_every_sweep(wanted.content.filter(Duration::is_zero)),
            interval: None,
            since: 0,
        }
    }

    /// How the blob is to be proved in a sweep that runs `now`.
    pub fn wanted(&self, repository: &Repository, digest: &Digest, now: SystemTime) -> Evidence {
        let (key, now) = (key(repository, digest), seconds(now));
        let interval = self.interval.unwrap_or_default();
        match () {
            () if self.content.is_due(key, Some(self.since), interval, now) => Evidence::Content,
            () if self.byte.is_due(key, None, interval, now) => Evidence::LastByte,
            () => Evidence::Head,
        }
    }

    /// Notes how the blob was proved.
    pub fn proved(&self, repository: &Repository, digest: &Digest, evidence: Evidence, now: SystemTime) {
        let (key, now) = (key(repository, digest), seconds(now));
        if evidence >= Evidence::LastByte {
            self.byte.proved(key, now);
        }
        if evidence >= Evidence::Content {
            self.content.proved(key, now);
        }
    }

    /// Forgets blobs that were not proved for two periods: nothing asks for them any more.
    pub fn forget_unasked(&self, now: SystemTime) {
        let interval = self.interval.unwrap_or_default();
        self.byte.forget_unasked(interval, seconds(now));
        self.content.forget_unasked(interval, seconds(now));
    }
}

fn byte_period(wanted: &config::Evidence) -> Option<Duration> {
    match wanted.byte {
        ByteEvidence::Off => None,
        ByteEvidence::Within(period) => Some(period),
    }
}

fn key(repository: &Repository, digest: &Digest) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one((repository, digest))
}

fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const QUARTER: Duration = Duration::from_secs(15 * 60);

    fn wanted(byte: ByteEvidence, content: Option<Duration>) -> config::Evidence {
        config::Evidence { byte, content, content_budget: None }
    }

    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_776_589_200)
    }

    /// How many of 2,000 blobs were proved by some evidence in each of four days' sweeps; none goes unproved for a day.
    fn proved_in_each_sweep(proofs: &Proofs, evidence: Evidence) -> Vec<usize> {
        let repository: Repository = "a".parse().unwrap();
        let blobs: Vec<Digest> = (0..2_000u32).map(|n| Digest::sha256(&n.to_be_bytes())).collect();
        let mut last_proved = vec![start(); blobs.len()];
        let sweep = |sweep| {
            let now = start() + QUARTER * sweep;
            let mut count = 0;
            for (blob, last) in blobs.iter().zip(&mut last_proved) {
                let wanted = proofs.wanted(&repository, blob, now);
                proofs.proved(&repository, blob, wanted, now);
                if wanted == evidence {
                    *last = now;
                    count += 1;
                }
                assert!(now.duration_since(*last).unwrap() <= DAY, "a blob went unproved for more than a day");
            }
            proofs.forget_unasked(now);
            count
        };
        (0..4 * 96).map(sweep).collect()
    }

    /// A blob a sweep, had all days the same share of them.
    const EVEN: usize = 2_000 / 96;

    #[test]
    fn each_last_byte_is_read_at_once_then_daily_and_evenly() {
        let proofs = Proofs::recurring(&wanted(ByteEvidence::Within(DAY), None), QUARTER, start());
        let reads = proved_in_each_sweep(&proofs, Evidence::LastByte);
        assert_eq!(reads[0], 2_000);
        assert!(reads[1..].iter().all(|&count| count < EVEN * 2), "{reads:?}");
        assert!(reads[97..].iter().all(|&count| count > EVEN / 2 - 4), "{reads:?}");
    }

    #[test]
    fn each_blob_is_hashed_daily_and_evenly_from_the_start() {
        let proofs = Proofs::recurring(&wanted(ByteEvidence::Off, Some(DAY)), QUARTER, start());
        let reads = proved_in_each_sweep(&proofs, Evidence::Content);
        assert!(reads.iter().all(|&count| count < EVEN * 2), "{reads:?}");
        assert!(reads[1..].iter().all(|&count| count > EVEN / 2 - 4), "{reads:?}");
    }

    #[test]
    fn never_and_always() {
        let (repository, digest) = ("a".parse().unwrap(), Digest::sha256(b""));
        let evidence = |proofs: &Proofs| {
            proofs.proved(&repository, &digest, Evidence::Content, start());
            proofs.wanted(&repository, &digest, start())
        };
        let (off, always) = (ByteEvidence::Off, ByteEvidence::Within(Duration::ZERO));
        assert_eq!(evidence(&Proofs::recurring(&wanted(off, None), QUARTER, start())), Evidence::Head);
        assert_eq!(evidence(&Proofs::recurring(&wanted(always, None), QUARTER, start())), Evidence::LastByte);
        assert_eq!(
            evidence(&Proofs::recurring(&wanted(off, Some(Duration::ZERO)), QUARTER, start())),
            Evidence::Content
        );
        assert_eq!(evidence(&Proofs::one_shot(&wanted(ByteEvidence::Within(DAY), Some(DAY)))), Evidence::LastByte);
        assert_eq!(evidence(&Proofs::one_shot(&wanted(off, Some(Duration::ZERO)))), Evidence::Content);
    }
}

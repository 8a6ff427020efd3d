//! When each blob was proved by its bytes, so that it is proved again in time and not everything at once.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustc_hash::FxBuildHasher;
use sha2::Digest as _;

use crate::config::{self, ByteEvidence};
use crate::oci::{Digest, Repository};
use crate::report::Coverage;

/// How a blob is proved, from the least to the most.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The registry says that it is there, and how long it is.
    #[default]
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
pub struct EvidenceSchedule {
    byte: Rhythm,
    content: Rhythm,
    /// Between two sweeps; `None`: there is no next one, and nothing is remembered.
    interval: Option<Duration>,
    /// As when a blob counts for its content that was never hashed, as Unix time in seconds.
    since: u32,
    times: Arc<Mutex<Times>>,
    /// Blobs that were found whole in the sweep that runs or ran last, by what holds of them.
    held: [AtomicU64; 3],
}

/// How often one kind of proof is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rhythm {
    Never,
    InEverySweep,
    Within(Duration),
}

/// By hash of repository and digest: a few bytes a blob, whatever the names.
type Times = HashMap<u64, EvidenceTimes, FxBuildHasher>;

/// When a blob was last proved, as Unix time in seconds; 0: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceTimes {
    /// By its last byte, or more.
    pub byte: u32,
    /// By all of it.
    pub content: u32,
}

impl Rhythm {
    fn of(period: Option<Duration>) -> Self {
        match period {
            None => Self::Never,
            Some(Duration::ZERO) => Self::InEverySweep,
            Some(period) => Self::Within(period),
        }
    }

    /// `known`: the blob's key, and when it was proved last, or as when one counts that never was; `None`: it is due. Asked
    /// for only where it matters, since a key is a hash.
    fn is_due(self, known: impl FnOnce() -> (u64, Option<u32>), interval: Duration, now: u32) -> bool {
        let period = match self {
            Self::Never => return false,
            Self::InEverySweep => return true,
            Self::Within(period) => period,
        };
        let (key, Some(proved_at)) = known() else { return true };
        // A sweep may come up to an interval before the moment, the next one up to an interval after it.
        let (period, interval) = (period.saturating_sub(interval).as_secs(), interval.as_secs());
        if period <= interval {
            return true;
        }
        let offset = key % period;
        let rounds = (u64::from(proved_at) + interval + period - offset) / period;
        rounds * period + offset <= u64::from(now) + interval
    }

    /// True if a proof of that time still holds.
    fn holds(self, proved_at: impl FnOnce() -> u32, now: u32) -> bool {
        match self {
            Self::Never | Self::InEverySweep => false,
            Self::Within(period) => {
                let proved_at = proved_at();
                proved_at > 0 && u64::from(now.saturating_sub(proved_at)) <= period.as_secs()
            }
        }
    }

    /// A proof from before this time is over: nothing asked for one for two periods.
    fn over(self, interval: Duration, now: u32) -> u32 {
        let period = match self {
            Self::Never => return u32::MAX,
            Self::InEverySweep => Duration::ZERO,
            Self::Within(period) => period,
        };
        let over = u64::from(now).saturating_sub(2 * (period + interval).as_secs());
        u32::try_from(over).unwrap_or(u32::MAX)
    }
}

impl EvidenceSchedule {
    /// For a registry that is swept every `interval` from `now` on.
    pub fn recurring(wanted: &config::Evidence, interval: Duration, now: SystemTime) -> Self {
        Self {
            byte: Rhythm::of(byte_period(wanted)),
            content: Rhythm::of(wanted.content),
            interval: Some(interval),
            since: seconds(now),
            times: Arc::default(),
            held: Default::default(),
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
            times: Arc::default(),
            held: Default::default(),
        }
    }

    /// The same past under other settings. A sweep that still runs under the old ones adds to it.
    pub fn under(&self, wanted: &config::Evidence, interval: Duration) -> Self {
        Self {
            byte: Rhythm::of(byte_period(wanted)),
            content: Rhythm::of(wanted.content),
            interval: Some(interval),
            since: self.since,
            times: Arc::clone(&self.times),
            held: Default::default(),
        }
    }

    /// With a past that was kept elsewhere, which began at `since`.
    pub fn with_past(self, since: SystemTime, past: impl IntoIterator<Item = (u64, EvidenceTimes)>) -> Self {
        self.times().extend(past);
        Self { since: self.since.min(seconds(since)), ..self }
    }

    /// Since when the past reaches back.
    pub fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(self.since))
    }

    /// Blobs that were proved by their bytes at this time or later: what is to be kept elsewhere.
    pub fn proved_since(&self, time: SystemTime) -> Vec<(u64, EvidenceTimes)> {
        let time = seconds(time);
        self.times().iter().filter(|(_, it)| it.byte.max(it.content) >= time).map(|(key, it)| (*key, *it)).collect()
    }

    /// When the blob was last proved.
    pub fn proved_at(&self, repository: &Repository, digest: &Digest) -> EvidenceTimes {
        self.times().get(&key(repository, digest)).copied().unwrap_or_default()
    }

    fn known(&self, key: u64) -> (u64, EvidenceTimes) {
        (key, self.times().get(&key).copied().unwrap_or_default())
    }

    /// How the blob is to be proved in a sweep that runs `now`.
    pub fn wanted(&self, repository: &Repository, digest: &Digest, now: SystemTime) -> Evidence {
        let (interval, now) = (self.interval.unwrap_or_default(), seconds(now));
        let known = LazyCell::new(|| self.known(key(repository, digest)));
        let at = |time: u32| Some(time).filter(|&time| time > 0);
        let content = || (known.0, at(known.1.content).or(Some(self.since)));
        match () {
            () if self.content.is_due(content, interval, now) => Evidence::Content,
            () if self.byte.is_due(|| (known.0, at(known.1.byte)), interval, now) => Evidence::LastByte,
            () => Evidence::Head,
        }
    }

    /// True if a manifest that was hashed at this time is to be hashed again in a sweep that runs `now`: as often as the
    /// last bytes of blobs are read, or their contents are hashed, whichever is more often; in every sweep if neither is.
    pub fn is_manifest_due(
        &self,
        repository: &Repository,
        digest: &Digest,
        hashed_at: SystemTime,
        now: SystemTime,
    ) -> bool {
        let (hashed_at, now) = (seconds(hashed_at), seconds(now));
        let known = || (key(repository, digest), Some(hashed_at));
        let is_due = |rhythm: Rhythm| rhythm.is_due(known, self.interval.unwrap_or_default(), now);
        (self.byte, self.content) == (Rhythm::Never, Rhythm::Never) || is_due(self.byte) || is_due(self.content)
    }

    /// True if blobs are hashed within a period, and not all of them in every sweep or never.
    pub fn hash_in_turn(&self) -> bool {
        matches!(self.content, Rhythm::Within(_))
    }

    /// How the blob is to be proved where it can be hashed beside the sweep; and when it was hashed last, as Unix time in
    /// seconds, if that is due again.
    pub fn wanted_beside(&self, repository: &Repository, digest: &Digest, now: SystemTime) -> (Evidence, Option<u32>) {
        let wanted = self.wanted(repository, digest, now);
        if wanted != Evidence::Content || !self.hash_in_turn() {
            return (wanted, None);
        }
        let (key, proved) = self.known(key(repository, digest));
        let byte_proved = Some(proved.byte).filter(|&time| time > 0);
        let is_due = self.byte.is_due(|| (key, byte_proved), self.interval.unwrap_or_default(), seconds(now));
        (if is_due { Evidence::LastByte } else { Evidence::Head }, Some(proved.content))
    }

    /// Notes that a blob was hashed beside the sweeps, and is whole.
    pub fn hashed(&self, repository: &Repository, digest: &Digest, now: SystemTime) {
        let now = seconds(now);
        self.times().insert(key(repository, digest), EvidenceTimes { byte: now, content: now });
    }

    /// When the blob was last hashed and found whole; `None`: it is not known that it ever was.
    pub fn hashed_at(&self, repository: &Repository, digest: &Digest) -> Option<SystemTime> {
        let proved = self.times().get(&key(repository, digest)).copied().unwrap_or_default();
        (proved.content > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(proved.content)))
    }

    /// Notes how the blob was proved.
    pub fn proved(&self, repository: &Repository, digest: &Digest, evidence: Evidence, now: SystemTime) {
        let now = seconds(now);
        let known = LazyCell::new(|| self.known(key(repository, digest)));
        if evidence >= Evidence::LastByte && self.interval.is_some() {
            let (key, last) = *known;
            let content = if evidence == Evidence::Content { now } else { last.content };
            self.times().insert(key, EvidenceTimes { byte: now, content });
        }
        let held = match () {
            () if evidence == Evidence::Content || self.content.holds(|| known.1.content, now) => Evidence::Content,
            () if evidence == Evidence::LastByte || self.byte.holds(|| known.1.byte, now) => Evidence::LastByte,
            () => Evidence::Head,
        };
        self.held[held as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a sweep begins, whose blobs are counted afresh.
    pub fn begin(&self) {
        self.held.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// How the blobs are proved that the sweep found whole which runs or ran last.
    pub fn coverage(&self) -> Coverage {
        let [head, byte, content] = [0, 1, 2].map(|index| self.held[index].load(Ordering::Relaxed));
        Coverage { head, byte, content }
    }

    /// Forgets blobs that were not proved for two periods: nothing asks for them any more.
    pub fn forget_unasked(&self, now: SystemTime) {
        let over = self.over(now);
        self.times().retain(|_, it| it.byte >= over.byte || it.content >= over.content);
    }

    /// A blob that was last proved before both of these times is forgotten.
    pub fn over(&self, now: SystemTime) -> EvidenceTimes {
        let (interval, now) = (self.interval.unwrap_or_default(), seconds(now));
        EvidenceTimes { byte: self.byte.over(interval, now), content: self.content.over(interval, now) }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn byte_period(wanted: &config::Evidence) -> Option<Duration> {
    match wanted.byte {
        ByteEvidence::Off => None,
        ByteEvidence::Within(period) => Some(period),
    }
}

/// The same in every version of this program, since what is kept refers to it. Nobody can make two blobs share a key, of
/// which one would then count as proved by the other's bytes.
fn key(repository: &Repository, digest: &Digest) -> u64 {
    let hash =
        sha2::Sha256::new().chain_update(repository.as_bytes()).chain_update([0]).chain_update(digest.as_bytes());
    hash.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
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
    fn blobs_per_sweep(schedule: &EvidenceSchedule, evidence: Evidence) -> Vec<usize> {
        let repository: Repository = "a".parse().unwrap();
        let blobs: Vec<Digest> = (0..2_000u32).map(|n| Digest::sha256(&n.to_be_bytes())).collect();
        let mut last_proved = vec![start(); blobs.len()];
        let sweep = |sweep| {
            let now = start() + QUARTER * sweep;
            let mut count = 0;
            for (blob, last) in blobs.iter().zip(&mut last_proved) {
                let wanted = schedule.wanted(&repository, blob, now);
                schedule.proved(&repository, blob, wanted, now);
                if wanted == evidence {
                    *last = now;
                    count += 1;
                }
                assert!(now.duration_since(*last).unwrap() <= DAY, "a blob went unproved for more than a day");
            }
            schedule.forget_unasked(now);
            count
        };
        (0..4 * 96).map(sweep).collect()
    }

    /// A blob a sweep, had all days the same share of them.
    const EVEN: usize = 2_000 / 96;

    #[test]
    fn each_last_byte_is_read_at_once_then_daily_and_evenly() {
        let schedule = EvidenceSchedule::recurring(&wanted(ByteEvidence::Within(DAY), None), QUARTER, start());
        let reads = blobs_per_sweep(&schedule, Evidence::LastByte);
        assert_eq!(reads[0], 2_000);
        assert!(reads[1..].iter().all(|&count| count < EVEN * 2), "{reads:?}");
        assert!(reads[97..].iter().all(|&count| count > EVEN / 2 - 4), "{reads:?}");
    }

    #[test]
    fn each_blob_is_hashed_daily_and_evenly_from_the_start() {
        let schedule = EvidenceSchedule::recurring(&wanted(ByteEvidence::Off, Some(DAY)), QUARTER, start());
        let reads = blobs_per_sweep(&schedule, Evidence::Content);
        assert!(reads.iter().all(|&count| count < EVEN * 2), "{reads:?}");
        assert!(reads[1..].iter().all(|&count| count > EVEN / 2 - 4), "{reads:?}");
    }

    #[test]
    fn never_and_always() {
        let (repository, digest) = ("a".parse().unwrap(), Digest::sha256(b""));
        let evidence = |schedule: &EvidenceSchedule| {
            schedule.proved(&repository, &digest, Evidence::Content, start());
            schedule.wanted(&repository, &digest, start())
        };
        let (off, always) = (ByteEvidence::Off, ByteEvidence::Within(Duration::ZERO));
        assert_eq!(evidence(&EvidenceSchedule::recurring(&wanted(off, None), QUARTER, start())), Evidence::Head);
        assert_eq!(evidence(&EvidenceSchedule::recurring(&wanted(always, None), QUARTER, start())), Evidence::LastByte);
        assert_eq!(
            evidence(&EvidenceSchedule::recurring(&wanted(off, Some(Duration::ZERO)), QUARTER, start())),
            Evidence::Content
        );
        assert_eq!(
            evidence(&EvidenceSchedule::one_shot(&wanted(ByteEvidence::Within(DAY), Some(DAY)))),
            Evidence::LastByte
        );
        assert_eq!(evidence(&EvidenceSchedule::one_shot(&wanted(off, Some(Duration::ZERO)))), Evidence::Content);
    }

    #[test]
    fn the_past_goes_on_under_other_settings_and_in_another_process() {
        let (repository, digest) = ("a".parse().unwrap(), Digest::sha256(b""));
        let daily = wanted(ByteEvidence::Within(DAY), None);
        let schedule = EvidenceSchedule::recurring(&daily, QUARTER, start());
        schedule.proved(&repository, &digest, Evidence::LastByte, start());
        let later = start() + QUARTER;
        let changed = schedule.under(&wanted(ByteEvidence::Within(3 * DAY), None), QUARTER);
        let kept = schedule.proved_since(start());
        assert_eq!(kept.len(), 1);
        assert!(schedule.proved_since(later).is_empty());
        let elsewhere = EvidenceSchedule::recurring(&daily, QUARTER, later).with_past(schedule.since(), kept);
        assert_eq!(elsewhere.since(), start());
        for schedule in [changed, elsewhere] {
            assert_eq!(schedule.wanted(&repository, &digest, later), Evidence::Head);
        }
        assert_eq!(
            EvidenceSchedule::recurring(&daily, QUARTER, later).wanted(&repository, &digest, later),
            Evidence::LastByte
        );
    }

    #[test]
    fn a_blob_counts_as_what_holds_of_it_that_proves_most() {
        let repository: Repository = "a".parse().unwrap();
        let schedule = EvidenceSchedule::recurring(&wanted(ByteEvidence::Within(DAY), Some(2 * DAY)), QUARTER, start());
        let sweep = |all: [(&[u8], Evidence); 3], now| {
            schedule.begin();
            for (name, evidence) in all {
                schedule.proved(&repository, &Digest::sha256(name), evidence, now);
            }
            schedule.coverage()
        };
        let (head, byte, content) = (Evidence::Head, Evidence::LastByte, Evidence::Content);
        let first = sweep([(b"x", content), (b"y", byte), (b"z", head)], start());
        assert_eq!(first, Coverage { head: 1, byte: 1, content: 1 });
        let all = |evidence| [(&b"x"[..], evidence), (b"y", evidence), (b"z", evidence)];
        assert_eq!(sweep(all(head), start() + DAY), Coverage { head: 1, byte: 1, content: 1 });
        assert_eq!(sweep(all(head), start() + 2 * DAY), Coverage { head: 2, byte: 0, content: 1 });
        assert_eq!(sweep(all(byte), start() + 3 * DAY), Coverage { head: 0, byte: 3, content: 0 });
    }
}

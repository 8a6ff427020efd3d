//! The evidence schedule: how thoroughly each blob is checked in a sweep, so that all are checked in time and not all at once.

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

/// How thoroughly a blob is checked, in ascending order.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The registry reports that it exists, and its length.
    #[default]
    Head,
    /// Its last byte was read.
    LastByte,
    /// All its bytes were read, and match its digest.
    Content,
}

/// Decides the evidence for each blob of a registry in each sweep, and records it.
///
/// Every blob has a fixed moment within a period, by a hash of its name. It is checked in the last sweep before that moment:
/// at least once per period, and evenly spread over the sweeps. A last byte that was never read is read at once. A blob that
/// was never hashed waits for its moment, since hashing every blob at once would take too long.
#[derive(Debug)]
pub struct EvidenceSchedule {
    byte: Rhythm,
    content: Rhythm,
    /// Between two sweeps; `None`: there is no next one, and nothing is recorded.
    interval: Option<Duration>,
    /// A blob that was never hashed counts as hashed at this Unix time in seconds.
    since: u32,
    times: Arc<Mutex<Times>>,
    /// Intact blobs of the current or last sweep, by the strongest evidence that still holds.
    coverage: [AtomicU64; 3],
}

/// How often one kind of evidence is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rhythm {
    Never,
    InEverySweep,
    Within(Duration),
}

/// A few bytes per blob, whatever the length of its name.
type Times = HashMap<BlobKey, EvidenceTimes, FxBuildHasher>;

/// Identifies a blob in a repository: the first 128 bits of a SHA-256 hash of both names.
///
/// A shorter key could be forged: after some 2^32 attempts two blobs share 64 bits, and one would count as checked when the
/// other was. The value is stored, so its definition must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey(pub [u8; 16]);

impl BlobKey {
    fn of(repository: &Repository, digest: &Digest) -> Self {
        let hash =
            sha2::Sha256::new().chain_update(repository.as_bytes()).chain_update([0]).chain_update(digest.as_bytes());
        Self(hash.finalize().first_chunk().copied().unwrap_or_default())
    }

    /// The blob's moment within a period of so many seconds.
    fn offset(self, period: u64) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)) % period
    }
}

/// When each kind of evidence for a blob was last obtained, as Unix time in seconds; 0: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceTimes {
    /// By its last byte, or more.
    pub byte: u32,
    /// By all of it.
    pub content: u32,
}

impl Rhythm {
    fn new(period: Option<Duration>) -> Self {
        match period {
            None => Self::Never,
            Some(Duration::ZERO) => Self::InEverySweep,
            Some(period) => Self::Within(period),
        }
    }

    /// True if a blob is due in a sweep that runs `now`. `last` returns the blob's key, and the time of its last evidence
    /// (`None`: due at once); it is only called if needed, because a key takes a hash.
    fn is_due(self, last: impl FnOnce() -> (BlobKey, Option<u32>), interval: Duration, now: u32) -> bool {
        let period = match self {
            Self::Never => return false,
            Self::InEverySweep => return true,
            Self::Within(period) => period,
        };
        let (key, Some(last)) = last() else { return true };
        // A sweep may run up to an interval before the moment, and the next one up to an interval after it.
        let (period, interval) = (period.saturating_sub(interval).as_secs(), interval.as_secs());
        if period <= interval {
            return true;
        }
        let offset = key.offset(period);
        let rounds = (u64::from(last) + interval + period - offset) / period;
        rounds * period + offset <= u64::from(now) + interval
    }

    /// True if evidence of that time still holds.
    fn holds(self, time: impl FnOnce() -> u32, now: u32) -> bool {
        match self {
            Self::Never | Self::InEverySweep => false,
            Self::Within(period) => {
                let time = time();
                time > 0 && u64::from(now.saturating_sub(time)) <= period.as_secs()
            }
        }
    }

    /// Evidence from before this time is evicted: it was not renewed for two periods, so no image needs the blob.
    fn evicted_before(self, interval: Duration, now: u32) -> u32 {
        let period = match self {
            Self::Never => return u32::MAX,
            Self::InEverySweep => Duration::ZERO,
            Self::Within(period) => period,
        };
        let time = u64::from(now).saturating_sub(2 * (period + interval).as_secs());
        u32::try_from(time).unwrap_or(u32::MAX)
    }
}

impl EvidenceSchedule {
    /// For a registry that is swept every `interval` from `now` on.
    pub fn recurring(wanted: &config::Evidence, interval: Duration, now: SystemTime) -> Self {
        Self {
            byte: Rhythm::new(byte_period(wanted)),
            content: Rhythm::new(wanted.content),
            interval: Some(interval),
            since: seconds(now),
            times: Arc::default(),
            coverage: Default::default(),
        }
    }

    /// For a single sweep. Every last byte is read; blobs are hashed only if every sweep is configured to do so.
    pub fn one_shot(wanted: &config::Evidence) -> Self {
        let in_every_sweep =
            |period: Option<Duration>| if period.is_some() { Rhythm::InEverySweep } else { Rhythm::Never };
        Self {
            byte: in_every_sweep(byte_period(wanted)),
            content: in_every_sweep(wanted.content.filter(Duration::is_zero)),
            interval: None,
            since: 0,
            times: Arc::default(),
            coverage: Default::default(),
        }
    }

    /// The same recorded evidence with new settings. A sweep that still runs with the old ones adds to it.
    pub fn under(&self, wanted: &config::Evidence, interval: Duration) -> Self {
        Self {
            byte: Rhythm::new(byte_period(wanted)),
            content: Rhythm::new(wanted.content),
            interval: Some(interval),
            since: self.since,
            times: Arc::clone(&self.times),
            coverage: Default::default(),
        }
    }

    /// Adds stored evidence, which was recorded from `since` on.
    pub fn with_past(self, since: SystemTime, past: impl IntoIterator<Item = (BlobKey, EvidenceTimes)>) -> Self {
        self.times().extend(past);
        Self { since: self.since.min(seconds(since)), ..self }
    }

    /// Start of the recorded evidence.
    pub fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(self.since))
    }

    /// Evidence obtained at this time or later, to be stored.
    pub fn recorded_since(&self, time: SystemTime) -> Vec<(BlobKey, EvidenceTimes)> {
        let time = seconds(time);
        self.times().iter().filter(|(_, it)| it.byte.max(it.content) >= time).map(|(key, it)| (*key, *it)).collect()
    }

    /// When each kind of evidence for the blob was last obtained.
    pub fn times_of(&self, repository: &Repository, digest: &Digest) -> EvidenceTimes {
        self.last(BlobKey::of(repository, digest)).1
    }

    fn last(&self, key: BlobKey) -> (BlobKey, EvidenceTimes) {
        (key, self.times().get(&key).copied().unwrap_or_default())
    }

    /// The evidence that the blob needs in a sweep that runs `now`.
    pub fn wanted(&self, repository: &Repository, digest: &Digest, now: SystemTime) -> Evidence {
        let (interval, now) = (self.interval.unwrap_or_default(), seconds(now));
        let last = LazyCell::new(|| self.last(BlobKey::of(repository, digest)));
        let at = |time: u32| Some(time).filter(|&time| time > 0);
        if self.content.is_due(|| (last.0, at(last.1.content).or(Some(self.since))), interval, now) {
            Evidence::Content
        } else if self.byte.is_due(|| (last.0, at(last.1.byte)), interval, now) {
            Evidence::LastByte
        } else {
            Evidence::Head
        }
    }

    /// True if a manifest that was last hashed at `hashed_at` is due in a sweep that runs `now`. Manifests are due whenever a
    /// blob with their key would be; without any evidence of blobs, in every sweep.
    pub fn is_manifest_due(
        &self,
        repository: &Repository,
        digest: &Digest,
        hashed_at: SystemTime,
        now: SystemTime,
    ) -> bool {
        let (hashed_at, now) = (seconds(hashed_at), seconds(now));
        let last = || (BlobKey::of(repository, digest), Some(hashed_at));
        let is_due = |rhythm: Rhythm| rhythm.is_due(last, self.interval.unwrap_or_default(), now);
        (self.byte, self.content) == (Rhythm::Never, Rhythm::Never) || is_due(self.byte) || is_due(self.content)
    }

    /// True if blobs are hashed once per period, rather than never or in every sweep.
    pub fn is_content_periodic(&self) -> bool {
        matches!(self.content, Rhythm::Within(_))
    }

    /// The evidence that the blob needs in a sweep beside a background hasher. If the blob is due to be hashed, also the Unix
    /// time of its last hash.
    pub fn wanted_with_background(
        &self,
        repository: &Repository,
        digest: &Digest,
        now: SystemTime,
    ) -> (Evidence, Option<u32>) {
        let wanted = self.wanted(repository, digest, now);
        if wanted != Evidence::Content || !self.is_content_periodic() {
            return (wanted, None);
        }
        let (key, last) = self.last(BlobKey::of(repository, digest));
        let byte = Some(last.byte).filter(|&time| time > 0);
        let is_due = self.byte.is_due(|| (key, byte), self.interval.unwrap_or_default(), seconds(now));
        (if is_due { Evidence::LastByte } else { Evidence::Head }, Some(last.content))
    }

    /// Records that the background hasher found a blob intact.
    pub fn record_hashed(&self, repository: &Repository, digest: &Digest, now: SystemTime) {
        let now = seconds(now);
        self.times().insert(BlobKey::of(repository, digest), EvidenceTimes { byte: now, content: now });
    }

    /// When the blob was last hashed and intact, if ever.
    pub fn hashed_at(&self, repository: &Repository, digest: &Digest) -> Option<SystemTime> {
        let content = self.times_of(repository, digest).content;
        (content > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(content)))
    }

    /// Records the evidence for an intact blob.
    pub fn record(&self, repository: &Repository, digest: &Digest, evidence: Evidence, now: SystemTime) {
        let now = seconds(now);
        let last = LazyCell::new(|| self.last(BlobKey::of(repository, digest)));
        if evidence >= Evidence::LastByte && self.interval.is_some() {
            let (key, last) = *last;
            let content = if evidence == Evidence::Content { now } else { last.content };
            self.times().insert(key, EvidenceTimes { byte: now, content });
        }
        let strongest = if evidence == Evidence::Content || self.content.holds(|| last.1.content, now) {
            Evidence::Content
        } else if evidence == Evidence::LastByte || self.byte.holds(|| last.1.byte, now) {
            Evidence::LastByte
        } else {
            Evidence::Head
        };
        self.coverage[strongest as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Resets the coverage at the start of a sweep.
    pub fn begin(&self) {
        self.coverage.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Intact blobs of the current or last sweep, by their strongest evidence.
    pub fn coverage(&self) -> Coverage {
        let [head, byte, content] = [0, 1, 2].map(|index| self.coverage[index].load(Ordering::Relaxed));
        Coverage { head, byte, content }
    }

    /// Blobs of the current or last sweep whose bytes were wanted and could not be had. Where the last byte is wanted, it is
    /// due until it has been read once, so that no blob is proved by its length otherwise.
    pub fn length_only(&self) -> u64 {
        let is_wanted = self.byte != Rhythm::Never || self.content == Rhythm::InEverySweep;
        if is_wanted { self.coverage().head } else { 0 }
    }

    /// Evicts blobs without new evidence for two periods, since no image needs them.
    pub fn evict_unused(&self, now: SystemTime) {
        let limit = self.evicted_before(now);
        self.times().retain(|_, it| it.byte >= limit.byte || it.content >= limit.content);
    }

    /// A blob is evicted if all its evidence is older than these times.
    pub fn evicted_before(&self, now: SystemTime) -> EvidenceTimes {
        let (interval, now) = (self.interval.unwrap_or_default(), seconds(now));
        EvidenceTimes {
            byte: self.byte.evicted_before(interval, now),
            content: self.content.evicted_before(interval, now),
        }
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

    /// For each sweep of four days, how many of 2,000 blobs got this evidence. Each blob gets it at least daily.
    fn blobs_per_sweep(schedule: &EvidenceSchedule, evidence: Evidence) -> Vec<usize> {
        let repository: Repository = "a".parse().unwrap();
        let blobs: Vec<Digest> = (0..2_000u32).map(|n| Digest::sha256(&n.to_be_bytes())).collect();
        let mut last_checked = vec![start(); blobs.len()];
        let sweep = |sweep| {
            let now = start() + QUARTER * sweep;
            let mut count = 0;
            for (blob, last) in blobs.iter().zip(&mut last_checked) {
                let wanted = schedule.wanted(&repository, blob, now);
                schedule.record(&repository, blob, wanted, now);
                if wanted == evidence {
                    *last = now;
                    count += 1;
                }
                assert!(now.duration_since(*last).unwrap() <= DAY, "a blob was not checked for more than a day");
            }
            schedule.evict_unused(now);
            count
        };
        (0..4 * 96).map(sweep).collect()
    }

    /// Blobs per sweep, if they were spread exactly evenly.
    const EVEN: usize = 2_000 / 96;

    #[test]
    fn last_bytes_are_read_at_once_then_evenly_per_day() {
        let schedule = EvidenceSchedule::recurring(&wanted(ByteEvidence::Within(DAY), None), QUARTER, start());
        let reads = blobs_per_sweep(&schedule, Evidence::LastByte);
        assert_eq!(reads[0], 2_000);
        assert!(reads[1..].iter().all(|&count| count < EVEN * 2), "{reads:?}");
        assert!(reads[97..].iter().all(|&count| count > EVEN / 2 - 4), "{reads:?}");
    }

    #[test]
    fn blobs_are_hashed_evenly_per_day_from_the_start() {
        let schedule = EvidenceSchedule::recurring(&wanted(ByteEvidence::Off, Some(DAY)), QUARTER, start());
        let reads = blobs_per_sweep(&schedule, Evidence::Content);
        assert!(reads.iter().all(|&count| count < EVEN * 2), "{reads:?}");
        assert!(reads[1..].iter().all(|&count| count > EVEN / 2 - 4), "{reads:?}");
    }

    #[test]
    fn evidence_off_or_in_every_sweep() {
        let (repository, digest) = ("a".parse().unwrap(), Digest::sha256(b""));
        let evidence = |schedule: &EvidenceSchedule| {
            schedule.record(&repository, &digest, Evidence::Content, start());
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
    fn evidence_survives_new_settings_and_a_restart() {
        let (repository, digest) = ("a".parse().unwrap(), Digest::sha256(b""));
        let daily = wanted(ByteEvidence::Within(DAY), None);
        let schedule = EvidenceSchedule::recurring(&daily, QUARTER, start());
        schedule.record(&repository, &digest, Evidence::LastByte, start());
        let later = start() + QUARTER;
        let changed = schedule.under(&wanted(ByteEvidence::Within(3 * DAY), None), QUARTER);
        let kept = schedule.recorded_since(start());
        assert_eq!(kept.len(), 1);
        assert!(schedule.recorded_since(later).is_empty());
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
    fn coverage_counts_the_strongest_evidence_that_holds() {
        let repository: Repository = "a".parse().unwrap();
        let schedule = EvidenceSchedule::recurring(&wanted(ByteEvidence::Within(DAY), Some(2 * DAY)), QUARTER, start());
        let sweep = |all: [(&[u8], Evidence); 3], now| {
            schedule.begin();
            for (name, evidence) in all {
                schedule.record(&repository, &Digest::sha256(name), evidence, now);
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

    #[test]
    fn blobs_with_equal_64_bits_are_distinct() {
        let schedule = EvidenceSchedule::recurring(&wanted(ByteEvidence::Within(DAY), None), QUARTER, start());
        let (repository, digest) = ("a".parse().unwrap(), Digest::sha256(b""));
        let BlobKey(mut bytes) = BlobKey::of(&repository, &digest);
        bytes[15] ^= 1;
        let forged = (BlobKey(bytes), EvidenceTimes { byte: seconds(start()), content: seconds(start()) });
        let schedule = schedule.with_past(start(), [forged]);
        assert_eq!(schedule.hashed_at(&repository, &digest), None);
        assert_eq!(schedule.wanted(&repository, &digest, start()), Evidence::LastByte);
    }
}

//! Hashes blobs in the background, between and during sweeps.
//!
//! Hashing every blob within a bandwidth budget would delay a sweep for hours. So a sweep queues the blobs that are due, and
//! goes on; they are hashed one by one. The next sweep treats a confirmed finding as its own: it knows the images, reads
//! their tags again, and weighs it against the rest of the registry. Until then the finding can be stored, for the next
//! process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::confirmation::{Doubt, Start, confirm};
use super::inquiry::Inquiry;
use crate::check::contradictions::Contradiction;
use crate::check::evidence::{Evidence, EvidenceSchedule};
use crate::check::judge::{Suspicion, Verdict};
use crate::config::Confirm;
use crate::oci::{Digest, Image, Reference, Repository};
use crate::registry::Registry;

/// Maximum length of the queue. If it is full, the blob that was hashed last is dropped; a later sweep queues it again.
const QUEUE_LIMIT: usize = 20_000;
/// Maximum number of findings, of undelivered blobs and of contradictions.
const FINDINGS_LIMIT: usize = 10_000;
/// A broken blob is hashed again at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// A blob that is due to be hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DueBlob {
    /// The repository that contains it.
    pub repository: Repository,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes, by its descriptor.
    pub size: Option<u64>,
}

/// A blob whose content is bad in every response.
#[derive(Clone, Debug)]
pub struct BrokenBlob {
    /// The confirmed suspicion.
    pub suspicion: Suspicion,
    /// What was seen, in words.
    pub detail: String,
    /// Number of consecutive responses that confirm it.
    pub answers: u32,
    first_hashed: Instant,
    last_hashed: Instant,
    last_used: Instant,
}

impl BrokenBlob {
    /// The verdict, as if a sweep had found it.
    pub fn into_verdict(self) -> Verdict {
        Verdict::Suspect { suspicion: self.suspicion, detail: self.detail }
    }
}

/// A change for the state on disk: the blob's name, and its finding in the form that [`BlobHasher::restore`] reads. `None`
/// deletes the finding.
pub type FindingChange = (String, Option<String>);

/// The stored form of a [`BrokenBlob`].
#[derive(Serialize, Deserialize)]
struct StoredFinding {
    repository: Repository,
    digest: Digest,
    suspicion: Suspicion,
    detail: String,
    answers: u32,
    /// Time of detection, as Unix time in seconds.
    found_at: u64,
}

/// The background hasher of one registry.
#[derive(Debug, Default)]
pub struct BlobHasher {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By the time of the last hash, then by arrival.
    queue: BTreeMap<(u32, u64), DueBlob>,
    /// Blobs in the queue, and those that are being hashed.
    queued: HashSet<(Repository, Digest)>,
    arrivals: u64,
    broken: HashMap<(Repository, Digest), BrokenBlob>,
    /// Blobs that could not be downloaded.
    undelivered: HashSet<(Repository, Digest)>,
    contradicted: Vec<Contradiction>,
}

impl BlobHasher {
    /// Queues a blob that is due; `hashed_at` is the Unix time of its last hash.
    pub fn enqueue(&self, due: DueBlob, hashed_at: u32) {
        let mut state = self.lock();
        let key = (due.repository.clone(), due.digest.clone());
        // Back off from a blob that stays broken, since each check downloads it completely.
        let is_paused = state.broken.get(&key).is_some_and(|broken| {
            broken.last_hashed.elapsed() < (broken.last_hashed - broken.first_hashed).min(LONGEST_PAUSE)
        });
        if is_paused || !state.queued.insert(key) {
            return;
        }
        state.arrivals += 1;
        let position = (hashed_at, state.arrivals);
        state.queue.insert(position, due);
        if state.queue.len() > QUEUE_LIMIT
            && let Some((_, last)) = state.queue.pop_last()
        {
            state.queued.remove(&(last.repository, last.digest));
        }
        self.more.notify_one();
    }

    /// The finding against a blob, if there is one.
    pub fn finding(&self, repository: &Repository, digest: &Digest) -> Option<BrokenBlob> {
        let mut state = self.lock();
        let broken = state.broken.get_mut(&(repository.clone(), digest.clone()))?;
        broken.last_used = Instant::now();
        Some(broken.clone())
    }

    /// True if the blob could not be downloaded, and was not delivered since.
    pub fn is_undelivered(&self, repository: &Repository, digest: &Digest) -> bool {
        let state = self.lock();
        !state.undelivered.is_empty() && state.undelivered.contains(&(repository.clone(), digest.clone()))
    }

    /// Notes that a blob was delivered.
    pub fn mark_delivered(&self, repository: &Repository, digest: &Digest) {
        let mut state = self.lock();
        if !state.undelivered.is_empty() {
            state.undelivered.remove(&(repository.clone(), digest.clone()));
        }
    }

    /// The blob whose last hash is the oldest; waits for one if the queue is empty.
    pub async fn next(&self) -> DueBlob {
        loop {
            let more = self.more.notified();
            let first = self.lock().queue.pop_first();
            match first {
                Some((_, due)) => return due,
                None => more.await,
            }
        }
    }

    /// Restores the findings of an earlier process, except those of blobs that were found intact since.
    pub fn restore(&self, found: &[String], evidence_schedule: &EvidenceSchedule) {
        let now = Instant::now();
        for StoredFinding { repository, digest, suspicion, detail, answers, found_at } in
            found.iter().filter_map(|text| serde_json::from_str(text).ok())
        {
            // A damaged file may contain a time that cannot exist.
            let found_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(found_at));
            if evidence_schedule.hashed_at(&repository, &digest).is_none_or(|intact_at| Some(intact_at) < found_at) {
                let broken =
                    BrokenBlob { suspicion, detail, answers, first_hashed: now, last_hashed: now, last_used: now };
                self.lock().broken.insert((repository, digest), broken);
            }
        }
    }

    /// Evicts the findings that were not used since then: no image needs the blob, whose content may have changed.
    pub fn evict_unused(&self, since: Instant) -> Vec<FindingChange> {
        let mut changes = Vec::new();
        self.lock().broken.retain(|key, broken| {
            let is_used = broken.last_used >= since;
            changes.extend((!is_used).then(|| (name_of(key), None)));
            is_used
        });
        changes
    }

    /// Hashes a blob, confirms a suspicion, and records the result. It may take as long as `within`. Returns the changes for
    /// the state on disk.
    pub async fn hash<R: Registry>(
        &self,
        due: &DueBlob,
        registry: &R,
        wanted: Confirm,
        evidence_schedule: &EvidenceSchedule,
        within: Duration,
    ) -> Vec<FindingChange> {
        let DueBlob { repository, digest, size } = due;
        let inquiry = Inquiry::Blob { digest: digest.clone(), size: *size, evidence: Evidence::Content };
        let check = async {
            let judged = inquiry.ask(registry, repository, false).await;
            match judged.verdict {
                Verdict::Suspect { suspicion, detail } => {
                    let doubt =
                        Doubt::Suspected { suspicion, detail, answers: 1, by_head: false, is_remembered: false };
                    let start =
                        Start { confirm: wanted, opened_after: Instant::now(), bad_by_head_only: &AtomicU32::new(0) };
                    let confirmation = confirm(registry, repository, inquiry.clone(), doubt, start).await;
                    if let Some((bad, good)) = confirmation.contradiction {
                        self.note_contradiction(due, bad, good);
                    }
                    (confirmation.verdict, confirmation.answers)
                }
                verdict => (verdict, 1),
            }
        };
        let key = (repository.clone(), digest.clone());
        match tokio::time::timeout(within, check).await {
            Ok((Verdict::Intact(_), _)) => {
                evidence_schedule.record_hashed(repository, digest, SystemTime::now());
                self.mark_delivered(repository, digest);
                let was_broken = self.lock().broken.remove(&key).is_some();
                return if was_broken { vec![(name_of(&key), None)] } else { Vec::new() };
            }
            Ok((Verdict::Suspect { suspicion, detail }, answers)) => {
                return self.note_broken(key, suspicion, detail, answers);
            }
            // The sweep reports objects that are not served, and outages.
            Ok((Verdict::Unverified { cause, detail }, _)) => {
                self.note_undelivered(key);
                tracing::debug!(%repository, %digest, cause = cause.as_str(), detail, "blob could not be hashed");
            }
            Err(_) => tracing::warn!(%repository, %digest, "hashing a blob takes longer than evidence.content"),
        }
        Vec::new()
    }

    /// Takes the contradictory responses found while hashing.
    pub fn take_contradicted(&self) -> Vec<Contradiction> {
        std::mem::take(&mut self.lock().contradicted)
    }

    fn note_contradiction(&self, due: &DueBlob, bad: String, good: String) {
        let object = Image { repository: due.repository.clone(), reference: Reference::Digest(due.digest.clone()) };
        let mut state = self.lock();
        if state.contradicted.len() < FINDINGS_LIMIT {
            state.contradicted.push(Contradiction { object, bad, good });
        }
    }

    /// Ends the hashing of a blob, whatever the result: a sweep may queue it again.
    pub fn done(&self, due: &DueBlob) {
        self.lock().queued.remove(&(due.repository.clone(), due.digest.clone()));
    }

    fn note_undelivered(&self, key: (Repository, Digest)) {
        let mut state = self.lock();
        if state.undelivered.len() < FINDINGS_LIMIT {
            state.undelivered.insert(key);
        }
    }

    fn note_broken(
        &self,
        key: (Repository, Digest),
        suspicion: Suspicion,
        detail: String,
        answers: u32,
    ) -> Vec<FindingChange> {
        let is_of_content = matches!(
            suspicion,
            Suspicion::Digest | Suspicion::DigestUnsigned | Suspicion::Cut | Suspicion::Size | Suspicion::SizeUnsigned
        );
        if !is_of_content {
            self.note_undelivered(key);
            return Vec::new();
        }
        let mut changes = Vec::new();
        let mut state = self.lock();
        if state.broken.len() >= FINDINGS_LIMIT
            && !state.broken.contains_key(&key)
            && let Some(oldest) = state.broken.iter().min_by_key(|(_, it)| it.last_used).map(|(key, _)| key.clone())
        {
            state.broken.remove(&oldest);
            changes.push((name_of(&oldest), None));
        }
        let found_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (repository, digest) = key.clone();
        let stored = StoredFinding { repository, digest, suspicion, detail: detail.clone(), answers, found_at };
        // Names, numbers and texts always serialize.
        changes.extend(serde_json::to_string(&stored).ok().map(|text| (name_of(&key), Some(text))));
        let now = Instant::now();
        let first_hashed = state.broken.get(&key).map_or(now, |broken| broken.first_hashed);
        let broken = BrokenBlob { suspicion, detail, answers, first_hashed, last_hashed: now, last_used: now };
        state.broken.insert(key, broken);
        changes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of((repository, digest): &(Repository, Digest)) -> String {
    format!("{repository}@{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(n: u32) -> DueBlob {
        DueBlob { repository: "a".parse().unwrap(), digest: Digest::sha256(&n.to_be_bytes()), size: Some(1) }
    }

    #[tokio::test]
    async fn oldest_hash_comes_first_and_no_blob_twice() {
        let blob_hasher = BlobHasher::default();
        for (n, hashed_at) in [(1, 30), (2, 10), (3, 20), (2, 10), (1, 0)] {
            blob_hasher.enqueue(due(n), hashed_at);
        }
        for n in [2, 3, 1] {
            assert_eq!(blob_hasher.next().await, due(n));
        }
        blob_hasher.enqueue(due(1), 30);
        assert!(blob_hasher.lock().queue.is_empty(), "it is being hashed");
        blob_hasher.done(&due(1));
        blob_hasher.enqueue(due(1), 30);
        assert_eq!(blob_hasher.next().await, due(1));
    }

    #[tokio::test]
    async fn full_queue_drops_the_latest_hash() {
        let blob_hasher = BlobHasher::default();
        let many = u32::try_from(QUEUE_LIMIT).unwrap() + 10;
        (0..many).for_each(|n| blob_hasher.enqueue(due(n), many - n));
        let state = blob_hasher.lock();
        assert_eq!((state.queue.len(), state.queued.len()), (QUEUE_LIMIT, QUEUE_LIMIT));
        assert_eq!(state.queue.values().next(), Some(&due(many - 1)));
        assert!(!state.queue.values().any(|it| *it == due(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn broken_blob_is_hashed_with_backoff() {
        let blob_hasher = BlobHasher::default();
        let key = |due: &DueBlob| (due.repository.clone(), due.digest.clone());
        let find_broken = || blob_hasher.note_broken(key(&due(1)), Suspicion::Digest, String::new(), 2);
        let is_queued = || {
            blob_hasher.enqueue(due(1), 0);
            let was = blob_hasher.lock().queue.pop_first().is_some();
            blob_hasher.done(&due(1));
            was
        };
        find_broken();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(is_queued(), "soon after it was found");
        find_broken();
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!is_queued());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(is_queued());
        assert!(blob_hasher.finding(&due(1).repository, &due(1).digest).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn finding_is_restored_unless_found_intact_since() {
        let evidence_schedule = EvidenceSchedule::recurring(&no_evidence(), Duration::ZERO, SystemTime::now());
        let (before, due) = (BlobHasher::default(), due(1));
        let key = (due.repository.clone(), due.digest.clone());
        let changes = before.note_broken(key.clone(), Suspicion::Digest, "the bytes".to_string(), 4);
        let [(name, Some(found))] = &changes[..] else { panic!("{changes:?}") };
        let after = BlobHasher::default();
        let mut with_bad_time: serde_json::Value = serde_json::from_str(found).unwrap();
        with_bad_time["found_at"] = u64::MAX.into();
        after.restore(&[with_bad_time.to_string(), found.clone(), "rubbish".to_string()], &evidence_schedule);
        let broken = after.finding(&due.repository, &due.digest).unwrap();
        assert_eq!((broken.suspicion, broken.detail.as_str(), broken.answers), (Suspicion::Digest, "the bytes", 4));

        tokio::time::advance(Duration::from_secs(9)).await;
        let since = Instant::now();
        assert!(after.finding(&due.repository, &due.digest).is_some());
        assert_eq!(after.evict_unused(since), [], "it was used");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(after.evict_unused(Instant::now()), [(name.clone(), None)]);
        assert!(after.finding(&due.repository, &due.digest).is_none());

        evidence_schedule.record_hashed(&due.repository, &due.digest, SystemTime::now() + Duration::from_secs(1));
        after.restore(std::slice::from_ref(found), &evidence_schedule);
        assert!(after.finding(&due.repository, &due.digest).is_none());
    }

    fn no_evidence() -> crate::config::Evidence {
        let byte = crate::config::ByteEvidence::Off;
        crate::config::Evidence { byte, content: Some(Duration::from_secs(60)), content_budget: None }
    }
}

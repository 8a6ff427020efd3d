//! Which blobs are to be hashed beside the sweeps, and what became of those that were.
//!
//! A sweep meets every blob, but would be held up for hours by hashing them within a budget. So it names those that are due
//! and goes on; they are hashed one after the other, also while no sweep runs. What was confirmed to be bad the next sweep
//! takes in as if it had seen it itself: it knows the images, reads their tags again, and holds it against the rest. Until
//! then it can be kept elsewhere, and is given back to a later process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Inquiry;
use super::confirmation::{ConfirmOptions, Doubt, confirm};
use crate::check::contradictions::Contradiction;
use crate::check::evidence::{Evidence, EvidenceSchedule};
use crate::check::judge::{Suspicion, Verdict};
use crate::config::Confirm;
use crate::oci::{Digest, Image, Reference, Repository};
use crate::registry::Registry;

/// Blobs that wait; of more, those wait that went unhashed longest, and a later sweep names the others again.
const WAITING: usize = 20_000;
/// BrokenBlob blobs that are remembered.
const REMEMBERED: usize = 10_000;
/// What is bad is hashed again at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// A blob to hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DueBlob {
    /// Where it lies.
    pub repository: Repository,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes, by its descriptor.
    pub size: Option<u64>,
}

/// A blob that was hashed, and that something speaks against in every answer.
#[derive(Clone, Debug)]
pub struct BrokenBlob {
    /// What.
    pub suspicion: Suspicion,
    /// What was seen, in words.
    pub detail: String,
    /// Answers in a row that said so.
    pub answers: u32,
    since: Instant,
    at: Instant,
    asked_for: Instant,
}

/// What a later process has to know of a blob that was hashed: a name for the blob, and what was found against it, in a form
/// that [`Hashing::restore`] reads; `None`: nothing any more.
pub type FindingChange = (String, Option<String>);

/// What is kept of a [`BrokenBlob`] one.
#[derive(Serialize, Deserialize)]
struct StoredFinding {
    repository: Repository,
    digest: Digest,
    suspicion: Suspicion,
    detail: String,
    answers: u32,
    /// When it was found, as Unix time in seconds.
    found_at: u64,
}

/// The blobs of one registry that are hashed beside its sweeps.
#[derive(Debug, Default)]
pub struct BlobHasher {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By when it was hashed last, then by arrival.
    waiting: BTreeMap<(u32, u64), DueBlob>,
    is_waiting: HashSet<(Repository, Digest)>,
    arrivals: u64,
    bad: HashMap<(Repository, Digest), BrokenBlob>,
    /// Blobs whose bytes did not come when they were to be hashed.
    undelivered: HashSet<(Repository, Digest)>,
    contradicted: Vec<Contradiction>,
}

impl BlobHasher {
    /// Names a blob that is due; `hashed_at` is when it was hashed last, as Unix time in seconds.
    pub fn name(&self, due: DueBlob, hashed_at: u32) {
        let mut state = self.lock();
        let key = (due.repository.clone(), due.digest.clone());
        // What stays bad is looked at ever more rarely, since each look costs all its bytes.
        if state.bad.get(&key).is_some_and(|bad| bad.at.elapsed() < (bad.at - bad.since).min(LONGEST_PAUSE))
            || !state.is_waiting.insert(key)
        {
            return;
        }
        state.arrivals += 1;
        let place = (hashed_at, state.arrivals);
        state.waiting.insert(place, due);
        if state.waiting.len() > WAITING
            && let Some((_, last)) = state.waiting.pop_last()
        {
            state.is_waiting.remove(&(last.repository, last.digest));
        }
        self.more.notify_one();
    }

    /// What was found against a blob that a sweep found sound by less than all its bytes.
    pub fn bad(&self, repository: &Repository, digest: &Digest) -> Option<BrokenBlob> {
        let mut state = self.lock();
        let bad = state.bad.get_mut(&(repository.clone(), digest.clone()))?;
        bad.asked_for = Instant::now();
        Some(bad.clone())
    }

    /// True if the blob's bytes did not come when it was to be hashed, nor since.
    pub fn was_not_delivered(&self, repository: &Repository, digest: &Digest) -> bool {
        let state = self.lock();
        !state.undelivered.is_empty() && state.undelivered.contains(&(repository.clone(), digest.clone()))
    }

    /// Notes that a blob's bytes came.
    pub fn delivered(&self, repository: &Repository, digest: &Digest) {
        let mut state = self.lock();
        if !state.undelivered.is_empty() {
            state.undelivered.remove(&(repository.clone(), digest.clone()));
        }
    }

    /// The blob that went unhashed longest; waits until there is one.
    pub async fn next(&self) -> DueBlob {
        loop {
            let more = self.more.notified();
            let first = self.lock().waiting.pop_first();
            match first {
                Some((_, due)) => return due,
                None => more.await,
            }
        }
    }

    /// Takes in what an earlier process found, unless the blob was found whole since.
    pub fn restore(&self, found: &[String], evidence_schedule: &EvidenceSchedule) {
        let now = Instant::now();
        for StoredFinding { repository, digest, suspicion, detail, answers, found_at } in
            found.iter().filter_map(|text| serde_json::from_str(text).ok())
        {
            // A file may hold a time that there is not.
            let found_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(found_at));
            if evidence_schedule.hashed_at(&repository, &digest).is_none_or(|whole_at| Some(whole_at) < found_at) {
                let bad = BrokenBlob { suspicion, detail, answers, since: now, at: now, asked_for: now };
                self.lock().bad.insert((repository, digest), bad);
            }
        }
    }

    /// Forgets what was found against blobs that nothing has asked for since then: who needs them again would be told of
    /// bytes that may be others by now.
    pub fn forget_unasked(&self, since: Instant) -> Vec<FindingChange> {
        let mut changes = Vec::new();
        self.lock().bad.retain(|key, bad| {
            let is_needed = bad.asked_for >= since;
            changes.extend((!is_needed).then(|| (name_of(key), None)));
            is_needed
        });
        changes
    }

    /// Hashes a blob, asks again if something speaks against it, and notes what became of it. `within` is how long that may
    /// take. Gives what is to be kept of that.
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
        let asking = async {
            let judged = inquiry.ask(registry, repository, false).await;
            match judged.verdict {
                Verdict::Suspect { suspicion, detail } => {
                    let doubt =
                        Doubt::Suspected { suspicion, detail, answers: 1, by_head: false, is_remembered: false };
                    let head_alone = AtomicU32::new(0);
                    let asking = ConfirmOptions { confirm: wanted, since: Instant::now(), head_alone: &head_alone };
                    let again = confirm(registry, repository, inquiry.clone(), doubt, asking).await;
                    if let Some((bad, good)) = again.contradiction {
                        self.note_contradiction(due, bad, good);
                    }
                    (again.verdict, again.answers)
                }
                verdict => (verdict, 1),
            }
        };
        let key = (repository.clone(), digest.clone());
        match tokio::time::timeout(within, asking).await {
            Ok((Verdict::Intact(_), _)) => {
                evidence_schedule.hashed(repository, digest, SystemTime::now());
                self.delivered(repository, digest);
                let was_bad = self.lock().bad.remove(&key).is_some();
                return if was_bad { vec![(name_of(&key), None)] } else { Vec::new() };
            }
            Ok((Verdict::Suspect { suspicion, detail }, answers)) => {
                return self.note_bad(key, suspicion, detail, answers);
            }
            // What the registry does not serve at all is the sweep's to tell, and so is an outage.
            Ok((Verdict::Unverified { cause, detail }, _)) => {
                self.note_undelivered(key);
                tracing::debug!(%repository, %digest, cause = cause.as_str(), detail, "could not be hashed");
            }
            Err(_) => tracing::warn!(%repository, %digest, "hashing it takes longer than evidence.content"),
        }
        Vec::new()
    }

    /// What contradicted itself while it was hashed; once.
    pub fn take_contradicted(&self) -> Vec<Contradiction> {
        std::mem::take(&mut self.lock().contradicted)
    }

    fn note_contradiction(&self, due: &DueBlob, bad: String, good: String) {
        let object = Image { repository: due.repository.clone(), reference: Reference::Digest(due.digest.clone()) };
        let mut state = self.lock();
        if state.contradicted.len() < REMEMBERED {
            state.contradicted.push(Contradiction { object, bad, good });
        }
    }

    /// A blob is not waiting any more, whatever became of it: a sweep may name it again.
    pub fn done(&self, due: &DueBlob) {
        self.lock().is_waiting.remove(&(due.repository.clone(), due.digest.clone()));
    }

    fn note_undelivered(&self, key: (Repository, Digest)) {
        let mut state = self.lock();
        if state.undelivered.len() < REMEMBERED {
            state.undelivered.insert(key);
        }
    }

    fn note_bad(
        &self,
        key: (Repository, Digest),
        suspicion: Suspicion,
        detail: String,
        answers: u32,
    ) -> Vec<FindingChange> {
        let is_seen_by_content = matches!(
            suspicion,
            Suspicion::Digest | Suspicion::DigestUnsigned | Suspicion::Cut | Suspicion::Size | Suspicion::SizeUnsigned
        );
        if !is_seen_by_content {
            self.note_undelivered(key);
            return Vec::new();
        }
        let mut changes = Vec::new();
        let mut state = self.lock();
        if state.bad.len() >= REMEMBERED
            && !state.bad.contains_key(&key)
            && let Some(oldest) = state.bad.iter().min_by_key(|(_, bad)| bad.asked_for).map(|(key, _)| key.clone())
        {
            state.bad.remove(&oldest);
            changes.push((name_of(&oldest), None));
        }
        let found_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (repository, digest) = key.clone();
        let kept = StoredFinding { repository, digest, suspicion, detail: detail.clone(), answers, found_at };
        // Names, numbers and texts can always be written.
        changes.extend(serde_json::to_string(&kept).ok().map(|text| (name_of(&key), Some(text))));
        let now = Instant::now();
        let since = state.bad.get(&key).map_or(now, |bad| bad.since);
        state.bad.insert(key, BrokenBlob { suspicion, detail, answers, since, at: now, asked_for: now });
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
    async fn what_went_unhashed_longest_comes_first_and_nothing_twice() {
        let blob_hasher = BlobHasher::default();
        for (n, hashed_at) in [(1, 30), (2, 10), (3, 20), (2, 10), (1, 0)] {
            blob_hasher.name(due(n), hashed_at);
        }
        for n in [2, 3, 1] {
            assert_eq!(blob_hasher.next().await, due(n));
        }
        blob_hasher.name(due(1), 30);
        assert!(blob_hasher.lock().waiting.is_empty(), "it is being hashed");
        blob_hasher.done(&due(1));
        blob_hasher.name(due(1), 30);
        assert_eq!(blob_hasher.next().await, due(1));
    }

    #[tokio::test]
    async fn of_too_many_those_wait_that_are_due_most() {
        let blob_hasher = BlobHasher::default();
        let many = u32::try_from(WAITING).unwrap() + 10;
        (0..many).for_each(|n| blob_hasher.name(due(n), many - n));
        let state = blob_hasher.lock();
        assert_eq!((state.waiting.len(), state.is_waiting.len()), (WAITING, WAITING));
        assert_eq!(state.waiting.values().next(), Some(&due(many - 1)));
        assert!(!state.waiting.values().any(|it| *it == due(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_bad_is_hashed_ever_more_rarely() {
        let blob_hasher = BlobHasher::default();
        let key = |due: &DueBlob| (due.repository.clone(), due.digest.clone());
        let find_bad = || blob_hasher.note_bad(key(&due(1)), Suspicion::Digest, String::new(), 2);
        let is_named = || {
            blob_hasher.name(due(1), 0);
            let was = blob_hasher.lock().waiting.pop_first().is_some();
            blob_hasher.done(&due(1));
            was
        };
        find_bad();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(is_named(), "soon after it was found");
        find_bad();
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!is_named());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(is_named());
        assert!(blob_hasher.bad(&due(1).repository, &due(1).digest).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_is_known_to_a_later_process_unless_it_was_found_whole_since() {
        let evidence_schedule = EvidenceSchedule::recurring(&no_evidence(), Duration::ZERO, SystemTime::now());
        let (before, due) = (BlobHasher::default(), due(1));
        let key = (due.repository.clone(), due.digest.clone());
        let changes = before.note_bad(key.clone(), Suspicion::Digest, "the bytes".to_string(), 4);
        let [(name, Some(found))] = &changes[..] else { panic!("{changes:?}") };
        let after = BlobHasher::default();
        let mut of_no_time: serde_json::Value = serde_json::from_str(found).unwrap();
        of_no_time["found_at"] = u64::MAX.into();
        after.restore(&[of_no_time.to_string(), found.clone(), "rubbish".to_string()], &evidence_schedule);
        let bad = after.bad(&due.repository, &due.digest).unwrap();
        assert_eq!((bad.suspicion, bad.detail.as_str(), bad.answers), (Suspicion::Digest, "the bytes", 4));

        tokio::time::advance(Duration::from_secs(9)).await;
        let since = Instant::now();
        assert!(after.bad(&due.repository, &due.digest).is_some());
        assert_eq!(after.forget_unasked(since), [], "it was asked for");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(after.forget_unasked(Instant::now()), [(name.clone(), None)]);
        assert!(after.bad(&due.repository, &due.digest).is_none());

        evidence_schedule.hashed(&due.repository, &due.digest, SystemTime::now() + Duration::from_secs(1));
        after.restore(std::slice::from_ref(found), &evidence_schedule);
        assert!(after.bad(&due.repository, &due.digest).is_none());
    }

    fn no_evidence() -> crate::config::Evidence {
        let byte = crate::config::ByteEvidence::Off;
        crate::config::Evidence { byte, content: Some(Duration::from_secs(60)), content_budget: None }
    }
}

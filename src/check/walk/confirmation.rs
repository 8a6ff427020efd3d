//! Confirms or clears an object in doubt by requesting it again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::inquiry::{Inquiry, Judged};
use crate::check::evidence::Evidence;
use crate::check::judge::{IntactObject, Pair, Suspicion, Verdict};
use crate::config::Confirm;
use crate::oci::Repository;
use crate::registry::{Afresh, Method, Registry};

/// After this many objects of a repository that are bad by HEAD only, one good GET suffices: the cause is how the registry
/// answers HEAD, not a stale replica.
const BAD_BY_HEAD_ONLY: u32 = 32;
/// Objects with contradictory responses in an earlier sweep are requested this many times as often.
const REMEMBERED_FACTOR: u32 = 2;

/// Why an object is requested again.
#[derive(Clone, Debug)]
pub enum Doubt {
    /// A response speaks against it.
    Suspected {
        /// The suspicion.
        suspicion: Suspicion,
        /// What was seen, in words.
        detail: String,
        /// Number of responses that raised it.
        answers: u32,
        /// True if it was a response to HEAD, which some proxies answer differently from GET.
        by_head: bool,
        /// True if the object had contradictory responses in an earlier sweep.
        is_remembered: bool,
    },
    /// It was served, but had contradictory responses in an earlier sweep.
    Remembered,
}

/// How a confirmation starts.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Number and interval of requests.
    pub confirm: Confirm,
    /// The first connection must be opened after this, since older ones may lead to the same replica.
    pub opened_after: Instant,
    /// Number of objects of the repository that were bad by HEAD and never by GET.
    pub bad_by_head_only: &'a AtomicU32,
}

/// The result of requesting an object again.
#[derive(Debug)]
pub struct Confirmation {
    /// The suspicion, if every response confirmed it.
    pub verdict: Verdict,
    /// Responses that raised the suspicion, including the first.
    pub answers: u32,
    /// Exchanges that were needed.
    pub exchanges: u32,
    /// True if an outage of the registry may explain some of the responses.
    pub is_mixed: bool,
    /// Evidence for an intact blob.
    pub evidence: Evidence,
    /// A bad and a good response to the same question, in words.
    pub contradiction: Option<(String, String)>,
}

/// Requests an object up to `attempts` times, each time over a new connection, until a response contradicts the suspicion.
pub async fn confirm<R: Registry>(
    registry: &R,
    repository: &Repository,
    inquiry: Inquiry,
    doubt: Doubt,
    start: Start<'_>,
) -> Confirmation {
    let Start { confirm, mut opened_after, bad_by_head_only } = start;
    let began = Instant::now();
    let inquiry = inquiry.confirming();
    let is_remembered = matches!(doubt, Doubt::Remembered | Doubt::Suspected { is_remembered: true, .. });
    let attempts = confirm.attempts * if is_remembered { REMEMBERED_FACTOR } else { 1 };
    let mut responses = Responses::new(doubt);
    for _ in 0..attempts {
        tokio::time::sleep(confirm.delay).await;
        let judged = inquiry.ask(&Afresh { registry, opened_after }, repository, true).await;
        opened_after = Instant::now();
        if responses.add(judged) {
            break;
        }
        let is_common = bad_by_head_only.load(Ordering::Relaxed) >= BAD_BY_HEAD_ONLY;
        if responses.are_bad_by_head_only() && !is_remembered && is_common {
            break;
        }
    }
    if responses.are_bad_by_head_only() {
        bad_by_head_only.fetch_add(1, Ordering::Relaxed);
    }
    responses.into_confirmation(attempts, began.elapsed())
}

/// The responses for one object.
#[derive(Default)]
struct Responses {
    /// The last bad one.
    bad: Option<(Suspicion, String)>,
    /// Number of bad ones.
    bad_count: u32,
    /// True while only a response to HEAD was bad.
    is_bad_by_head: bool,
    /// The first bad one, if it differs from the last.
    first_bad: Option<String>,
    is_mixed: bool,
    /// The last good one, in words.
    good: Option<(Verdict, String)>,
    /// The best evidence of the good ones.
    evidence: Evidence,
    /// A failed request, which ends the confirmation.
    failed: Option<Verdict>,
    contradiction: Option<(String, String)>,
    exchanges: u32,
}

impl Responses {
    fn new(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Suspected { suspicion, detail, answers, by_head, .. } => {
                Self { bad: Some((suspicion, detail)), bad_count: answers, is_bad_by_head: by_head, ..Self::default() }
            }
            Doubt::Remembered => Self::default(),
        }
    }

    fn are_bad_by_head_only(&self) -> bool {
        self.is_bad_by_head && self.good.is_some()
    }

    /// Adds a response. True if no further one can change the result.
    fn add(&mut self, judged: Judged) -> bool {
        self.exchanges += judged.exchanges;
        match judged.verdict {
            Verdict::Intact(intact) => {
                let good = judged
                    .answered
                    .map_or_else(String::new, |(method, status)| format!("{} {status}", method.as_str()));
                if let Some((suspicion, bad)) = self.bad.as_ref().filter(|_| !self.is_bad_by_head) {
                    self.contradiction = suspicion.contradicts().then(|| (bad.clone(), good.clone()));
                }
                self.good = Some((Verdict::Intact(intact), good));
                self.evidence = self.evidence.max(judged.evidence);
                self.bad.is_some() && !self.is_bad_by_head
            }
            Verdict::Suspect { suspicion, detail } => {
                if let Some((_, good)) = &self.good {
                    self.contradiction = suspicion.contradicts().then(|| (detail, good.clone()));
                    return true;
                }
                let count = if suspicion == Suspicion::ServerError { judged.exchanges } else { 1 };
                self.add_bad(suspicion, detail, count);
                self.is_bad_by_head = judged.answered.is_some_and(|(method, _)| method == Method::Head);
                false
            }
            unverified @ Verdict::Unverified { .. } => {
                self.failed = Some(unverified);
                true
            }
        }
    }

    fn add_bad(&mut self, suspicion: Suspicion, detail: String, count: u32) {
        self.bad_count += count;
        if let Some((earlier, earlier_detail)) = self.bad.take() {
            match earlier.with(suspicion) {
                Pair::Same => {}
                pair => {
                    self.is_mixed |= pair == Pair::Mixed;
                    self.first_bad.get_or_insert(earlier_detail);
                }
            }
        }
        self.bad = Some((suspicion, detail));
    }

    fn into_confirmation(self, attempts: u32, took: Duration) -> Confirmation {
        let took = took.as_secs_f64();
        let verdict = match (self.good, self.failed, self.bad) {
            (Some((good, _)), ..) => good,
            (None, Some(failed), _) => failed,
            (None, None, Some((suspicion, detail))) => {
                let detail = match (self.first_bad, attempts) {
                    (Some(first), _) => {
                        format!("{first}, then {detail}; never served in {attempts} more answers in {took:.1}s")
                    }
                    (None, 1) => format!("{detail}, confirmed once in {took:.1}s"),
                    (None, _) => format!("{detail}, confirmed {attempts} times in {took:.1}s"),
                };
                Verdict::Suspect { suspicion, detail }
            }
            // Without a response, the earlier one counts.
            (None, None, None) => Verdict::Intact(IntactObject::default()),
        };
        Confirmation {
            verdict,
            answers: self.bad_count,
            exchanges: self.exchanges,
            is_mixed: self.is_mixed,
            evidence: self.evidence,
            contradiction: self.contradiction,
        }
    }
}

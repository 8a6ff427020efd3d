//! ConfirmOptions again about an object that is in doubt, until its answers agree or contradict each other.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::inquiry::{Inquiry, Judged};
use crate::check::evidence::Evidence;
use crate::check::judge::{Pair, Suspicion, Verdict};
use crate::config::Confirm;
use crate::oci::Repository;
use crate::registry::{Afresh, Method, Registry};

/// So many objects of a repository are served to GET and not to HEAD, and more of that says nothing about replicas.
const HEAD_ALONE: u32 = 32;
/// What contradicted itself in an earlier sweep is asked for this many times as often.
const REMEMBERED: u32 = 2;

/// Why an object is asked for again.
#[derive(Clone, Debug)]
pub enum Doubt {
    /// An answer speaks against it.
    Suspected {
        /// What.
        suspicion: Suspicion,
        /// What was seen, in words.
        detail: String,
        /// Answers that said so.
        answers: u32,
        /// True if the answer came to HEAD, which some proxies answer otherwise than GET.
        by_head: bool,
        /// True if it contradicted itself in an earlier sweep.
        is_remembered: bool,
    },
    /// It was served, but contradicted itself in an earlier sweep.
    Remembered,
}

/// How it is asked for again.
#[derive(Clone, Copy, Debug)]
pub struct ConfirmOptions<'a> {
    /// How often, and how long after one another.
    pub confirm: Confirm,
    /// Every answer so far came before this, over a connection that was opened before.
    pub since: Instant,
    /// Objects of the repository that were bad to HEAD and never to GET.
    pub head_alone: &'a AtomicU32,
}

/// What became of a doubt.
#[derive(Debug)]
pub struct Confirmation {
    /// The suspicion, if no answer said otherwise; otherwise what the object is.
    pub verdict: Verdict,
    /// Answers that spoke against it, the first included.
    pub answers: u32,
    /// Exchanges that were needed.
    pub exchanges: u32,
    /// True if some of the answers may have been the registry's trouble and not the object's.
    pub is_mixed: bool,
    /// How a blob is proved, if an answer says that it is sound.
    pub evidence: Evidence,
    /// A bad and a good answer to the same question, in words.
    pub contradiction: Option<(String, String)>,
}

/// Asks again, each time over a connection that was opened after the last answer, until a suspicion is confirmed
/// `attempts` times in a row, or contradicted.
pub async fn confirm<R: Registry>(
    registry: &R,
    repository: &Repository,
    inquiry: Inquiry,
    doubt: Doubt,
    asking: ConfirmOptions<'_>,
) -> Confirmation {
    let ConfirmOptions { confirm, since, head_alone } = asking;
    let began = Instant::now();
    let inquiry = inquiry.confirming();
    let is_remembered = matches!(doubt, Doubt::Remembered | Doubt::Suspected { is_remembered: true, .. });
    let attempts = confirm.attempts * if is_remembered { REMEMBERED } else { 1 };
    let mut seen = Seen::of(doubt);
    let mut opened_after = since;
    for _ in 0..attempts {
        tokio::time::sleep(confirm.delay).await;
        let judged = inquiry.ask(&Afresh { registry, opened_after }, repository, true).await;
        opened_after = Instant::now();
        if seen.take(judged) {
            break;
        }
        if seen.is_bad_to_head_alone() && !is_remembered && head_alone.load(Ordering::Relaxed) >= HEAD_ALONE {
            break;
        }
    }
    if seen.is_bad_to_head_alone() {
        head_alone.fetch_add(1, Ordering::Relaxed);
    }
    seen.into_confirmation(attempts, began.elapsed())
}

/// The answers about one object.
#[derive(Default)]
struct Seen {
    /// The last one that speaks against it.
    bad: Option<(Suspicion, String)>,
    /// How many do.
    answers: u32,
    /// True while only HEAD's does.
    is_heads: bool,
    /// What the first one said, if the last one says something else.
    other: Option<String>,
    is_mixed: bool,
    /// The last one that serves it, in words.
    good: Option<(Verdict, String)>,
    /// How it proves a blob.
    evidence: Evidence,
    /// What ended it instead of an answer.
    trouble: Option<Verdict>,
    contradiction: Option<(String, String)>,
    exchanges: u32,
}

impl Seen {
    fn of(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Suspected { suspicion, detail, answers, by_head, .. } => {
                Self { bad: Some((suspicion, detail)), answers, is_heads: by_head, ..Self::default() }
            }
            Doubt::Remembered => Self::default(),
        }
    }

    fn is_bad_to_head_alone(&self) -> bool {
        self.is_heads && self.good.is_some()
    }

    /// Takes in an answer; true if no other can change what it means.
    fn take(&mut self, judged: Judged) -> bool {
        self.exchanges += judged.exchanges;
        match judged.verdict {
            Verdict::Intact(intact) => {
                let good = judged
                    .answered
                    .map_or_else(String::new, |(method, status)| format!("{} {status}", method.as_str()));
                if let Some((suspicion, bad)) = self.bad.as_ref().filter(|_| !self.is_heads) {
                    self.contradiction = suspicion.contradicts().then(|| (bad.clone(), good.clone()));
                }
                self.good = Some((Verdict::Intact(intact), good));
                self.evidence = self.evidence.max(judged.evidence);
                self.bad.is_some() && !self.is_heads
            }
            Verdict::Suspect { suspicion, detail } => {
                if let Some((_, good)) = &self.good {
                    self.contradiction = suspicion.contradicts().then(|| (detail, good.clone()));
                    return true;
                }
                self.add(suspicion, detail, if suspicion == Suspicion::ServerError { judged.exchanges } else { 1 });
                self.is_heads = judged.answered.is_some_and(|(method, _)| method == Method::Head);
                false
            }
            unverified @ Verdict::Unverified { .. } => {
                self.trouble = Some(unverified);
                true
            }
        }
    }

    fn add(&mut self, suspicion: Suspicion, detail: String, answers: u32) {
        self.answers += answers;
        if let Some((before, said)) = self.bad.take() {
            match before.with(suspicion) {
                Pair::Same => {}
                pair => {
                    self.is_mixed |= pair == Pair::Mixed;
                    self.other.get_or_insert(said);
                }
            }
        }
        self.bad = Some((suspicion, detail));
    }

    fn into_confirmation(self, attempts: u32, took: Duration) -> Confirmation {
        let took = took.as_secs_f64();
        let verdict = match (self.good, self.trouble, self.bad) {
            (Some((good, _)), ..) => good,
            (None, Some(trouble), _) => trouble,
            (None, None, Some((suspicion, detail))) => {
                let detail = match (self.other, attempts) {
                    (Some(other), _) => {
                        format!("{other}, then {detail}; never served in {attempts} more answers in {took:.1}s")
                    }
                    (None, 1) => format!("{detail}, confirmed once in {took:.1}s"),
                    (None, _) => format!("{detail}, confirmed {attempts} times in {took:.1}s"),
                };
                Verdict::Suspect { suspicion, detail }
            }
            // Nothing was asked, so that what was known before stays.
            (None, None, None) => Verdict::Intact(crate::check::judge::IntactObject::default()),
        };
        Confirmation {
            verdict,
            answers: self.answers,
            exchanges: self.exchanges,
            is_mixed: self.is_mixed,
            evidence: self.evidence,
            contradiction: self.contradiction,
        }
    }
}

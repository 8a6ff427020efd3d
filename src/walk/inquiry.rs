//! One question about one object, asked and judged.

use crate::judge::{self, Sound, Suspicion, Verdict};
use crate::manifests::KnownManifest;
use crate::oci::{Digest, Reference, Repository};
use crate::proofs::Evidence;
use crate::registry::{Answer, Body, How, Object, Question, Registry, Trouble};
use crate::report::Cause;

/// What is asked, and what the answer is held against.
#[derive(Clone, Debug)]
pub enum Inquiry {
    /// What a reference resolves to.
    Resolution(Reference),
    /// A manifest, by its digest; with its descriptor's size, if one names it.
    Manifest(Digest, Option<u64>),
    /// A blob, by its digest; with its descriptor's size.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its length in bytes.
        size: Option<u64>,
        /// How it is proved.
        evidence: Evidence,
    },
}

/// A verdict, and what it cost.
#[derive(Debug)]
pub struct Judged {
    /// What the answer says.
    pub verdict: Verdict,
    /// Exchanges that were needed.
    pub exchanges: u32,
    /// How a sound blob was proved: by less than what was asked for, if the registry gave no more.
    pub evidence: Evidence,
}

impl Inquiry {
    /// The same question in the form that confirms a suspicion: by GET, since some proxies answer 404 to HEAD alone.
    pub fn confirming(self) -> Self {
        match self {
            Self::Blob { digest, size, evidence } => {
                Self::Blob { digest, size, evidence: evidence.max(Evidence::LastByte) }
            }
            other => other,
        }
    }

    fn question(&self, repository: &Repository, by_get: bool) -> Question {
        let (object, how) = match self {
            Self::Resolution(reference) => {
                (Object::Manifest(reference.clone()), if by_get { How::Whole } else { How::Head })
            }
            Self::Manifest(digest, _) => (Object::Manifest(Reference::Digest(digest.clone())), How::Whole),
            Self::Blob { digest, size, evidence } => {
                let how = match (evidence, size) {
                    (Evidence::Content, size) => How::Content { size: *size },
                    (Evidence::LastByte, Some(size @ 1..)) => How::LastByte { size: *size },
                    _ if by_get => How::Whole,
                    _ => How::Head,
                };
                (Object::Blob(digest.clone()), how)
            }
        };
        Question { repository: repository.clone(), object, how }
    }

    fn judge(&self, result: &Result<Answer, Trouble>) -> Verdict {
        let verdict = match self {
            Self::Resolution(Reference::Digest(digest)) => judge::resolution(Some(digest), result),
            Self::Resolution(Reference::Tag(_)) => judge::resolution(None, result),
            Self::Manifest(digest, size) => judge::manifest(digest, *size, result),
            Self::Blob { digest, size, evidence: Evidence::Content } => judge::content(digest, *size, result),
            Self::Blob { digest, size, .. } => judge::blob(digest, *size, result),
        };
        judge::as_far_as_decoded(verdict, result)
    }

    /// Asks and judges. An answer that leaves the matter open is followed by the other form of the question: GET where
    /// HEAD named no digest or length, HEAD where a range was refused without a length.
    pub async fn ask<R: Registry>(&self, registry: &R, repository: &Repository, by_get: bool) -> Judged {
        let first = self.put(registry, self.question(repository, by_get)).await;
        let other = match (self, &first.verdict) {
            (Self::Resolution(_), Verdict::Sound(Sound { digest: None, .. })) if !by_get => {
                Some(self.question(repository, true))
            }
            (
                Self::Blob { digest, size: Some(1..), evidence },
                Verdict::Unjudged { cause: Cause::Protocol, .. } | Verdict::Sound(Sound { length: None, .. }),
            ) => {
                let other = match evidence {
                    Evidence::Head => Some(Evidence::LastByte),
                    Evidence::LastByte => Some(Evidence::Head),
                    Evidence::Content => None,
                };
                other.map(|evidence| {
                    Self::Blob { digest: digest.clone(), size: self.size(), evidence }.question(repository, false)
                })
            }
            _ => None,
        };
        let Some(other) = other else { return first };
        let second = self.put(registry, other).await;
        let exchanges = first.exchanges + second.exchanges;
        match (&first.verdict, &second.verdict) {
            // The last byte came; HEAD was only to tell whether more follows.
            (Verdict::Sound(Sound { digest: None, .. }), Verdict::Unjudged { .. })
                if first.evidence >= Evidence::LastByte =>
            {
                Judged { exchanges, ..first }
            }
            _ => Judged { exchanges, evidence: first.evidence.max(second.evidence), ..second },
        }
    }

    /// Asks for a manifest that was hashed before by HEAD, and by GET too if that succeeds and leaves anything open.
    pub async fn ask_remembered<R: Registry>(
        &self,
        registry: &R,
        repository: &Repository,
        known: KnownManifest,
    ) -> Judged {
        let Self::Manifest(digest, size) = self else {
            return Box::pin(self.ask(registry, repository, false)).await;
        };
        let question = Question { how: How::Head, ..self.question(repository, false) };
        let result = registry.ask(&question).await;
        let verdict = match &result {
            // A registry that refuses HEAD was asked by GET.
            Ok(answer) if (200..300).contains(&answer.status) && answer.body == Body::Unread => {
                match judge::remembered(digest, *size, (known.manifest, known.size), answer) {
                    Some(verdict) => verdict,
                    None => return Box::pin(self.ask(registry, repository, false)).await,
                }
            }
            _ => self.judge(&result),
        };
        Judged { verdict, exchanges: result.map_or(1, |answer| answer.exchanges), evidence: Evidence::Head }
    }

    /// Asks by HEAD and leaves it at that.
    pub async fn head<R: Registry>(&self, registry: &R, repository: &Repository) -> Verdict {
        self.judge(&registry.ask(&self.question(repository, false)).await)
    }

    async fn put<R: Registry>(&self, registry: &R, question: Question) -> Judged {
        let result = registry.ask(&question).await;
        let verdict = match self.judge(&result) {
            Verdict::Sound(Sound { digest: None, .. })
                if matches!((self, question.how), (Self::Resolution(_), How::Whole)) =>
            {
                let detail = "the answer names no digest and brings no bytes".to_string();
                Verdict::Unjudged { cause: Cause::Protocol, detail }
            }
            verdict => verdict,
        };
        let evidence = match (question.how, &result) {
            (How::Content { .. }, _) => Evidence::Content,
            (How::LastByte { size }, Ok(answer)) if answer.reaches(size) => Evidence::LastByte,
            _ => Evidence::Head,
        };
        Judged { verdict, exchanges: result.map_or(1, |answer| answer.exchanges), evidence }
    }

    fn size(&self) -> Option<u64> {
        match self {
            Self::Manifest(_, size) | Self::Blob { size, .. } => *size,
            Self::Resolution(_) => None,
        }
    }
}

/// What became of a suspicion.
#[derive(Debug)]
pub struct Confirmation {
    /// The suspicion again, if every answer said so; otherwise what contradicts it.
    pub verdict: Verdict,
    /// Answers that said so, the first included.
    pub answers: u32,
    /// Exchanges that were needed.
    pub exchanges: u32,
}

/// Asks again until a suspicion is confirmed `attempts` times in a row, or contradicted.
pub async fn confirm<R: Registry>(
    registry: &R,
    repository: &Repository,
    inquiry: Inquiry,
    first: Suspicion,
    first_answers: u32,
    confirm: crate::config::Confirm,
) -> Confirmation {
    let began = tokio::time::Instant::now();
    let inquiry = inquiry.confirming();
    let (mut answers, mut exchanges) = (first_answers, 0);
    let mut last = (first, String::new());
    for _ in 0..confirm.attempts {
        tokio::time::sleep(confirm.delay).await;
        let judged = inquiry.ask(registry, repository, true).await;
        exchanges += judged.exchanges;
        match judged.verdict {
            Verdict::Suspect { suspicion, detail } if suspicion.same_as(first) => {
                answers += if suspicion == Suspicion::ServerError { judged.exchanges } else { 1 };
                last = (suspicion, detail);
            }
            Verdict::Suspect { detail, .. } => {
                let detail = format!("the answers contradict each other; the last: {detail}");
                return Confirmation {
                    verdict: Verdict::Unjudged { cause: Cause::Protocol, detail },
                    answers,
                    exchanges,
                };
            }
            verdict => return Confirmation { verdict, answers, exchanges },
        }
    }
    let (suspicion, detail) = last;
    let took = began.elapsed().as_secs_f64();
    let times = if confirm.attempts == 1 { "once".to_string() } else { format!("{} times", confirm.attempts) };
    let detail = format!("{detail}, confirmed {times} in {took:.1}s");
    Confirmation { verdict: Verdict::Suspect { suspicion, detail }, answers, exchanges }
}

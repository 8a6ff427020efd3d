//! One question about one object, asked and judged.

use crate::check::evidence::Evidence;
use crate::check::judge::{self, IntactObject, Verdict};
use crate::check::manifest_cache::CachedManifest;
use crate::oci::{Digest, Reference, Repository};
use crate::registry::{Answer, Body, Brought, How, Method, Object, Question, Registry, Trouble};
use crate::report::Cause;

/// Forms of one question that are asked at most.
const FORMS: usize = 3;

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
    /// The method and the status of the answer; `None` if there was none.
    pub answered: Option<(Method, u16)>,
}

impl Judged {
    fn of(verdict: Verdict, result: &Result<Answer, Trouble>, evidence: Evidence) -> Self {
        let exchanges = result.as_ref().map_or(1, |answer| answer.exchanges);
        let answered = result.as_ref().ok().map(|answer| (answer.method, answer.status));
        Self { verdict, exchanges, evidence, answered }
    }
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
        Question { repository: repository.clone(), object, how, opened_after: None }
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

    /// Asks and judges. An answer that leaves the matter open is followed by another form of the question: GET where HEAD
    /// named no digest or length, all of a blob where its last byte cannot be had alone, HEAD where bytes came and no
    /// length. HEAD clears nothing that GET did not deliver.
    pub async fn ask<R: Registry>(&self, registry: &R, repository: &Repository, by_get: bool) -> Judged {
        let mut question = self.question(repository, by_get);
        let (mut judged, mut next) = self.put(registry, &question).await;
        for _ in 1..FORMS {
            let Some(how) = next.filter(|&how| how != question.how) else { break };
            question = Question { how, ..question };
            let (other, after) = self.put(registry, &question).await;
            judged = judged.followed_by(other);
            next = after;
        }
        match &judged.verdict {
            // Its beginning came, and nothing says how much there is.
            Verdict::Intact(IntactObject { length: None, .. })
                if matches!(self, Self::Blob { size: Some(1..), .. }) && judged.evidence < Evidence::LastByte =>
            {
                let detail = "no answer tells the length".to_string();
                Judged { verdict: Verdict::Unverified { cause: Cause::Protocol, detail }, ..judged }
            }
            _ => judged,
        }
    }

    /// The form of the question that follows an answer which leaves the matter open.
    fn next(&self, asked: How, answer: Option<&Answer>, judged: &Judged) -> Option<How> {
        let length = match &judged.verdict {
            Verdict::Intact(intact) => intact.length,
            Verdict::Unverified { cause: Cause::Protocol, .. } => None,
            _ => return None,
        };
        let is_intact = matches!(judged.verdict, Verdict::Intact(_));
        match (self, asked) {
            (Self::Resolution(_), How::Head) => {
                matches!(&judged.verdict, Verdict::Intact(IntactObject { digest: None, .. })).then_some(How::Whole)
            }
            (Self::Blob { size: Some(size @ 1..), .. }, How::Head) => {
                length.is_none().then_some(How::LastByte { size: *size })
            }
            // Its length is known now, and so is where it ends.
            (Self::Blob { size: None, evidence: Evidence::LastByte, .. }, How::Head) => {
                length.filter(|&length| length > 0).map(|size| How::LastByte { size })
            }
            (Self::Blob { size: Some(size), .. }, How::LastByte { .. }) if !is_intact => {
                Some(How::Unranged { size: *size })
            }
            // Another byte than the last one.
            (Self::Blob { size: Some(size), .. }, How::LastByte { .. })
                if judged.evidence < Evidence::LastByte && answer.is_some_and(Answer::is_of_another_range) =>
            {
                Some(How::Unranged { size: *size })
            }
            (Self::Blob { size: Some(_), .. }, How::LastByte { .. } | How::Unranged { .. }) => {
                (is_intact && length.is_none()).then_some(How::Head)
            }
            _ => None,
        }
    }

    /// Asks for a manifest that was hashed before by HEAD, and by GET too if that succeeds and leaves anything open.
    pub async fn ask_remembered<R: Registry>(
        &self,
        registry: &R,
        repository: &Repository,
        known: CachedManifest,
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
        Judged::of(verdict, &result, Evidence::Head)
    }

    /// Asks by HEAD and leaves it at that.
    pub async fn head<R: Registry>(&self, registry: &R, repository: &Repository) -> Verdict {
        self.judge(&registry.ask(&self.question(repository, false)).await)
    }

    /// Asks in one form, and judges; with the form that is to follow, if any.
    async fn put<R: Registry>(&self, registry: &R, question: &Question) -> (Judged, Option<How>) {
        let result = registry.ask(question).await;
        let verdict = match self.judge(&result) {
            Verdict::Intact(IntactObject { digest: None, .. })
                if matches!((self, question.how), (Self::Resolution(_), How::Whole)) =>
            {
                let detail = "the answer names no digest and brings no bytes".to_string();
                Verdict::Unverified { cause: Cause::Protocol, detail }
            }
            verdict => verdict,
        };
        let answer = result.as_ref().ok();
        let evidence = answer.map_or(Evidence::Head, |answer| self.evidence(answer));
        let judged = Judged::of(verdict, &result, evidence);
        let next = self.next(question.how, answer, &judged);
        (judged, next)
    }

    /// How an answer that is sound proves a blob.
    fn evidence(&self, answer: &Answer) -> Evidence {
        let Self::Blob { digest, size, .. } = self else { return Evidence::Head };
        match answer.brings(*size) {
            Brought::Everything if digest.algorithm().is_some() => Evidence::Content,
            Brought::Everything | Brought::End => Evidence::LastByte,
            // Of an empty blob the length says all.
            Brought::Less if *size == Some(0) => Evidence::LastByte,
            Brought::Less => Evidence::Head,
        }
    }
}

impl Judged {
    /// What two answers prove together, of which the second was asked for since the first left something open.
    fn followed_by(self, second: Self) -> Self {
        let exchanges = self.exchanges + second.exchanges;
        match (&self.verdict, &second.verdict) {
            // The last byte came; HEAD was only to tell whether more follows.
            (Verdict::Intact(_), Verdict::Unverified { .. }) if self.evidence >= Evidence::LastByte => {
                Self { exchanges, ..self }
            }
            _ => Self { exchanges, evidence: self.evidence.max(second.evidence), ..second },
        }
    }
}

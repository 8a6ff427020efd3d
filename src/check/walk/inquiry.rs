//! One question about one object: its requests, and the verdict on their responses.

use std::sync::Arc;

use crate::check::evidence::Evidence;
use crate::check::judge::{self, IntactObject, Verdict};
use crate::check::manifest_cache::CachedManifest;
use crate::oci::{Digest, Reference, Repository};
use crate::registry::{Answer, Body, Brought, How, Method, Object, Question, Registry, Trouble};
use crate::report::Cause;

/// Maximum number of requests for one question.
const REQUESTS: usize = 3;

/// A question about an object, with the expectations for its response.
#[derive(Clone, Debug)]
pub enum Inquiry {
    /// The digest that a reference resolves to.
    Resolution(Reference),
    /// A manifest by digest.
    Manifest {
        /// Its digest.
        digest: Digest,
        /// Its length in bytes, if a descriptor names it.
        size: Option<u64>,
        /// Its descriptor's media type.
        media_type: Option<Arc<str>>,
    },
    /// A blob by digest.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Its length in bytes, by its descriptor.
        size: Option<u64>,
        /// The evidence to get.
        evidence: Evidence,
    },
}

/// A verdict with its evidence and cost.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Number of HTTP exchanges.
    pub exchanges: u32,
    /// Evidence for an intact blob; less than requested if the registry gave no more.
    pub evidence: Evidence,
    /// Method and status of the response; `None` without one.
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
    /// The question in the form that confirms a suspicion: by GET, because some proxies answer 404 to HEAD only.
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
            Self::Manifest { digest, .. } => (Object::Manifest(Reference::Digest(digest.clone())), How::Whole),
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
            Self::Manifest { digest, size, media_type } => {
                judge::manifest(digest, *size, media_type.as_deref(), result)
            }
            Self::Blob { digest, size, evidence: Evidence::Content } => judge::content(digest, *size, result),
            Self::Blob { digest, size, .. } => judge::blob(digest, *size, result),
        };
        judge::as_far_as_decoded(verdict, result)
    }

    /// Asks the question and judges the response. An inconclusive response is followed by another request: GET if HEAD
    /// returned no digest or length, the complete blob if the server ignores ranges, HEAD if bytes came without a length.
    /// HEAD never clears a blob that GET did not deliver.
    pub async fn ask<R: Registry>(&self, registry: &R, repository: &Repository, by_get: bool) -> Judged {
        let mut question = self.question(repository, by_get);
        let (mut judged, mut next) = self.put(registry, &question).await;
        for _ in 1..REQUESTS {
            let Some(how) = next.filter(|&how| how != question.how) else { break };
            question = Question { how, ..question };
            let (other, after) = self.put(registry, &question).await;
            judged = judged.followed_by(other);
            next = after;
        }
        match &judged.verdict {
            // Its first bytes came, and no response has its length.
            Verdict::Intact(IntactObject { length: None, .. })
                if matches!(self, Self::Blob { size: Some(1..), .. }) && judged.evidence < Evidence::LastByte =>
            {
                let detail = "no answer tells the length".to_string();
                Judged { verdict: Verdict::Unverified { cause: Cause::Protocol, detail }, ..judged }
            }
            _ => judged,
        }
    }

    /// The next request, if the response is inconclusive.
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
            // Its length is known now, and so is its last byte's position.
            (Self::Blob { size: None, evidence: Evidence::LastByte, .. }, How::Head) => {
                length.filter(|&length| length > 0).map(|size| How::LastByte { size })
            }
            (Self::Blob { size: Some(size), .. }, How::LastByte { .. }) if !is_intact => {
                Some(How::Unranged { size: *size })
            }
            // The response has a byte other than the last.
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

    /// Requests a cached manifest by HEAD, and by GET if the response is inconclusive.
    pub async fn ask_cached<R: Registry>(
        &self,
        registry: &R,
        repository: &Repository,
        cached: CachedManifest,
    ) -> Judged {
        let Self::Manifest { digest, size, .. } = self else {
            return Box::pin(self.ask(registry, repository, false)).await;
        };
        let question = Question { how: How::Head, ..self.question(repository, false) };
        let result = registry.ask(&question).await;
        let verdict = match &result {
            // If the registry refuses HEAD, this is a response to GET.
            Ok(answer) if (200..300).contains(&answer.status) && answer.body == Body::Unread => {
                match judge::cached_manifest(digest, *size, (cached.manifest, cached.size), answer) {
                    Some(verdict) => verdict,
                    None => return Box::pin(self.ask(registry, repository, false)).await,
                }
            }
            _ => self.judge(&result),
        };
        Judged::of(verdict, &result, Evidence::Head)
    }

    /// Asks the question by a single HEAD.
    pub async fn head<R: Registry>(&self, registry: &R, repository: &Repository) -> Verdict {
        self.judge(&registry.ask(&self.question(repository, false)).await)
    }

    /// Sends one request and judges its response. Also returns the next request, if one is needed.
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

    /// The evidence that an intact response gives for a blob.
    fn evidence(&self, answer: &Answer) -> Evidence {
        let Self::Blob { digest, size, .. } = self else { return Evidence::Head };
        match answer.brings(*size) {
            Brought::Everything if digest.algorithm().is_some() => Evidence::Content,
            Brought::Everything | Brought::End => Evidence::LastByte,
            // An empty blob has no last byte: its length suffices.
            Brought::Less if *size == Some(0) => Evidence::LastByte,
            Brought::Less => Evidence::Head,
        }
    }
}

impl Judged {
    /// Combines an inconclusive response with the one that follows it.
    fn followed_by(self, second: Self) -> Self {
        let exchanges = self.exchanges + second.exchanges;
        match (&self.verdict, &second.verdict) {
            // The last byte came. HEAD was only sent for the length.
            (Verdict::Intact(_), Verdict::Unverified { .. }) if self.evidence >= Evidence::LastByte => {
                Self { exchanges, ..self }
            }
            _ => Self { exchanges, evidence: self.evidence.max(second.evidence), ..second },
        }
    }
}

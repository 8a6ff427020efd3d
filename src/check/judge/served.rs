//! Decides whether a response is about the requested object at all.

use super::suspicion::Suspicion;
use super::verdict::{Verdict, is_signed, suspect, unverified};
use crate::registry::{Answer, Method, Trouble};
use crate::report::Cause;

/// The response, if it claims to serve the object; otherwise the verdict by its status.
fn served(result: &Result<Answer, Trouble>) -> Result<&Answer, Verdict> {
    let answer = result.as_ref().map_err(|trouble| unverified(trouble.cause, trouble.detail.clone()))?;
    match (answer.status, answer.trouble()) {
        (404, None) => {
            let signed = answer.error_code.is_some();
            Err(suspect(if signed { Suspicion::Absent } else { Suspicion::AbsentUnsigned }, answer.summary()))
        }
        (500..=599, _) => Err(suspect(Suspicion::ServerError, answer.summary())),
        (_, Some(trouble)) => Err(unverified(trouble.cause, trouble.detail)),
        (200..=299, None) if is_page(answer) => Err(unverified(
            Cause::Protocol,
            format!("{} with an HTML page, which is not the registry's", answer.summary()),
        )),
        (_, None) => Ok(answer),
    }
}

/// The same for a blob. GET must bring its bytes: any other response makes it a suspect, even if HEAD succeeds.
pub(super) fn delivered(result: &Result<Answer, Trouble>) -> Result<&Answer, Verdict> {
    served(result).map_err(|verdict| match verdict {
        Verdict::Unverified { cause, detail } if is_refusal(cause, result) => {
            Verdict::Suspect { suspicion: Suspicion::Refused(cause), detail }
        }
        verdict => verdict,
    })
}

/// True if the server responded with something other than the blob. A 401 or 429 proves nothing about it.
fn is_refusal(cause: Cause, result: &Result<Answer, Trouble>) -> bool {
    match result {
        Err(trouble) => trouble.is_refusal,
        Ok(answer) => {
            let is_forbidden = cause == Cause::Unauthorized && answer.status == 403;
            answer.method == Method::Get && (cause == Cause::Protocol || is_forbidden)
        }
    }
}

/// The same for a request without a range, to which 416 makes no sense.
pub(super) fn served_whole(result: &Result<Answer, Trouble>) -> Result<&Answer, Verdict> {
    match served(result)? {
        answer if answer.status == 416 => {
            Err(unverified(Cause::Protocol, format!("{}, without a range", answer.summary())))
        }
        answer => Ok(answer),
    }
}

/// True for an HTML page, such as a proxy's login page.
fn is_page(answer: &Answer) -> bool {
    let media_type = answer.content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default();
    !is_signed(answer) && media_type.trim().eq_ignore_ascii_case("text/html")
}

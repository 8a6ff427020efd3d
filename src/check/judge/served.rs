//! Whether an answer speaks of the object that was asked for at all.

use super::suspicion::Suspicion;
use super::verdict::{Verdict, is_signed, suspect, unverified};
use crate::registry::{Answer, Method, Trouble};
use crate::report::Cause;

/// The answer, if it speaks of the object as served; otherwise what its status says.
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

/// The same of a blob, of which GET must bring bytes: whatever came in their place stands against it, however well HEAD is
/// answered.
pub(super) fn delivered(result: &Result<Answer, Trouble>) -> Result<&Answer, Verdict> {
    served(result).map_err(|verdict| match verdict {
        Verdict::Unverified { cause, detail } if is_refusal(cause, result) => {
            Verdict::Suspect { suspicion: Suspicion::Refused(cause), detail }
        }
        verdict => verdict,
    })
}

/// True if a blob's server delivered something else than bytes. Who may not ask, or asks too often, learns nothing of it.
fn is_refusal(cause: Cause, result: &Result<Answer, Trouble>) -> bool {
    match result {
        Err(trouble) => trouble.is_refusal,
        Ok(answer) => {
            let is_forbidden = cause == Cause::Unauthorized && answer.status == 403;
            answer.method == Method::Get && (cause == Cause::Protocol || is_forbidden)
        }
    }
}

/// The same where no range was asked for, so that 416 makes no sense.
pub(super) fn served_whole(result: &Result<Answer, Trouble>) -> Result<&Answer, Verdict> {
    match served(result)? {
        answer if answer.status == 416 => {
            Err(unverified(Cause::Protocol, format!("{}, without a range", answer.summary())))
        }
        answer => Ok(answer),
    }
}

/// True for a page for people, such as a proxy's for logging in: nobody pulls that as an image.
fn is_page(answer: &Answer) -> bool {
    let media_type = answer.content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default();
    !is_signed(answer) && media_type.trim().eq_ignore_ascii_case("text/html")
}

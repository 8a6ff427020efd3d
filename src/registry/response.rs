//! From a response to an [`Answer`]: its headers, and as much of its body as the request wants.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};

use super::body::{self, Reading, Wanted};
use super::client::HttpRegistry;
use super::error_body::{error_code, storage_code};
use super::headers::ContentRange;
use super::request::{Kind, Request};
use super::traffic::Code;
use super::transport::Response;
use super::{Answer, Body, Trouble};
use crate::report::Cause;

/// An answer, and its headers for what only lists need of them.
pub struct Exchanged {
    pub answer: Answer,
    pub headers: HeaderMap,
}

impl HttpRegistry {
    pub(super) async fn read(
        &self,
        request: &Request,
        reading: Option<Reading>,
        response: Box<Response>,
    ) -> Result<Box<Exchanged>, Trouble> {
        let Response { status, headers, mut payload, redirected_to } = *response;
        let content_length = number(&headers, &CONTENT_LENGTH);
        let mut answer = Answer {
            method: request.method,
            status,
            error_code: None,
            storage_code: None,
            redirected_to,
            has_retry_after: headers.contains_key(RETRY_AFTER),
            content_digest: header(&headers, &HeaderName::from_static("docker-content-digest")).map(str::to_string),
            content_type: header(&headers, &CONTENT_TYPE).map(str::to_string),
            content_length,
            content_range: header(&headers, &CONTENT_RANGE).and_then(ContentRange::parse),
            is_encoded: header(&headers, &CONTENT_ENCODING).is_some_and(|it| !it.eq_ignore_ascii_case("identity")),
            body: Body::Unread,
            ends_with_connection: payload.ends_with_connection(),
            exchanges: 1,
        };
        match reading {
            Some(Reading { limit, hashed, .. }) if (200..300).contains(&status) => {
                // Of a part that turns out to be longer, the beginning is read, which may not arrive.
                let too_long =
                    !matches!(request.wanted, Wanted::Part(..)) && content_length.is_some_and(|length| length > limit);
                let budget = request.is_of_content().then_some(&self.budget);
                answer.body = match hashed {
                    _ if too_long => Body::TooLong { limit },
                    Some(algorithm) => {
                        body::hash(&mut payload, algorithm, limit, self.request_timeout, budget, &self.traffic).await?
                    }
                    None => body::read(&mut payload, limit, &self.body_memory, &self.traffic).await?,
                };
                // A truncated page of a list proves nothing, and is requested again.
                if matches!((request.kind, &answer.body), (Kind::Catalog | Kind::Tags, Body::Cut { .. })) {
                    return Err(Trouble::new(Cause::Unreachable, "the connection ended within a page"));
                }
            }
            Some(_) => {
                let error = body::read_error(&mut payload, &self.traffic).await;
                answer.error_code = error_code(&error);
                answer.storage_code = storage_code(&error);
            }
            None => payload.drain().await,
        }
        Ok(Box::new(Exchanged { answer, headers }))
    }
}

/// How an exchange without a response is counted.
pub fn code_of(trouble: &Trouble) -> Code {
    match trouble.cause {
        Cause::Timeout => Code::Timeout,
        Cause::Protocol => Code::Protocol,
        _ => Code::Unreachable,
    }
}

/// A header's value, if it is text.
pub fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A header's value as a number.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    header(headers, name)?.trim().parse().ok()
}

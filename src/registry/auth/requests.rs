//! The requests that authorization needs: `GET /v2/`, and tokens.

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::timeout;
use url::Url;

use super::tokens::AuthRequests;
use crate::registry::client::HttpRegistry;
use crate::registry::response::code_of;
use crate::registry::transport::Response;
use crate::registry::{Body, Code, Method, Traffic, Trouble, body};
use crate::report::Cause;

/// A token service's answer is not read beyond this, in bytes.
const TOKEN_LIMIT: u64 = 1024 * 1024;

/// Sends requests by a registry's client.
pub struct Requests<'a>(pub &'a HttpRegistry);

impl AuthRequests for Requests<'_> {
    async fn token(
        &self,
        url: Url,
        authorization: Option<HeaderValue>,
        form: Option<String>,
    ) -> Result<(u16, Vec<u8>), Trouble> {
        self.in_time("the token service", self.ask_token_service(&url, authorization, form)).await
    }

    async fn base(&self, authorization: Option<&HeaderValue>) -> Result<Option<(u16, HeaderMap)>, Trouble> {
        let request = self.0.requests.base();
        let response = self.in_time("the registry", self.0.redirected(&request, authorization)).await?;
        let Response { status, headers, payload, redirected_to } = *response;
        payload.drain().await;
        Ok(redirected_to.is_none().then_some((status, headers)))
    }
}

impl Requests<'_> {
    /// Within the time of a request: an introduction belongs to no request whose time would end it.
    async fn in_time<T>(&self, who: &str, exchange: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let limit = self.0.request_timeout;
        timeout(limit, exchange).await.map_err(|_| {
            let limit = humantime::format_duration(limit);
            Trouble::new(Cause::Timeout, format!("{who} gave no complete answer in {limit}"))
        })?
    }

    async fn ask_token_service(
        &self,
        url: &Url,
        authorization: Option<HeaderValue>,
        form: Option<String>,
    ) -> Result<(u16, Vec<u8>), Trouble> {
        let method = if form.is_some() { reqwest::Method::POST } else { reqwest::Method::GET };
        let mut request = reqwest::Request::new(method, url.clone());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.extend(authorization.map(|authorization| (AUTHORIZATION, authorization)));
        if let Some(form) = form {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            *request.body_mut() = Some(form.into());
        }
        let counted = CountedTokenRequest { traffic: &self.0.traffic, code: Code::Timeout };
        let sent = self.0.send_counted(request, None, Method::Get).await;
        counted.ended(match &sent {
            Ok(response) => Code::of_status(response.status),
            Err(trouble) => code_of(trouble),
        });
        let Response { status, mut payload, .. } = *sent.map_err(|trouble| Trouble {
            detail: format!("the token service could not be asked: {}", trouble.detail),
            is_refusal: false,
            ..trouble
        })?;
        match body::read(&mut payload, TOKEN_LIMIT, &self.0.body_memory, &self.0.traffic).await? {
            Body::Whole(bytes) => Ok((status, bytes.to_vec())),
            Body::Cut { .. } => Err(Trouble::new(Cause::Unreachable, "the token service's answer was cut off")),
            _ => Err(Trouble::new(Cause::Protocol, "the token service's answer is too long")),
        }
    }
}

/// Counts a token request also if it is dropped halfway, when its time is over.
struct CountedTokenRequest<'a> {
    traffic: &'a Traffic,
    code: Code,
}

impl CountedTokenRequest<'_> {
    fn ended(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for CountedTokenRequest<'_> {
    fn drop(&mut self) {
        self.traffic.count_token_request(self.code);
    }
}

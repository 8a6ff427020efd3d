//! Redirects, followed by hand: no credential crosses to another host or port, and nothing goes from https to http.

use std::time::Instant;

use http::header::{HeaderValue, LOCATION};
use url::Url;

use super::Trouble;
use super::client::HttpRegistry;
use super::request::Request;
use super::response::{code_of, header};
use super::traffic::{Code, Method, Traffic};
use super::transport::Response;
use crate::report::Cause;

impl HttpRegistry {
    /// The response to a request, or that of the place to which redirects led.
    pub(super) async fn redirected(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Box<Response>, Trouble> {
        let response = self.send(request, &request.url, authorization).await?;
        if is_redirect(&response) {
            return Box::pin(self.follow(request, authorization, response)).await;
        }
        Ok(response)
    }

    async fn follow(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
        mut response: Box<Response>,
    ) -> Result<Box<Response>, Trouble> {
        let refusal = |detail: String| Trouble::refusal(Cause::Protocol, detail);
        let method = request.method.as_str();
        let mut url = request.url.clone();
        for _ in 0..self.limits.redirects {
            let Response { status, redirected_to, .. } = &*response;
            let by = redirected_to.as_deref().map(|host| format!(" from {host}")).unwrap_or_default();
            let target = header(&response.headers, &LOCATION)
                .and_then(|location| url.join(location).ok())
                .filter(|target| matches!(target.scheme(), "http" | "https") && target.has_host())
                .ok_or_else(|| refusal(format!("{method} {status}{by}: a redirect leads nowhere")))?;
            if url.scheme() == "https" && target.scheme() == "http" {
                return Err(refusal(format!("{method} {status}{by}: a redirect leads from https to http")));
            }
            url = without_credentials(target);
            let is_own_origin = url.origin() == request.url.origin();
            let authorization = authorization.filter(|_| is_own_origin);
            response.payload.drain().await;
            response = self.send(request, &url, authorization).await?;
            response.redirected_to = (!is_own_origin).then(|| authority(&url).into());
            if !is_redirect(&response) {
                return Ok(response);
            }
        }
        Err(refusal(format!("{method} was answered by more than {} redirects", self.limits.redirects)))
    }

    async fn send(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Box<Response>, Trouble> {
        self.send_counted(request.to(url, authorization), request.opened_after, request.method).await
    }

    /// Sends a request and counts it, also if it is dropped half way because its time is over.
    pub(super) async fn send_counted(
        &self,
        request: reqwest::Request,
        opened_after: Option<tokio::time::Instant>,
        method: Method,
    ) -> Result<Box<Response>, Trouble> {
        let counted = CountedExchange { traffic: &self.traffic, method, began: Instant::now(), code: Code::Timeout };
        let result = self.transport.send(request, opened_after).await;
        counted.ended(match &result {
            Ok(response) => Code::of_status(response.status),
            Err(trouble) => code_of(trouble),
        });
        result
    }
}

struct CountedExchange<'a> {
    traffic: &'a Traffic,
    method: Method,
    began: Instant,
    code: Code,
}

impl CountedExchange<'_> {
    fn ended(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for CountedExchange<'_> {
    fn drop(&mut self) {
        self.traffic.count(self.method, self.code, self.began.elapsed());
    }
}

fn is_redirect(response: &Response) -> bool {
    matches!(response.status, 301 | 302 | 303 | 307 | 308)
}

/// A redirect may name a user and a password, which would become an `Authorization` of its own.
fn without_credentials(mut url: Url) -> Url {
    // Both fail only for a URL without a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

//! Effects of faults on requests and responses.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::demo::api;
use crate::demo::route::Endpoint;
use crate::demo::wire::{Answer, Request};
use crate::oci::Digest;

/// A change of requests or responses.
#[derive(Clone)]
pub struct Effect(Vec<Step>);

#[derive(Clone)]
enum Step {
    Rewrite(Arc<Rewrite>),
    Spoil(Arc<Spoil>),
}

type Rewrite = dyn Fn(&mut Request) + Send + Sync;
type Spoil = dyn Fn(&Request, &mut Answer) + Send + Sync;

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Effect of {} steps", self.0.len())
    }
}

impl Effect {
    /// Changes the request before the registry handles it.
    pub(super) fn rewriting(change: impl Fn(&mut Request) + Send + Sync + 'static) -> Self {
        Self(vec![Step::Rewrite(Arc::new(change))])
    }

    /// Changes the response.
    pub(super) fn spoiling(change: impl Fn(&Request, &mut Answer) + Send + Sync + 'static) -> Self {
        Self(vec![Step::Spoil(Arc::new(change))])
    }

    /// Combines two effects.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Sets a header and replaces one of the same name.
    pub fn header(self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        self.and(Self::spoiling(move |_, answer| answer.set_header(name, &value)))
    }

    /// Removes a header.
    pub fn without_header(self, name: &'static str) -> Self {
        self.and(Self::spoiling(move |_, answer| answer.remove_header(name)))
    }

    pub(super) fn rewrite(&self, request: &mut Request) {
        for step in &self.0 {
            if let Step::Rewrite(change) = step {
                change(request);
            }
        }
    }

    pub(super) fn spoil(&self, request: &Request, answer: &mut Answer) {
        for step in &self.0 {
            if let Step::Spoil(change) = step {
                change(request, answer);
            }
        }
    }
}

/// A status with the usual error body of a registry.
pub fn answers(status: u16) -> Effect {
    Effect::spoiling(move |request, answer| {
        let (code, message) = match (status, request.route.endpoint()) {
            (401, _) => ("UNAUTHORIZED", "authentication required"),
            (403, _) => ("DENIED", "requested access to the resource is denied"),
            (404, Endpoint::Blob) => ("BLOB_UNKNOWN", "blob unknown to registry"),
            (404, Endpoint::Manifest) => ("MANIFEST_UNKNOWN", "manifest unknown"),
            (404, _) => ("NAME_UNKNOWN", "repository name not known to registry"),
            (429, _) => ("TOOMANYREQUESTS", "too many requests"),
            _ => ("UNKNOWN", "unknown error"),
        };
        *answer = Answer { delay: answer.delay, ..api::error(status, code, message, Value::Null) };
    })
}

/// 404 with a registry's error body if `Accept` does not name the stored type, as ACR and GCR respond.
pub fn demands_named_type() -> Effect {
    Effect::spoiling(|request, answer| {
        let media_type = answer.get_header("Content-Type").unwrap_or_default().to_string();
        let accepted =
            request.headers.iter().filter(|(name, _)| name == "accept").flat_map(|(_, value)| value.split(','));
        if answer.status == 200 && !accepted.into_iter().any(|accepted| accepted.trim() == media_type) {
            *answer = api::error(404, "MANIFEST_UNKNOWN", "manifest unknown", Value::Null);
        }
    })
}

/// A status with an HTML page, as from a proxy.
pub fn answers_html(status: u16) -> Effect {
    answers_with(status, "text/html", format!("<html><body><h1>{status}</h1><hr>nginx</body></html>\n"))
}

/// A status with an arbitrary body.
pub fn answers_with(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Effect {
    let body = body.into();
    Effect::spoiling(move |_, answer| {
        let fresh = Answer::new(status).header("Content-Type", content_type).body(body.clone());
        *answer = Answer { delay: answer.delay, ..fresh };
    })
}

/// Ignores `Range`: 200 with the full content.
pub fn ignores_range() -> Effect {
    Effect::rewriting(|request| request.headers.retain(|(name, _)| name != "range"))
}

/// Another range than the requested one.
pub fn answers_range(first: usize, last: usize) -> Effect {
    Effect::rewriting(move |request| {
        for (_, value) in request.headers.iter_mut().filter(|(name, _)| name == "range") {
            *value = format!("bytes={first}-{last}");
        }
    })
}

/// `Content-Range` without the total: `bytes 5-5/*`.
pub fn hides_total() -> Effect {
    Effect::spoiling(|_, answer| {
        let range = answer.get_header("Content-Range").and_then(|range| range.split_once('/')).map(|(range, _)| range);
        if let Some(range) = range.map(|range| format!("{range}/*")) {
            answer.set_header("Content-Range", range);
        }
    })
}

/// `Docker-Content-Digest` of something else.
pub fn claims_digest(digest: &Digest) -> Effect {
    Effect(Vec::new()).header("Docker-Content-Digest", digest.to_string())
}

/// No `Docker-Content-Digest`.
pub fn without_digest() -> Effect {
    Effect(Vec::new()).without_header("Docker-Content-Digest")
}

/// 307 to the same path on another host, such as `http://127.0.0.1:9000`. The registry's own host results in a loop.
pub fn redirects_to(base: impl Into<String>) -> Effect {
    redirects_signed(base, "")
}

/// Like [`redirects_to`] with a query, such as `?X-Amz-Signature=…` of a presigned URL.
pub fn redirects_signed(base: impl Into<String>, query: impl Into<String>) -> Effect {
    let (base, query) = (base.into(), query.into());
    Effect::spoiling(move |request, answer| {
        let location = format!("{}{}{query}", base.trim_end_matches('/'), request.path);
        *answer = Answer { delay: answer.delay, ..Answer::new(307).header("Location", location) };
    })
}

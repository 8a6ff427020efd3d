//! Rendered responses with compression and conditional requests.

use std::io::{self, Write};
use std::sync::OnceLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::api_error::ApiError;
use crate::oci::Digest;

/// Minimum size in bytes for compression.
const COMPRESSED_FROM: usize = 1024;

/// Clients may cache the response but must revalidate it; shared caches may not.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// For files whose address changes with their content.
pub const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A response body with its headers.
#[derive(Debug)]
pub struct Rendered {
    body: Bytes,
    content_type: HeaderValue,
    /// `None` if it must not be cached.
    cache_control: Option<HeaderValue>,
    /// A weak tag, because the compressed form shares it. `None` if every rendering differs.
    etag: Option<HeaderValue>,
    gzip: OnceLock<Option<Bytes>>,
}

impl Rendered {
    /// A response of the API.
    ///
    /// # Errors
    ///
    /// 500, if it cannot be written as JSON.
    pub fn json(answer: &impl Serialize) -> Result<Self, ApiError> {
        let failed = |why: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, why);
        let body = serde_json::to_vec(answer).map_err(|error| failed(error.to_string()))?;
        let digest = Digest::sha256(&body).to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default().get(..32).unwrap_or_default();
        let etag = HeaderValue::try_from(format!("W/\"{hex}\"")).map_err(|error| failed(error.to_string()))?;
        let json = Self::text("application/json", body);
        Ok(Self { etag: Some(etag), cache_control: Some(REVALIDATE), ..json })
    }

    /// A page or another text that is not cached.
    pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            content_type: HeaderValue::from_static(content_type),
            cache_control: None,
            etag: None,
            gzip: OnceLock::new(),
        }
    }

    /// A file of this program, which browsers cache.
    pub fn file(content_type: &'static str, content: &'static str) -> Self {
        Self { cache_control: Some(IMMUTABLE), ..Self::text(content_type, content) }
    }

    /// Uncompressed size in bytes.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// The compressed body, created on first use.
    fn gzip(&self) -> Option<Bytes> {
        self.gzip.get_or_init(|| compress(&self.body).ok()).clone()
    }

    /// Compresses the body if a request needs that.
    pub fn prepare(&self, request: &HeaderMap) {
        if self.goes_compressed(request) {
            self.gzip();
        }
    }

    /// True if a request needs no compression, or it is already done.
    pub fn is_prepared(&self, request: &HeaderMap) -> bool {
        self.gzip.get().is_some() || !self.goes_compressed(request)
    }

    fn goes_compressed(&self, request: &HeaderMap) -> bool {
        self.body.len() >= COMPRESSED_FROM && accepts_gzip(request) && !self.is_known(request)
    }

    /// True if the client has a current copy.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let Some(etag) = &self.etag else { return false };
        let ours = etag.to_str().unwrap_or_default().trim_start_matches("W/");
        values(request, header::IF_NONE_MATCH).any(|etag| etag == "*" || etag.trim_start_matches("W/") == ours)
    }

    /// The response to a request with these headers.
    pub fn answer(&self, request: &HeaderMap) -> Response {
        let mut headers = HeaderMap::from_iter([(header::VARY, HeaderValue::from(header::ACCEPT_ENCODING))]);
        headers.extend(self.etag.clone().map(|etag| (header::ETAG, etag)));
        headers.extend(self.cache_control.clone().map(|value| (header::CACHE_CONTROL, value)));
        if self.is_known(request) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        if self.goes_compressed(request)
            && let Some(compressed) = self.gzip()
        {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            return (headers, compressed).into_response();
        }
        (headers, self.body.clone()).into_response()
    }
}

fn compress(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

/// Whether the client accepts gzip, by name or `*`, with a weight above zero (RFC 9110, 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut by_star = false;
    for value in values(request, header::ACCEPT_ENCODING) {
        let (coding, parameters) = value.split_once(';').unwrap_or((value, ""));
        let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        let is_wanted = weight.is_none_or(|weight| weight > 0.0);
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => return is_wanted,
            "*" => by_star = is_wanted,
            _ => {}
        }
    }
    by_star
}

/// The elements of a list header, which may be repeated. Our entity tags contain no comma.
fn values(request: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let all = request.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn gzip_requires_accept_encoding() {
        for (values, accepts) in [
            (&[][..], false),
            (&["gzip"], true),
            (&["br;q=1.0, GZIP;q=0.8, *;q=0.1"], true),
            (&["br", "gzip"], true),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*, gzip; q=0.000"], false),
            (&["identity"], false),
            (&["gzip2"], false),
            (&[""], false),
        ] {
            assert_eq!(accepts_gzip(&request(header::ACCEPT_ENCODING, values)), accepts, "{values:?}");
        }
    }

    #[test]
    fn matching_etags_are_recognised() {
        let rendered = Rendered::json(&["a"]).unwrap();
        let etag: &'static str = rendered.etag.as_ref().unwrap().to_str().unwrap().to_string().leak();
        let strong = etag.trim_start_matches("W/");
        for values in [&[etag][..], &[strong], &["*"], &["\"x\"", strong], &[format!("\"x\", {etag}").leak()]] {
            assert!(rendered.is_known(&request(header::IF_NONE_MATCH, values)), "{values:?}");
        }
        for values in [&[][..], &["\"x\""], &[""], &["W/\"\""], &[strong.trim_matches('"')]] {
            assert!(!rendered.is_known(&request(header::IF_NONE_MATCH, values)), "{values:?}");
        }
    }
}

//! What an answer's status and headers say by themselves.

use super::error_body::refusal;
use super::{Answer, Trouble};
use crate::oci::Digest;
use crate::report::Cause;

/// Characters of the shortest digest: 128 bits (MD5) in base64, without padding.
const SHORTEST_DIGEST: usize = 22;

impl Answer {
    /// The trouble that the status stands for, if the answer says nothing of the object itself.
    pub fn trouble(&self) -> Option<Trouble> {
        let cause = match self.status {
            _ if self.is_throttled() => Cause::RateLimited,
            200..=299 | 416 => return None,
            404 => self.error_code.as_deref().and_then(refusal)?,
            401 | 403 => Cause::Unauthorized,
            408 => Cause::Timeout,
            500..=599 => Cause::ServerError,
            _ => Cause::Protocol,
        };
        Some(Trouble::new(cause, self.summary()))
    }

    /// True if it asks for fewer requests: 429, or a refusal that names that as its reason or is to be tried again later.
    pub fn is_throttled(&self) -> bool {
        let says_so = || self.error_code.as_deref().and_then(refusal) == Some(Cause::RateLimited);
        match self.status {
            429 => true,
            403 => self.has_retry_after || says_so(),
            404 => says_so(),
            _ => false,
        }
    }

    /// True if it refuses a HEAD in a way that says nothing of GET: a presigned redirect may hold for GET only, some proxies
    /// know no HEAD, and some registries refuse its form.
    pub(super) fn leaves_get_open(&self) -> bool {
        match self.status {
            401 | 404 | 408 => false,
            400..=499 => !self.is_throttled(),
            status => status == 501,
        }
    }

    /// `Docker-Content-Digest`, if it is a digest. Some registries write the hexadecimal part alone, or quotes around it:
    /// that names nothing, and neither does a digest that is too short for any algorithm.
    pub fn digest(&self) -> Option<Digest> {
        let text = self.content_digest.as_deref()?;
        let digest: Digest = text.parse().ok()?;
        let encoded = text.split_once(':').map_or("", |(_, encoded)| encoded);
        (digest.algorithm().is_some() || encoded.len() >= SHORTEST_DIGEST).then_some(digest)
    }

    /// Method, status and error code, as in `HEAD 404 MANIFEST_UNKNOWN`; and who answered, if it was not the registry.
    pub fn summary(&self) -> String {
        let code = self.error_code.as_deref().or(self.storage_code.as_deref());
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        let by = self.redirected_to.as_deref().map(|host| format!(" from {host}")).unwrap_or_default();
        format!("{} {}{code}{by}", self.method.as_str(), self.status)
    }
}

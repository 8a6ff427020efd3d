//! The verdict on one object.

use super::suspicion::Suspicion;
use crate::oci::{Digest, Manifest, Platform};
use crate::registry::Answer;
use crate::report::Cause;

/// What one response proves about one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The object is intact, as far as the response can prove it.
    Intact(IntactObject),
    /// The response speaks against the object.
    Suspect {
        /// The suspicion.
        suspicion: Suspicion,
        /// What was seen, in words.
        detail: String,
    },
    /// The response proves nothing about the object.
    Unverified {
        /// The cause.
        cause: Cause,
        /// What was seen, in words.
        detail: String,
    },
}

/// Properties of an intact object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntactObject {
    /// Its length in bytes, if the response has it.
    pub length: Option<u64>,
    /// The digest that a tag resolves to.
    pub digest: Option<Digest>,
    /// The manifest's content.
    pub manifest: Option<Box<Manifest>>,
    /// True if the content is from the cache, and only the headers were requested.
    pub is_cached: bool,
    /// The platform in an image's config.
    pub platform: Option<Box<Platform>>,
}

/// True if the answer has a header that only a registry sends.
pub(super) fn is_signed(answer: &Answer) -> bool {
    answer.digest().is_some()
}

pub(super) fn suspect(suspicion: Suspicion, detail: impl Into<String>) -> Verdict {
    Verdict::Suspect { suspicion, detail: detail.into() }
}

pub(super) fn unverified(cause: Cause, detail: impl Into<String>) -> Verdict {
    Verdict::Unverified { cause, detail: detail.into() }
}

//! Judges responses: a pure function from a response and a descriptor to a verdict.
//!
//! No single response makes an object broken. It raises a [`Suspicion`], which becomes a failure once it is confirmed, and if
//! the state of the registry does not explain it: [`accept`].

mod accept;
mod served;
mod suspicion;
mod verdict;

use std::cmp::Ordering;

pub use accept::{Baseline, accept};
pub use suspicion::{Pair, Suspicion};
pub use verdict::{IntactObject, Verdict};

use crate::oci::{Digest, Manifest, ManifestError, config_platform, parse_manifest, parse_manifest_of_type};
use crate::registry::{Answer, Body, Trouble};
use crate::report::{Cause, Reason, counted};
use served::{delivered, served_whole};
use verdict::{is_signed, suspect, unverified};

/// Judges the response to HEAD or GET of a reference; `named` is its digest, if it has one.
pub fn resolution(named: Option<&Digest>, result: &Result<Answer, Trouble>) -> Verdict {
    let answer = match served_whole(result) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    if let Some(verdict) = named.and_then(|digest| contradiction(digest, answer)) {
        return verdict;
    }
    let digest = match (named, answer.digest(), &answer.body) {
        (Some(named), _, _) => Some(named.clone()),
        (None, Some(digest), Body::Whole(bytes)) if contradicts(&digest, bytes) => {
            let detail = format!("Docker-Content-Digest {digest}, which the bytes do not hash to");
            return mismatch(answer, None, bytes.len() as u64, Suspicion::Digest, detail);
        }
        (None, Some(digest), _) => Some(digest),
        // GHCR's and other HEADs without the header, or with one that is no digest, are asked again by GET, which brings
        // the bytes.
        (None, None, Body::Whole(bytes)) if answer.ends_with_connection && !is_json(bytes) => {
            return cut(answer, bytes.len() as u64);
        }
        (None, None, Body::Whole(bytes)) if !answer.is_encoded => Some(Digest::sha256(bytes)),
        (None, None, Body::Cut { received }) => return cut(answer, *received),
        (None, None, _) => None,
    };
    Verdict::Intact(IntactObject { digest, ..IntactObject::default() })
}

/// Limits the verdict on an encoded response: bytes and lengths in an encoding that was not decoded contradict nothing.
pub fn as_far_as_decoded(verdict: Verdict, result: &Result<Answer, Trouble>) -> Verdict {
    match (verdict, result) {
        (Verdict::Suspect { suspicion, detail }, Ok(answer))
            if answer.is_encoded
                && matches!(suspicion.reason(), Reason::SizeMismatch | Reason::DigestMismatch | Reason::Malformed) =>
        {
            unverified(Cause::Protocol, format!("{detail}; the body has a Content-Encoding that was not requested"))
        }
        (verdict, _) => verdict,
    }
}

/// Judges a completely fetched manifest; `size` and `media_type` are those in its descriptor, if it has one.
pub fn manifest(
    digest: &Digest,
    size: Option<u64>,
    media_type: Option<&str>,
    result: &Result<Answer, Trouble>,
) -> Verdict {
    let answer = match served_whole(result) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    let bytes = match &answer.body {
        Body::Whole(bytes) => bytes,
        Body::Cut { received } => return cut(answer, *received),
        Body::TooLong { limit } => {
            return unverified(Cause::Protocol, format!("the manifest is longer than {limit} bytes"));
        }
        Body::Hashed { .. } | Body::Unread => {
            return unverified(Cause::Protocol, format!("{} brought no body", answer.summary()));
        }
    };
    let Some(algorithm) = digest.algorithm() else {
        return unverified(Cause::Protocol, "the digest's algorithm is unknown");
    };
    let length = bytes.len() as u64;
    if let Some(verdict) = size.and_then(|size| length_mismatch(answer, size, length)) {
        return verdict;
    }
    let actual = Digest::of(algorithm, bytes);
    let parsed = parse_manifest_of_type(bytes, [answer.content_type.as_deref(), media_type]);
    if actual != *digest {
        if parsed == Err(ManifestError::SchemaOne) {
            return unverified(Cause::Protocol, ManifestError::SchemaOne.to_string());
        }
        let detail = format!("the {} to {actual}", of_bytes(length, "hashes", "hash"));
        return mismatch(answer, size, length, digest_suspicion(answer), detail);
    }
    if let Some(verdict) = contradiction(digest, answer) {
        return verdict;
    }
    let intact = |manifest: Manifest| {
        let manifest = Some(Box::new(manifest));
        Verdict::Intact(IntactObject { length: Some(length), manifest, ..IntactObject::default() })
    };
    match parsed {
        Ok(manifest) => intact(manifest),
        Err(ManifestError::SchemaOne) => unverified(Cause::Protocol, ManifestError::SchemaOne.to_string()),
        // Content of an unknown type. Without a descriptor or the registry's header, the digest may be that of a page which
        // something in front of the registry made.
        Err(ManifestError::Untyped(_)) if size.is_some() || is_signed(answer) => intact(Manifest::default()),
        Err(error @ (ManifestError::Malformed(_) | ManifestError::Untyped(_))) => {
            let suspicion = if is_signed(answer) { Suspicion::Malformed } else { Suspicion::MalformedUnsigned };
            suspect(suspicion, error.to_string())
        }
    }
}

/// Judges a cached manifest by the headers of a response: intact if they are unchanged. `None` if its bytes are needed.
pub fn cached_manifest(digest: &Digest, size: Option<u64>, known: (Manifest, u64), answer: &Answer) -> Option<Verdict> {
    let (manifest, length) = known;
    let is_as_before = answer.status == 200
        && answer.content_length == Some(length)
        && size.is_none_or(|size| size == length)
        && answer.digest().as_ref() == Some(digest);
    is_as_before.then(|| {
        let manifest = Some(Box::new(manifest));
        Verdict::Intact(IntactObject { length: Some(length), manifest, is_cached: true, ..IntactObject::default() })
    })
}

/// Judges the response to HEAD of a blob, or to GET of its last byte.
pub fn blob(digest: &Digest, size: Option<u64>, result: &Result<Answer, Trouble>) -> Verdict {
    let answer = match delivered(result) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    if let Some(verdict) = contradiction(digest, answer) {
        return verdict;
    }
    match answer.status {
        206 => ranged(digest, size, answer),
        416 => match (size, answer.content_range.and_then(|range| range.total)) {
            (Some(size), Some(total)) if size != total => too_short_or_long(answer, size, total),
            (Some(0) | None, Some(0)) => Verdict::Intact(IntactObject { length: Some(0), ..IntactObject::default() }),
            _ => unverified(Cause::Protocol, "416, which does not tell that the object is shorter"),
        },
        _ => whole(digest, size, answer),
    }
}

/// Judges the response to GET of a complete blob.
pub fn content(digest: &Digest, size: Option<u64>, result: &Result<Answer, Trouble>) -> Verdict {
    let answer = match delivered(result) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    if let Some(verdict) = contradiction(digest, answer) {
        return verdict;
    }
    let Some(algorithm) = digest.algorithm() else {
        return unverified(Cause::Protocol, "the digest's algorithm is unknown");
    };
    let told_wrong = size.zip(answer.content_length).and_then(|(size, length)| length_mismatch(answer, size, length));
    let (actual, length, platform) = match &answer.body {
        Body::Whole(bytes) => (Digest::of(algorithm, bytes), bytes.len() as u64, config_platform(bytes)),
        Body::Hashed { digest, length } => (digest.clone(), *length, None),
        // A wrong length is the clearer finding.
        Body::Cut { received } => return told_wrong.unwrap_or_else(|| cut(answer, *received)),
        Body::TooLong { limit } => {
            let longer = format!("the registry has more than {limit} bytes");
            return told_wrong.unwrap_or_else(|| match size {
                Some(size) => suspect(Suspicion::Size, format!("{longer}, the descriptor says {size}")),
                None => unverified(Cause::Protocol, longer),
            });
        }
        Body::Unread => return refused(answer, "brought no body"),
    };
    if answer.status != 200 {
        return refused(answer, "is no answer to a request for everything");
    }
    if let Some(verdict) = size.and_then(|size| length_mismatch(answer, size, length)) {
        return verdict;
    }
    if actual != *digest {
        return mismatch(
            answer,
            size,
            length,
            Suspicion::Digest,
            format!("the {} to {actual}", of_bytes(length, "hashes", "hash")),
        );
    }
    Verdict::Intact(IntactObject { length: Some(length), platform: platform.map(Box::new), ..IntactObject::default() })
}

/// Judges a 206. Its bytes must come, and either reach the end or state the total length.
fn ranged(digest: &Digest, size: Option<u64>, answer: &Answer) -> Verdict {
    if matches!(&answer.body, Body::Whole(bytes) if bytes.is_empty() && answer.content_length.is_some()) {
        return refused(answer, "brought no bytes");
    }
    let Some(range) = answer.content_range else {
        return unverified(Cause::Protocol, "206 without a Content-Range that makes sense");
    };
    if let Some((size, total)) = size.zip(range.total)
        && let Some(verdict) = length_mismatch(answer, size, total)
    {
        return verdict;
    }
    let Some((first, last)) = range.range else {
        return unverified(Cause::Protocol, "206 without a range");
    };
    let reaches_the_end = |size: u64| first < size && last == size - 1;
    if range.total.is_none() && !size.is_none_or(reaches_the_end) {
        return unverified(Cause::Protocol, format!("206 with the bytes {first} to {last}, which were not asked for"));
    }
    let expected = (last - first).saturating_add(1);
    let received = match &answer.body {
        Body::Cut { received } => return cut(answer, *received),
        Body::Whole(bytes) => bytes.len() as u64,
        Body::Hashed { length, .. } => *length,
        // More than was requested; the rest was not read.
        Body::TooLong { limit } if *limit < expected => expected,
        Body::TooLong { .. } | Body::Unread => {
            return unverified(Cause::Protocol, "206 with other bytes than its range has");
        }
    };
    match received.cmp(&expected) {
        // Without a length, a connection that ends early looks like the body's end.
        Ordering::Less if answer.content_length.is_none() => cut(answer, received),
        Ordering::Less => refused(answer, &format!("brought {received} of the {expected} bytes that it announces")),
        Ordering::Greater => unverified(Cause::Protocol, "206 with other bytes than its range has"),
        Ordering::Equal if first == 0 && range.total.or(size) == Some(expected) => {
            hashed(digest, Some(expected), range.total, answer)
        }
        Ordering::Equal => Verdict::Intact(IntactObject { length: range.total, ..IntactObject::default() }),
    }
}

/// 200: to HEAD, or to a GET whose range was ignored.
fn whole(digest: &Digest, size: Option<u64>, answer: &Answer) -> Verdict {
    let length = match &answer.body {
        Body::Cut { received } => {
            // A wrong length is the clearer finding.
            if let Some(verdict) =
                size.zip(answer.content_length).and_then(|(size, length)| length_mismatch(answer, size, length))
            {
                return verdict;
            }
            return cut(answer, *received);
        }
        Body::Whole(bytes) => Some(bytes.len() as u64),
        Body::Hashed { length, .. } => Some(*length),
        Body::TooLong { .. } | Body::Unread => answer.content_length,
    };
    match (size, length, &answer.body) {
        (Some(size), Some(length), _) if size != length => too_short_or_long(answer, size, length),
        // The beginning came; how much there is, HEAD may tell.
        (Some(size), None, Body::TooLong { limit }) if *limit < size => Verdict::Intact(IntactObject::default()),
        (Some(_), None, _) => unverified(Cause::Protocol, format!("{} does not tell the length", answer.summary())),
        (_, length, _) => hashed(digest, size, length, answer),
    }
}

/// A blob of the right length: if all of its bytes came, they must hash to its digest.
fn hashed(digest: &Digest, size: Option<u64>, length: Option<u64>, answer: &Answer) -> Verdict {
    let is_other = match &answer.body {
        Body::Whole(bytes) => contradicts(digest, bytes),
        Body::Hashed { digest: actual, .. } => actual != digest,
        Body::Cut { .. } | Body::TooLong { .. } | Body::Unread => false,
    };
    if is_other {
        let length = length.unwrap_or_default();
        let detail = format!("the {} not hash to the digest", of_bytes(length, "does", "do"));
        return mismatch(answer, size, length, digest_suspicion(answer), detail);
    }
    Verdict::Intact(IntactObject { length, ..IntactObject::default() })
}

/// True if the bytes do not hash to the digest, as far as its algorithm is known.
fn contradicts(digest: &Digest, bytes: &[u8]) -> bool {
    digest.algorithm().is_some_and(|algorithm| {
        Digest::of(algorithm, bytes) != *digest && parse_manifest(bytes) != Err(ManifestError::SchemaOne)
    })
}

fn digest_suspicion(answer: &Answer) -> Suspicion {
    if is_signed(answer) { Suspicion::Digest } else { Suspicion::DigestUnsigned }
}

/// Bytes that do not hash to the digest: other bytes, or the beginning of the right ones if the connection may have ended
/// early and no descriptor says that nothing is missing.
fn mismatch(answer: &Answer, size: Option<u64>, length: u64, suspicion: Suspicion, detail: String) -> Verdict {
    if answer.ends_with_connection && size.is_none() { cut(answer, length) } else { suspect(suspicion, detail) }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Compares `Docker-Content-Digest` with the requested digest. Another algorithm proves nothing: distribution answers a
/// sha512 reference with the stored sha256.
fn contradiction(digest: &Digest, answer: &Answer) -> Option<Verdict> {
    let told = answer.digest()?;
    (told.algorithm() == digest.algorithm() && told != *digest)
        .then(|| suspect(Suspicion::Digest, format!("{}, Docker-Content-Digest {told}", answer.summary())))
}

fn length_mismatch(answer: &Answer, size: u64, length: u64) -> Option<Verdict> {
    (size != length).then(|| too_short_or_long(answer, size, length))
}

fn too_short_or_long(answer: &Answer, size: u64, length: u64) -> Verdict {
    let is_counted = answer.status == 200 && matches!(answer.body, Body::Whole(_) | Body::Hashed { .. });
    if length < size && is_counted && answer.ends_with_connection {
        return cut(answer, length);
    }
    let suspicion = if is_signed(answer) { Suspicion::Size } else { Suspicion::SizeUnsigned };
    suspect(suspicion, format!("the registry has {}, the descriptor says {size}", counted(length, "byte", "bytes")))
}

fn of_bytes(length: u64, one: &str, many: &str) -> String {
    counted(length, &format!("byte {one}"), &format!("bytes {many}"))
}

fn cut(answer: &Answer, received: u64) -> Verdict {
    let received = counted(received, "byte", "bytes");
    suspect(Suspicion::Cut, format!("{}, then the connection ended after {received}", answer.summary()))
}

fn refused(answer: &Answer, what: &str) -> Verdict {
    suspect(Suspicion::Refused(Cause::Protocol), format!("{} {what}", answer.summary()))
}

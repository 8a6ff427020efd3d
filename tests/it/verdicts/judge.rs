//! The verdicts, answer by answer: what a registry may say of an object, and what that proves.

use bytes::Bytes;
use registry_integrity_probe::check::judge::{self, Baseline, IntactObject, Suspicion, Verdict, accept};
use registry_integrity_probe::oci::{Algorithm, Digest};
use registry_integrity_probe::registry::{Answer, Body, ContentRange, Method, Trouble};
use registry_integrity_probe::report::Cause;

fn answer(method: Method, status: u16) -> Answer {
    Answer {
        method,
        status,
        error_code: None,
        storage_code: None,
        redirected_to: None,
        has_retry_after: false,
        content_digest: None,
        content_type: None,
        content_length: None,
        content_range: None,
        body: Body::Unread,
        ends_with_connection: false,
        is_encoded: false,
        exchanges: 1,
    }
}

fn head(length: u64) -> Answer {
    Answer { content_length: Some(length), ..answer(Method::Head, 200) }
}

fn range(first: u64, last: u64, total: Option<u64>, body: Body) -> Answer {
    let content_range = Some(ContentRange { range: Some((first, last)), total });
    Answer { content_range, body, ..answer(Method::Get, 206) }
}

fn whole(bytes: &'static [u8]) -> Answer {
    Answer { body: Body::Whole(Bytes::from_static(bytes)), ..answer(Method::Get, 200) }
}

/// A verdict in one word: `sound`, a suspicion or a cause.
fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Intact(_) => "intact".to_string(),
        Verdict::Suspect { suspicion, .. } => format!("{suspicion:?}"),
        Verdict::Unverified { cause, .. } => cause.to_string(),
    }
}

#[test]
fn a_blob_of_ten_bytes() {
    let digest = Digest::sha256(b"0123456789");
    let other = Digest::sha256(b"other").to_string();
    let signed = |answer| Answer { content_digest: Some(digest.to_string()), ..answer };
    let byte = || Body::Whole(Bytes::from_static(b"9"));
    let refused = |status, code: &str| Answer { error_code: Some(code.to_string()), ..answer(Method::Get, status) };
    let until_the_end = |bytes| Answer { ends_with_connection: true, ..whole(bytes) };
    let unsatisfiable = |total| Answer {
        content_range: Some(ContentRange { range: None, total: Some(total) }),
        ..answer(Method::Get, 416)
    };
    let cases: Vec<(&str, Answer, &str)> = vec![
        ("HEAD of the right length", head(10), "intact"),
        ("HEAD of another length", signed(head(9)), "Size"),
        ("HEAD of another length, from somebody", head(9), "SizeUnsigned"),
        ("HEAD without a length", answer(Method::Head, 200), "protocol"),
        ("the last byte", range(9, 9, Some(10), byte()), "intact"),
        ("the last byte, of an object whose length is not told", range(9, 9, None, byte()), "intact"),
        ("another total", signed(range(9, 9, Some(11), byte())), "Size"),
        ("another range, which tells the right length", range(0, 0, Some(10), byte()), "intact"),
        ("another range", range(0, 0, None, byte()), "protocol"),
        (
            "more than was asked for, the last byte included",
            range(0, 9, Some(10), Body::Whole(Bytes::from_static(b"0123456789"))),
            "intact",
        ),
        ("a promised byte that does not come", range(9, 9, Some(10), Body::Cut { received: 0 }), "Cut"),
        ("an empty body for a promised byte", range(9, 9, Some(10), Body::Whole(Bytes::new())), "Cut"),
        ("206 without Content-Range", answer(Method::Get, 206), "protocol"),
        ("416 that tells a shorter object", signed(unsatisfiable(9)), "Size"),
        ("416 that tells the right length", unsatisfiable(10), "protocol"),
        ("416 that tells nothing", answer(Method::Get, 416), "protocol"),
        ("the whole, unasked", whole(b"0123456789"), "intact"),
        ("too little of it", signed(whole(b"012345678")), "Size"),
        (
            "nothing of it",
            Answer { content_length: Some(10), body: Body::Cut { received: 0 }, ..answer(Method::Get, 200) },
            "Cut",
        ),
        (
            "too much to read, of the right length",
            Answer { content_length: Some(10), body: Body::TooLong { limit: 5 }, ..answer(Method::Get, 200) },
            "intact",
        ),
        (
            "too much to read, of no told length: it is left to HEAD",
            Answer { body: Body::TooLong { limit: 5 }, ..answer(Method::Get, 200) },
            "intact",
        ),
        (
            "more than there should be, of no told length",
            Answer { body: Body::TooLong { limit: 64 }, ..answer(Method::Get, 200) },
            "protocol",
        ),
        (
            "an empty body that says so, for a promised byte",
            Answer { content_length: Some(0), ..range(9, 9, Some(10), Body::Whole(Bytes::new())) },
            "Refused(Protocol)",
        ),
        (
            "an empty body that says so, and no Content-Range",
            Answer { content_length: Some(0), body: Body::Whole(Bytes::new()), ..answer(Method::Get, 206) },
            "Refused(Protocol)",
        ),
        (
            "other bytes, all of them",
            signed(range(0, 9, Some(10), Body::Whole(Bytes::from_static(b"0123456780")))),
            "Digest",
        ),
        (
            "other bytes, too many to keep",
            signed(Answer {
                body: Body::Hashed { digest: Digest::sha256(b"other"), length: 10 },
                ..answer(Method::Get, 200)
            }),
            "Digest",
        ),
        (
            "a page for people",
            Answer { content_type: Some("text/html".to_string()), ..whole(b"0123456789") },
            "Refused(Protocol)",
        ),
        ("a digest that contradicts", Answer { content_digest: Some(other), ..head(10) }, "Digest"),
        (
            "a digest of another algorithm",
            Answer { content_digest: Some(Digest::of(Algorithm::Sha512, b"").to_string()), ..head(10) },
            "intact",
        ),
        (
            "404 from the registry",
            Answer { error_code: Some("BLOB_UNKNOWN".to_string()), ..answer(Method::Get, 404) },
            "Absent",
        ),
        ("404 from somebody", answer(Method::Get, 404), "AbsentUnsigned"),
        ("404 that hides it", refused(404, "DENIED"), "unauthorized"),
        ("404 that asks who one is", refused(404, "UNAUTHORIZED"), "unauthorized"),
        ("404 that throttles", refused(404, "TOOMANYREQUESTS"), "rate_limited"),
        ("404 that does not do that", refused(404, "UNSUPPORTED"), "Refused(Protocol)"),
        ("403 that throttles", Answer { has_retry_after: true, ..answer(Method::Get, 403) }, "rate_limited"),
        ("403 that says that it throttles", refused(403, "TOOMANYREQUESTS"), "rate_limited"),
        ("the beginning, until the connection ended", until_the_end(b"012345678"), "Cut"),
        ("more than all, until the connection ended", signed(until_the_end(b"0123456789+")), "Size"),
        ("other bytes, until the connection ended", signed(until_the_end(b"0123456780")), "Digest"),
        ("500", answer(Method::Head, 500), "ServerError"),
        ("401", answer(Method::Head, 401), "unauthorized"),
        ("403", answer(Method::Head, 403), "unauthorized"),
        ("403 to GET", answer(Method::Get, 403), "Refused(Unauthorized)"),
        ("401 to GET", answer(Method::Get, 401), "unauthorized"),
        ("429", answer(Method::Head, 429), "rate_limited"),
        ("429 to GET", answer(Method::Get, 429), "rate_limited"),
        ("408 to GET", answer(Method::Get, 408), "timeout"),
        ("a redirect that nobody followed", answer(Method::Head, 304), "protocol"),
        ("410 to HEAD", answer(Method::Head, 410), "protocol"),
        ("410", answer(Method::Get, 410), "Refused(Protocol)"),
    ];
    for (what, answer, expected) in cases {
        assert_eq!(word(&judge::blob(&digest, Some(10), &Ok(answer))), expected, "{what}");
    }
    let trouble = Err(Trouble::new(Cause::Timeout, "no answer"));
    assert_eq!(word(&judge::blob(&digest, Some(10), &trouble)), "timeout");
    let refusal = Err(Trouble::refusal(Cause::Unreachable, "the connection broke before an answer"));
    assert_eq!(word(&judge::blob(&digest, Some(10), &refusal)), "Refused(Unreachable)");
}

#[test]
fn an_empty_blob_needs_no_byte() {
    let digest = Digest::sha256(b"");
    for answer in [head(0), whole(b"")] {
        assert_eq!(word(&judge::blob(&digest, Some(0), &Ok(answer))), "intact");
    }
}

#[test]
fn a_manifest() {
    let bytes: &[u8] = br#"{"layers":[]}"#;
    let digest = Digest::sha256(bytes);
    let of = |size, answer| word(&judge::manifest(&digest, size, None, &Ok(answer)));
    assert_eq!(of(Some(13), whole(br#"{"layers":[]}"#)), "intact");
    assert_eq!(of(None, whole(br#"{"layers":[]}"#)), "intact");
    let signed = |answer| Answer { content_digest: Some(digest.to_string()), ..answer };
    assert_eq!(of(Some(12), signed(whole(br#"{"layers":[]}"#))), "Size");
    assert_eq!(of(Some(12), whole(br#"{"layers":[]}"#)), "SizeUnsigned", "somebody may have put a page in its place");
    assert_eq!(of(None, signed(whole(br#"{"layers":{}}"#))), "Digest");
    assert_eq!(of(None, signed(whole(b""))), "Digest");
    assert_eq!(of(None, whole(b"<html>log in</html>")), "DigestUnsigned");
    assert_eq!(of(None, Answer { body: Body::Cut { received: 3 }, ..answer(Method::Get, 200) }), "Cut");
    assert_eq!(of(None, Answer { body: Body::TooLong { limit: 3 }, ..answer(Method::Get, 200) }), "protocol");
    let until_the_end = |bytes| Answer { ends_with_connection: true, ..whole(bytes) };
    assert_eq!(of(None, signed(until_the_end(br#"{"layers":"#))), "Cut");
    assert_eq!(of(Some(13), signed(until_the_end(br#"{"layers":"#))), "Cut");
    assert_eq!(of(Some(13), signed(until_the_end(br#"{"layers":{}}"#))), "Digest", "nothing is missing");
    let contradicting = Answer { content_digest: Some(Digest::sha256(b"x").to_string()), ..whole(br#"{"layers":[]}"#) };
    assert_eq!(of(None, contradicting), "Digest");

    let no_manifest = br#"{"errors":[]}"#;
    let image = "application/vnd.oci.image.manifest.v1+json";
    let signed = |answer| Answer { content_digest: Some(Digest::sha256(no_manifest).to_string()), ..answer };
    let typed = |answer| Answer { content_type: Some(image.to_string()), ..answer };
    let of =
        |size, media_type, answer| word(&judge::manifest(&Digest::sha256(no_manifest), size, media_type, &Ok(answer)));
    assert_eq!(of(None, None, signed(typed(whole(no_manifest)))), "Malformed");
    assert_eq!(of(None, None, typed(whole(no_manifest))), "MalformedUnsigned");
    assert_eq!(
        of(Some(13), Some(image), signed(whole(no_manifest))),
        "Malformed",
        "its descriptor calls it a manifest"
    );
    assert_eq!(of(None, None, signed(whole(no_manifest))), "intact", "it may be anything");
    assert_eq!(of(Some(13), None, whole(no_manifest)), "intact", "a descriptor names its digest");
    assert_eq!(of(None, None, whole(no_manifest)), "MalformedUnsigned", "it may be a page of a proxy");
    let of = |size, answer| word(&judge::manifest(&digest, size, None, &Ok(answer)));
    let schema_one = br#"{"schemaVersion":1,"fsLayers":[]}"#;
    assert_eq!(of(None, whole(schema_one)), "protocol", "its digest does not cover its signatures");
}

#[test]
fn a_tag() {
    let digest = Digest::sha256(b"x");
    let named = Answer { content_digest: Some(digest.to_string()), ..head(1) };
    let resolves_to = |answer| match judge::resolution(None, &Ok(answer)) {
        Verdict::Intact(IntactObject { digest, .. }) => digest,
        other => panic!("{other:?}"),
    };
    assert_eq!(resolves_to(named), Some(digest.clone()));
    assert_eq!(resolves_to(head(1)), None);
    assert_eq!(resolves_to(whole(br#"{"layers":[]}"#)), Some(Digest::sha256(br#"{"layers":[]}"#)));
    let rubbish = Answer { content_digest: Some("rubbish".to_string()), ..head(1) };
    assert_eq!(resolves_to(rubbish), None);
    for header in ["", &digest.to_string()[7..], &format!("\"{digest}\"")] {
        let named_badly = |answer| Answer { content_digest: Some(header.to_string()), ..answer };
        assert_eq!(resolves_to(named_badly(head(1))), None, "{header}: left to GET");
        let bytes = br#"{"layers":[]}"#;
        assert_eq!(resolves_to(named_badly(whole(bytes))), Some(Digest::sha256(bytes)), "{header}");
    }
}

#[test]
fn one_server_error_is_unreadable_many_are_unverified() {
    let among = |served, suspected| {
        let baseline =
            Baseline { served, neighbours: 1_000, blobs_of_repository: 1, suspected, answers: 10_000, contradicted: 0 };
        accept(Suspicion::ServerError, 4, &baseline).is_ok()
    };
    assert!(among(1, 1), "one alone");
    assert!(!among(0, 1), "but beside something that is served");
    assert!(!among(10, 2));
    assert!(among(18, 2), "one in ten");
    assert!(!among(17, 2));
}

#[test]
fn a_blob_that_is_refused_counts_among_all_blobs() {
    let among = |served, neighbours, suspected| {
        let baseline =
            Baseline { served, neighbours, blobs_of_repository: 1, suspected, answers: 10_000, contradicted: 0 };
        accept(Suspicion::Refused(Cause::Protocol), 4, &baseline).is_ok()
    };
    assert!(among(1, 2, 1), "one alone");
    assert!(!among(0, 2, 1), "but beside something of its kind that is served");
    assert!(among(1, 18, 2), "one in ten");
    assert!(!among(1, 17, 2));
    let denied = |beside| {
        let baseline = Baseline {
            served: 90,
            neighbours: 90,
            blobs_of_repository: beside,
            suspected: 1,
            answers: 10_000,
            contradicted: 0,
        };
        accept(Suspicion::Refused(Cause::Unauthorized), 4, &baseline).is_ok()
    };
    assert!(denied(1));
    assert!(!denied(0), "a client that may not read a repository is refused all of it");
}

#[test]
fn one_truncated_body_is_unreadable_all_are_unverified() {
    let among = |served, neighbours, suspected| {
        let baseline =
            Baseline { served, neighbours, blobs_of_repository: 1, suspected, answers: 10_000, contradicted: 0 };
        accept(Suspicion::Cut, 4, &baseline).is_ok()
    };
    assert!(!among(0, 0, 1), "nothing is served");
    assert!(!among(0, 9, 9), "all layers, while configs are served");
    assert!(among(0, 1, 1), "the only layer, beside its config");
    assert!(among(1, 1, 9), "a cache that has lost its storage lies about many");
}

#[test]
fn what_comes_at_random_is_not_believed() {
    let with = |contradicted, answers| {
        let baseline = Baseline {
            served: 2_000,
            neighbours: 2_000,
            blobs_of_repository: 1,
            suspected: 1,
            answers: 10_000,
            contradicted,
        };
        accept(Suspicion::Absent, answers, &baseline).is_ok()
    };
    assert!(with(0, 4));
    assert!(with(5, 4), "a passing 404 or two say nothing against one that stays");
    assert!(!with(2_000, 4), "where a fifth of all answers is wrong, four in a row are an accident");
    assert!(with(2_000, 12));
}

#[test]
fn bytes_in_an_encoding_that_is_not_undone_contradict_nothing() {
    let bytes = Bytes::from_static(b"\x28\xb5\x2f\xfd");
    let encoded = Answer { is_encoded: true, body: Body::Whole(bytes), ..answer(Method::Get, 200) };
    // Their digest would be one that nobody ever pushed.
    let verdict = judge::resolution(None, &Ok(encoded.clone()));
    assert!(matches!(verdict, Verdict::Intact(IntactObject { digest: None, .. })), "{verdict:?}");
    let result = Ok(encoded);
    let verdict = judge::manifest(&Digest::sha256(b"{}"), None, None, &result);
    assert!(matches!(verdict, Verdict::Suspect { suspicion: Suspicion::DigestUnsigned, .. }), "{verdict:?}");
    let verdict = judge::as_far_as_decoded(verdict, &result);
    assert!(matches!(verdict, Verdict::Unverified { cause: Cause::Protocol, .. }), "{verdict:?}");
}

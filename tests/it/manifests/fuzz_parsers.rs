//! Bytes of any kind are read without a panic, and what is made of them holds what it promises; and no answer, however
//! odd, leads to a verdict that it cannot prove.

use bytes::Bytes;
use proptest::prelude::*;
use registry_integrity_probe::check::judge::{self, Suspicion, Verdict};
use registry_integrity_probe::oci::{Digest, Repository, Tag, parse_manifest};
use registry_integrity_probe::registry::{Answer, Body, ContentRange, Method, Trouble};
use registry_integrity_probe::report::Cause;

/// Pieces of a manifest in any order, so that they come close to being one.
fn almost_a_manifest() -> impl Strategy<Value = Vec<u8>> {
    let digest = format!("\"{}\"", Digest::sha256(b"x"));
    let long = format!("\"{}\"", "x".repeat(2_000));
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "-1",
        "1e400",
        "18446744073709551616",
        "\"\\ud800\"",
        "\"config\"",
        "\"layers\"",
        "\"manifests\"",
        "\"digest\"",
        "\"size\"",
        "\"platform\"",
        "\"os\"",
        "\"annotations\"",
        "\"urls\"",
        "\"mediaType\"",
        "\"fsLayers\"",
        "{\"layers\":[{\"digest\":",
        "}]}",
        "\u{feff}",
    ]
    .map(str::to_string)
    .into_iter()
    .chain([digest, long])
    .collect::<Vec<_>>();
    prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

/// A manifest with one byte changed, left out or put in.
fn nearly_a_manifest() -> impl Strategy<Value = Vec<u8>> {
    let digest = Digest::sha256(b"x");
    let whole = format!(
        r#"{{"schemaVersion":2,"mediaType":"a/b","config":{{"digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"arm"}}}},"layers":[{{"digest":"{digest}","size":2,"urls":["u"],"annotations":{{"k":"v"}}}}]}}"#
    );
    (any::<prop::sample::Index>(), any::<u8>(), 0..3).prop_map(move |(at, byte, how)| {
        let mut bytes = whole.clone().into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, byte),
        }
        bytes
    })
}

fn answer(size: u64) -> impl Strategy<Value = Answer> {
    let lengths =
        prop_oneof![Just(0), Just(1), Just(size), Just(size - 1), Just(size + 1), Just(u64::MAX), any::<u64>()];
    let length = lengths.clone().boxed();
    let range = (lengths.clone(), lengths.clone(), prop::option::of(lengths)).prop_map(|(first, last, total)| {
        let total = total.map_or("*".to_string(), |total| total.to_string());
        ContentRange::parse(&format!("bytes {first}-{last}/{total}"))
    });
    let body = prop_oneof![
        Just(Body::Unread),
        (0..=size + 1).prop_map(|length| Body::Whole(Bytes::from(vec![b'x'; length as usize]))),
        (0..size).prop_map(|received| Body::Cut { received }),
        Just(Body::TooLong { limit: 65_536 }),
    ];
    let digests =
        vec![None, Some(content(size).to_string()), Some(Digest::sha256(b"other").to_string()), Some("?".to_string())];
    let types = vec![None, Some("text/html; charset=utf-8".to_string()), Some("application/json".to_string())];
    (
        prop_oneof![Just(200u16), Just(206), Just(404), Just(416), Just(500), 100..600u16],
        prop::sample::select(digests),
        prop::sample::select(types),
        prop::option::of(length),
        range,
        body,
        prop::option::of(Just("BLOB_UNKNOWN".to_string())),
    )
        .prop_map(|(status, content_digest, content_type, content_length, content_range, body, error_code)| {
            Answer {
                method: Method::Get,
                status,
                error_code,
                storage_code: None,
                redirected_to: None,
                has_retry_after: false,
                content_digest,
                content_type,
                content_length,
                content_range,
                body,
                ends_with_connection: false,
                is_encoded: false,
                exchanges: 1,
            }
        })
}

/// What an object of this length is, were it whole.
fn content(size: u64) -> Digest {
    Digest::sha256(&vec![b'x'; size as usize])
}

const SIZE: u64 = 20;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn manifests(bytes in prop_oneof![almost_a_manifest(), nearly_a_manifest(), prop::collection::vec(any::<u8>(), 0..64)]) {
        match parse_manifest(&bytes) {
            Ok(manifest) => for descriptor in manifest.manifests.iter().chain(&manifest.config).chain(&manifest.layers) {
                prop_assert!(descriptor.media_type.as_ref().is_none_or(|text| text.chars().count() <= 255));
            },
            Err(error) => prop_assert!(error.to_string().chars().count() < 300),
        }
    }

    #[test]
    fn digests_and_names(text in "\\PC{0,80}|[a-z0-9+._:-]{0,90}|sha256:[0-9a-fA-F]{60,66}|[a-z0-9._/-]{0,300}") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text.clone());
        }
        if let Ok(name) = text.parse::<Repository>() {
            prop_assert!(text.len() <= 255 && &*name == text.as_str() && !text.contains("..") && !text.contains("//"));
        }
        if text.parse::<Tag>().is_ok() {
            prop_assert!((1..=128).contains(&text.len()) && !text.contains('/'));
        }
    }

    #[test]
    fn a_blob_is_sound_only_if_the_answer_proves_it(answer in answer(SIZE)) {
        let digest = content(SIZE);
        let verdict = judge::blob(&digest, Some(SIZE), &Ok(answer.clone()));
        let told = answer.content_digest.as_ref().and_then(|text| text.parse::<Digest>().ok());
        match verdict {
            Verdict::Intact(intact) => {
                prop_assert!((200..300).contains(&answer.status));
                prop_assert!(told.is_none_or(|told| told == digest));
                prop_assert!(intact.length.is_none_or(|length| length == SIZE));
                let is_cut = matches!(answer.body, Body::Cut { .. });
                prop_assert!(!is_cut);
                if let (200, Body::Whole(bytes)) = (answer.status, &answer.body) {
                    prop_assert_eq!(Digest::sha256(bytes), digest);
                }
            }
            Verdict::Suspect { suspicion: Suspicion::Refused(_), .. } => {
                prop_assert!(!matches!(answer.status, 401 | 404 | 408 | 416 | 429 | 500..), "{}", answer.status);
            }
            Verdict::Suspect { .. } => prop_assert!(
                (200..300).contains(&answer.status) || matches!(answer.status, 403 | 404 | 416 | 500..),
                "{}", answer.status
            ),
            Verdict::Unverified { .. } => {}
        }
    }

    #[test]
    fn manifest_is_intact_only_if_its_hash_matches(answer in answer(SIZE)) {
        let digest = content(SIZE);
        if let Verdict::Intact(_) = judge::manifest(&digest, Some(SIZE), None, &Ok(answer.clone())) {
            let is_proved = matches!(&answer.body, Body::Whole(bytes) if Digest::sha256(bytes) == digest);
            prop_assert!(is_proved);
        }
        if let Verdict::Intact(intact) = judge::resolution(None, &Ok(answer.clone())) {
            prop_assert!((200..300).contains(&answer.status));
            let names_it = answer.content_digest.is_some() || matches!(answer.body, Body::Whole(_));
            prop_assert!(intact.digest.is_none() || names_it);
        }
    }

    #[test]
    fn no_answer_is_no_failure(cause in prop::sample::select(Cause::ALL.to_vec()), detail in "\\PC{0,20}") {
        let trouble = Err(Trouble::new(cause, detail));
        let digest = content(SIZE);
        for verdict in [
            judge::blob(&digest, Some(SIZE), &trouble),
            judge::manifest(&digest, None, None, &trouble),
            judge::resolution(None, &trouble),
        ] {
            let is_unjudged = matches!(verdict, Verdict::Unverified { cause: told, .. } if told == cause);
            prop_assert!(is_unjudged, "{verdict:?}");
        }
    }
}

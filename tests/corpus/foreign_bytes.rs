//! Whatever bytes a registry sends, its headers and bodies are read without a panic, and to something that makes sense;
//! and whatever a credentials file holds, no fault that is found in it shows a secret.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::List;
use super::auth::challenge::{Challenge, parse_challenges};
use super::auth::docker_config::{self, Host};
use super::error_body::error_code;
use super::headers::{ContentRange, next_link, retry_after};
use super::page::Page;
use crate::report::Cause;

/// Text that comes close to being a header: its words and its punctuation in any order.
fn almost(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(words).prop_map(str::to_string),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => "\\PC{0,3}",
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// A secret, and the same as docker writes it: the base64 of `probe:hunter2`.
const SECRETS: [&str; 2] = ["hunter2", "cHJvYmU6aHVudGVyMg=="];

/// JSON of a credentials file's words at any place, secrets too. It names no helper: that would be run.
fn almost_credentials() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => prop::sample::select(&SECRETS).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<i64>().prop_map(Value::from),
        1 => "\\PC{0,3}".prop_map(Value::from),
    ];
    let keys =
        ["auths", "auth", "username", "password", "identitytoken", "r.example", "https://r.example/v1/", "hunter2"];
    let inner = leaf.prop_recursive(4, 32, 4, move |inner| {
        let members = prop::collection::btree_map(prop::sample::select(keys.to_vec()), inner.clone(), 0..4);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::from),
            4 => members.prop_map(|members| members.into_iter().map(|(key, value)| (key.to_string(), value)).collect()),
        ]
    });
    (inner, 0..3u8).prop_map(|(inner, wrapped)| match wrapped {
        0 => inner,
        1 => json!({"auths": inner}),
        _ => json!({"auths": {"r.example": inner}}),
    })
}

/// A credentials file: JSON, JSON with a spoilt byte, JSON that is cut, or bytes with a secret in them.
fn credentials_file() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = (almost_credentials(), any::<prop::sample::Index>(), any::<u8>());
    prop_oneof![
        4 => almost_credentials().prop_map(|value| value.to_string().into_bytes()),
        2 => spoilt.prop_map(|(value, at, byte)| {
            let mut bytes = value.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
        2 => (almost_credentials(), any::<prop::sample::Index>()).prop_map(|(value, at)| {
            let mut bytes = value.to_string().into_bytes();
            bytes.truncate(at.index(bytes.len()));
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| [b"hunter2".as_slice(), &bytes].concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn challenges(header in almost(&["Bearer", "basic", "realm", "scope", "service", "=", "\"", "\\", ",", " ", "\t", "é"])) {
        if let Some(Challenge::Bearer { realm, .. }) = parse_challenges([header.as_str()]) {
            prop_assert!(header.to_lowercase().contains("bearer") && realm.len() <= header.len());
        }
    }

    #[test]
    fn links(header in almost(&["<", ">", ";", ",", "rel", "=", "\"", "next", "prev", "/v2/_catalog?last=a", " ", "REL"])) {
        if let Some(target) = next_link(&header) {
            let enclosed = format!("<{target}");
            prop_assert!(header.contains(target) && !target.contains('>'), "{enclosed}");
        }
    }

    #[test]
    fn content_ranges(header in almost(&["bytes", " ", "-", "/", "*", "0", "9", "18446744073709551615", "+"])) {
        if let Some(ContentRange { range, total }) = ContentRange::parse(&header) {
            prop_assert!(range.is_some() || total.is_some());
            if let Some((first, last)) = range {
                prop_assert!(first <= last && total.is_none_or(|total| last < total));
            }
        }
    }

    #[test]
    fn retry_afters(header in almost(&["Sun, ", "06 ", "Nov ", "1994 ", "9999", "0", "08:49:37 ", "GMT", "-", ":"]), since in any::<u32>()) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(since.into());
        let is_number = !header.trim().is_empty() && header.trim().bytes().all(|byte| byte.is_ascii_digit());
        prop_assert!(!is_number || retry_after(&header, now).is_some());
    }

    #[test]
    fn error_bodies(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        almost(&["{", "}", "[", "]", "\"errors\"", "\"code\"", ":", ",", "\"DENIED\"", "null", "\"\\u0000\""]).prop_map(String::into_bytes),
    ]) {
        if let Some(code) = error_code(&body) {
            prop_assert!(code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        }
    }

    #[test]
    fn pages(body in almost(&["{", "}", "[", "]", "\"repositories\"", "\"tags\"", ":", ",", "\"a\"", "null", "1"])) {
        if let Err(trouble) = Page::read(body.as_bytes(), &List::Catalog, 2) {
            prop_assert_eq!(trouble.cause, Cause::Protocol);
            prop_assert!(trouble.detail.chars().count() < 300);
        }
    }

    #[test]
    fn credentials_files(bytes in credentials_file()) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let host = Host::of(&"https://r.example/".parse().unwrap());
        let login = docker_config::read_logins(file.path(), &host).and_then(|logins| logins.login(Some("team/app")));
        if let Err(error) = login {
            let shown = format!("{error} {error:?}");
            prop_assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
        }
    }
}

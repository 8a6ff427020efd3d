//! Odd inputs to every parser of foreign bytes, each with what it is read as: `tests/corpus`.
//!
//! Some were made by hand, and those named `found-…` by [`grow`], which changes inputs at random and keeps those that are
//! read as nothing before them was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::auth::challenge::{Challenge, parse_challenges};
use super::auth::docker_config::{self, Host};
use super::auth::error::CredentialsError;
use super::auth::login::Login;
use super::auth::tokens::read_token;
use super::error_body::error_code;
use super::headers::{ContentRange, next_link, retry_after};
use super::page::Page;
use super::{List, Trouble};
use crate::oci::{Digest, Image, Platform, Repository, Tag, Unusable, parse_manifest};

/// No outcome is told in more characters than this, however long its input.
const LONGEST_OUTCOME: usize = 700;
/// Inputs that are kept of those that were found.
const KEPT: usize = 24;
/// Outcomes like none before that a run looks for.
const MOST_FOUND: usize = 1_000;
/// They are not longer than this, in bytes.
const LONGEST_FOUND: usize = 400;

/// Reads an input, and says in words what it is.
type Reader = fn(&[u8]) -> String;

/// By the name of their folder. Credentials name no helper that exists: it would be run.
const PARSERS: [(&str, Reader, &str); 10] = [
    (
        "manifests",
        manifest,
        r#"{ } [ ] : , null "config" "layers" "manifests" "blobs" "fsLayers" "digest" "size" "platform" "mediaType" "urls" "annotations" "a:b" 1e400 -1"#,
    ),
    ("pages", page, r#"{ } [ ] : , null "repositories" "tags" "a" "\u0000" "\ud800" 1"#),
    ("error-bodies", error_body, r#"{ } [ ] : , null "errors" "code" "DENIED" "A_1" "\u0041" 1"#),
    ("token-answers", token, r#"{ } [ ] : , null "token" "access_token" "expires_in" "t" "" 1 -1 1e400 1e-9 "a\nb""#),
    (
        "credentials",
        credentials,
        r#"{ } [ ] : , null "auths" "auth" "username" "password" "identitytoken" "credHelpers" "credsStore" "r.example" "r.example/team" "https://r.example/v1/" "cDpo" "u" """#,
    ),
    ("challenges", challenge, r#"Bearer Basic bearer realm scope service = " \ , \" http://a/t"#),
    ("links", link, r#"< > ; , rel = next prev " </v2/_catalog?last=a> REL"#),
    ("content-ranges", content_range, "bytes - / * 0 9 18446744073709551615 18446744073709551616 + 1"),
    ("retry-after", wait, "Sun, Sunday Nov 06 1994 08:49:37 GMT 1994-11-06 0 9 - : 99999999999999999999"),
    ("names", name, "/ : @ . _ - __ -- sha256: sha512: a A 0 é %2e .. 0123456789abcdef"),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn manifest(bytes: &[u8]) -> String {
    match parse_manifest(bytes) {
        Ok(manifest) => {
            let sizes = manifest.layers.iter().filter(|layer| layer.size.is_some()).count();
            let platforms = manifest.manifests.iter().filter(|child| child.platform.is_some()).count();
            let known = |digest: &Digest| digest.algorithm().is_some();
            let all = manifest.manifests.iter().chain(&manifest.config).chain(&manifest.layers);
            let hashable = all.clone().filter(|descriptor| known(&descriptor.digest)).count();
            assert!(all.clone().all(|it| it.media_type.as_ref().is_none_or(|text| text.chars().count() <= 255)));
            let unusable = Unusable::summary(manifest.unusable.iter()).map(|what| format!("; unusable: {what}"));
            format!(
                "{} children ({platforms} with a platform), {} config, {} layers ({sizes} with a size), {hashable} hashable, \
                 {} attestations, {} elsewhere, {}{}",
                manifest.manifests.len(),
                manifest.config.iter().count(),
                manifest.layers.len(),
                all.clone().filter(|descriptor| descriptor.attestation).count(),
                all.filter(|descriptor| descriptor.has_urls).count(),
                if manifest.media_type.is_some() { "typed" } else { "untyped" },
                unusable.unwrap_or_default(),
            )
        }
        Err(error) => error.to_string(),
    }
}

fn page(bytes: &[u8]) -> String {
    let read = |list| match Page::read(bytes, &list, 3) {
        Ok(Page { names, is_cut }) => format!("{} names{}", names.len(), if is_cut { ", cut" } else { "" }),
        Err(Trouble { detail, .. }) => detail,
    };
    match "a".parse() {
        Ok(repository) => format!("catalog: {}; tags: {}", read(List::Catalog), read(List::Tags(repository))),
        Err(error) => panic!("{error}"),
    }
}

fn error_body(bytes: &[u8]) -> String {
    match error_code(bytes) {
        Some(code) => {
            assert!(code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            format!("the registry's own, {code:?}")
        }
        None => "not the registry's".to_string(),
    }
}

fn token(bytes: &[u8]) -> String {
    match read_token(bytes) {
        Some((header, lifetime)) => {
            assert!(header.is_sensitive());
            assert!(lifetime <= Duration::from_secs(86_400));
            format!("a token for {lifetime:?}")
        }
        None => "no token".to_string(),
    }
}

fn credentials(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let host = Host::of(&"https://r.example/".parse().unwrap());
    let login = docker_config::read_logins(file.path(), &host).and_then(|logins| logins.login(Some("team/app")));
    match login.as_ref().map(|login| login.as_deref()) {
        Ok(None) => "nothing".to_string(),
        Ok(Some(Login::Anonymous | Login::Header(_))) => "neither password nor token".to_string(),
        Ok(Some(Login::Password { username, .. })) => format!("a password of a user of {} bytes", username.len()),
        Ok(Some(Login::IdentityToken { .. })) => "an identity token".to_string(),
        Err(CredentialsError::Invalid { fault, .. }) => fault.to_string(),
        Err(CredentialsError::Unreadable { .. }) => "unreadable".to_string(),
        Err(CredentialsError::Helper { .. }) => "a helper that cannot be run".to_string(),
    }
}

fn challenge(bytes: &[u8]) -> String {
    match parse_challenges(text(bytes).lines()) {
        None => "nothing".to_string(),
        Some(Challenge::Basic) => "a password".to_string(),
        Some(Challenge::Bearer { realm, service, scope }) => {
            let [service, scope] = [service, scope].map(|it| it.map_or("none".to_string(), |text| shown(&text)));
            format!("a token of {}, service {service}, scope {scope}", shown(&realm))
        }
    }
}

fn link(bytes: &[u8]) -> String {
    next_link(&text(bytes)).map_or("nothing".to_string(), shown)
}

/// The beginning of a text in quotes.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}

fn content_range(bytes: &[u8]) -> String {
    let read = ContentRange::parse(&text(bytes));
    if let Some(ContentRange { range: Some((first, last)), total }) = read {
        assert!(first <= last && total.is_none_or(|total| last < total));
    }
    format!("{read:?}")
}

fn wait(bytes: &[u8]) -> String {
    format!("{:?}", retry_after(&text(bytes), SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)))
}

fn name(bytes: &[u8]) -> String {
    let text = text(bytes);
    let mut kinds = Vec::new();
    let mut is = |kind, read: Option<String>| {
        if let Some(read) = read {
            assert_eq!(read, text, "what is read is written as it was");
            kinds.push(kind);
        }
    };
    is("repository", text.parse::<Repository>().ok().map(|it| it.to_string()));
    is("tag", text.parse::<Tag>().ok().map(|it| it.to_string()));
    is("digest", text.parse::<Digest>().ok().map(|it| it.to_string()));
    is("image", text.parse::<Image>().ok().map(|it| it.to_string()));
    is("platform", text.parse::<Platform>().ok().map(|it| it.to_string()));
    if kinds.is_empty() { "nothing".to_string() } else { kinds.join(", ") }
}

fn folder(parser: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(parser)
}

/// The inputs of a parser, by the names of their files.
fn inputs(parser: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder(parser)).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

fn expected_file(parser: &str) -> PathBuf {
    folder(parser).with_extension("expected")
}

/// With `UPDATE_CORPUS=1` what is read is written down instead.
#[test]
fn every_input_is_read_as_is_written_beside_it() {
    for (parser, read, _) in PARSERS {
        let mut outcomes = String::new();
        for (file, input) in inputs(parser) {
            let outcome = read(&input).escape_debug().to_string();
            assert!(outcome.chars().count() <= LONGEST_OUTCOME, "{parser}/{file}: {outcome}");
            outcomes += &format!("{file}: {outcome}\n");
        }
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            fs::write(expected_file(parser), &outcomes).unwrap();
        }
        let expected = fs::read_to_string(expected_file(parser)).unwrap();
        for (now, before) in outcomes.lines().zip(expected.lines()) {
            assert_eq!(now, before, "{parser}");
        }
        assert_eq!(outcomes.lines().count(), expected.lines().count(), "{parser}");
    }
}

/// What an outcome is like, whatever the numbers and texts in it.
fn class(outcome: &str) -> String {
    let mut class = String::new();
    let mut is_quoted = false;
    let mut characters = outcome.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' if is_quoted => drop(characters.next()),
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            _ if c.is_ascii_digit() => class.extend((!class.ends_with('0')).then_some('0')),
            _ => class.push(c),
        }
    }
    class
}

/// An input that something was done to, a few times.
fn changed(inputs: &[Vec<u8>], words: &[&str], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = inputs[random.usize(..inputs.len())].clone();
    for _ in 0..random.usize(1..5) {
        let (at, end) = (random.usize(..=bytes.len()), random.usize(..=bytes.len()));
        let (at, end) = (at.min(end), at.max(end).min(at.min(end) + 40));
        match random.u8(..7) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.splice(at..at, words[random.usize(..words.len())].bytes()).for_each(drop),
            2 => bytes.splice(at..end, words[random.usize(..words.len())].bytes()).for_each(drop),
            3 => bytes.insert(at, random.u8(..)),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            5 => {
                let repeated = bytes[at..end].to_vec();
                bytes.splice(at..at, repeated).for_each(drop);
            }
            _ => {
                let other = &inputs[random.usize(..inputs.len())];
                let from = random.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(4096);
    bytes
}

/// `CORPUS_SECONDS=60 cargo test --lib -- --ignored --nocapture corpus::grow` gives each parser a minute.
#[test]
#[ignore = "a long run at random, which adds to the corpus"]
#[expect(clippy::print_stderr, reason = "the figures of the run are worth reading")]
fn grow() {
    let seconds = std::env::var("CORPUS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    for (parser, read, words) in PARSERS {
        let words: Vec<&str> = words.split(' ').chain([" ", "\t", "\r\n", "\u{feff}", "é"]).collect();
        let mut random = fastrand::Rng::new();
        let mut pool: Vec<Vec<u8>> = inputs(parser).into_values().collect();
        let known: BTreeSet<String> = pool.iter().map(|input| class(&read(input))).collect();
        let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let (began, mut runs) = (Instant::now(), 0u64);
        while began.elapsed() < Duration::from_secs(seconds) {
            let input = changed(&pool, &words, &mut random);
            runs += 1;
            let Ok(outcome) = catch_unwind(|| read(&input)) else {
                panic!("{parser} panics at {:?}", input.escape_ascii().to_string());
            };
            assert!(outcome.escape_debug().count() <= LONGEST_OUTCOME, "{parser}: {outcome}");
            let class = class(&outcome);
            if known.contains(&class) || (found.len() >= MOST_FOUND && !found.contains_key(&class)) {
                continue;
            }
            match found.get(&class) {
                None => pool.push(input.clone()),
                Some(shorter) if shorter.len() <= input.len() => continue,
                Some(_) => {}
            }
            found.insert(class, input);
        }
        eprintln!("{parser}: {runs} inputs in {seconds} s, {} that are read as none before", found.len());
        let mut shortest: Vec<&Vec<u8>> = found.values().filter(|input| input.len() <= LONGEST_FOUND).collect();
        shortest.sort_unstable_by_key(|input| input.len());
        let before = inputs(parser).len();
        for (number, input) in shortest.into_iter().take(KEPT).enumerate() {
            fs::write(folder(parser).join(format!("found-{:03}", before + number)), input).unwrap();
        }
    }
}

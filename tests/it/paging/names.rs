//! Names of every kind in catalogs and tag lists: the legal ones are walked under URLs that say just them, the others are
//! told and never asked for. What is legal is decided here by the expressions of the OCI distribution specification.

use std::collections::BTreeSet;

use regex::Regex;
use registry_integrity_probe::demo::fault::{answers_with, at};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::report::{Cause, Outcome, Reason};
use serde_json::{Value, json};

use crate::testkit::peer;
use crate::testkit::probe::probe;
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

/// Characters beyond ASCII: letters, a space, an invisible one, one that turns the direction of text, a control character.
const BEYOND_ASCII: [char; 8] = ['é', 'ß', '日', '😀', '\u{a0}', '\u{200b}', '\u{202e}', '\u{85}'];

/// Every character of ASCII, and some others, as the first, a middle and the last one of a word.
fn every_character_in_every_place() -> BTreeSet<String> {
    let characters = (0..=127u8).map(char::from).chain(BEYOND_ASCII);
    characters.flat_map(|c| [format!("{c}m"), format!("m{c}m"), format!("m{c}")]).collect()
}

/// Sorts names into those that an expression of the specification allows, and the others.
fn sorted(names: BTreeSet<String>, expression: &str, longest: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let legal = Regex::new(expression).unwrap();
    names.into_iter().partition(|name| name.len() <= longest && legal.is_match(name))
}

fn repositories(names: BTreeSet<String>) -> (BTreeSet<String>, BTreeSet<String>) {
    let component = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
    sorted(names, &format!(r"\A{component}(/{component})*\z"), 255)
}

fn small() -> Image {
    Image::manifest().named("small").with_layers(1)
}

/// A registry that serves the legal names, and whose catalog holds all. Each tenth has lost its layer.
async fn listing(legal: &BTreeSet<String>, all: &[&String]) -> (Registry, BTreeSet<String>) {
    let registry = Registry::start().await.unwrap();
    let mut lost = BTreeSet::new();
    for (n, name) in legal.iter().enumerate() {
        registry.push(&format!("{name}:1"), &small());
        if n % 10 == 0 {
            registry.remove_blob(name, &small().layers().next().unwrap().digest);
            lost.insert(name.clone());
        }
    }
    let catalog = json!({"repositories": all}).to_string();
    registry.fault(at(Endpoint::Catalog), answers_with(200, "application/json", catalog));
    (registry, lost)
}

/// The names that stood in the paths of requests, as they were written there.
fn asked_for(registry: &Registry) -> BTreeSet<String> {
    let paths = registry.requests().into_iter().map(|request| request.path).filter(|path| path != "/v2/_catalog");
    paths
        .map(|path| {
            let rest = path.strip_prefix("/v2/").unwrap_or_else(|| panic!("{path}"));
            let end = ["/tags/list", "/manifests/", "/blobs/"].iter().filter_map(|word| rest.rfind(word)).max();
            rest[..end.unwrap_or_else(|| panic!("{path}"))].to_string()
        })
        .collect()
}

async fn assert_walked_or_told(names: BTreeSet<String>) {
    let (legal, illegal) = repositories(names);
    let all: Vec<&String> = illegal.iter().chain(&legal).collect();
    let (registry, lost) = listing(&legal, &all).await;
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(asked_for(&registry), legal);
    assert_eq!(report.outcome, if illegal.is_empty() { Outcome::Complete } else { Outcome::Partial });
    let told: BTreeSet<String> = report.unverified.iter().filter_map(|entry| entry.repository.clone()).collect();
    let shown: BTreeSet<String> = illegal.iter().map(|name| name.chars().take(300).collect()).collect();
    assert_eq!(told, shown);
    assert_eq!(causes(&report), vec![Cause::Protocol; illegal.len()]);
    let broken: BTreeSet<String> = report.failures.iter().map(|failure| failure.repository.to_string()).collect();
    assert_eq!((broken, reasons(&report)), (lost.clone(), vec![Reason::Missing; lost.len()]));
    assert_eq!((report.repositories, report.images.intact), (legal.len() as u64, (legal.len() - lost.len()) as u64));
}

#[tokio::test]
async fn every_character_in_every_place_of_a_repository_s_name() {
    assert_walked_or_told(every_character_in_every_place()).await;
}

#[tokio::test]
async fn every_character_in_first_and_last_name_component() {
    for around in [("", "/m"), ("m/", "")] {
        let names = every_character_in_every_place();
        assert_walked_or_told(names.iter().map(|name| format!("{}{name}{}", around.0, around.1)).collect()).await;
    }
}

#[tokio::test]
async fn names_that_mean_something_elsewhere() {
    let long = |length: usize| "m".repeat(length);
    let names = [
        "",
        ".",
        "..",
        "/",
        "//",
        "../m",
        "m/..",
        "m/../m",
        "m/./m",
        "/m",
        "m/",
        "m//m",
        "m..m",
        "m.-m",
        "m___m",
        "m_-m",
        "m__m",
        "m---m",
        "m.m_m-m",
        "M",
        "m/M",
        "%2e%2e",
        "m%2fm",
        "m%00",
        "%",
        "m?n=1",
        "m#m",
        "m\\m",
        "m:1",
        "m@m",
        "m m",
        " m",
        "m\n",
        "\nm",
        "m\r\nHost: m",
        "m\0",
        "_catalog",
        "m/tags/list",
        "m/manifests/1",
        "m/blobs",
        "v2",
        "v2/m",
        "manifests",
        "tags/list",
        "token",
        "\"",
        "m\"}",
        "{}",
        "null",
        "[\"m\"]",
        "sha256",
        "${m}",
        "`m`",
        "$(m)",
        "m;m",
        "<m>",
        "&amp;",
        "\u{1b}[31mm",
        "::error::m",
        "ﬁ",
        "Ⅷ",
        "m\u{301}",
        "xn--m",
    ];
    let names =
        names.map(str::to_string).into_iter().chain([long(255), long(256), long(100_000), "m/".repeat(127) + "m"]);
    assert_walked_or_told(names.collect()).await;
}

#[tokio::test]
async fn every_character_in_every_place_of_a_tag() {
    let mut names = every_character_in_every_place();
    names.extend(["", ".", "..", "_", "-", "t".repeat(128).as_str(), "t".repeat(129).as_str()].map(str::to_string));
    let (legal, illegal) = sorted(names, r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\z", 128);
    let registry = Registry::start().await.unwrap();
    registry.push("app:m", &small());
    legal.iter().for_each(|tag| registry.retag(&format!("app:{tag}"), &small().root().digest));
    let all: Vec<&String> = illegal.iter().chain(&legal).collect();
    let list = json!({"name": "app", "tags": all}).to_string();
    registry.fault(at(Endpoint::Tags), answers_with(200, "application/json", list));
    let report = Sweeping::of(&registry).sweep().await;

    assert_eq!((reasons(&report), report.outcome), (vec![], Outcome::Partial));
    assert_eq!((report.images.intact, report.images.unverified), (legal.len() as u64, 0));
    let [unread] = &report.unverified[..] else { panic!("{:#?}", report.unverified) };
    assert_eq!((unread.reference.as_str(), unread.kind, unread.cause), ("app", None, Cause::Protocol));
    assert!(unread.detail.contains(&format!("{} names that no tag may have", illegal.len())), "{}", unread.detail);
    let digest = small().root().digest.to_string();
    let asked: BTreeSet<String> = registry
        .requests()
        .into_iter()
        .filter_map(|request| request.path.strip_prefix("/v2/app/manifests/").map(str::to_string))
        .filter(|reference| *reference != digest)
        .collect();
    assert_eq!(asked, legal, "each is asked for, written as it is");

    // One that alone is not legal is shown.
    let registry = Registry::start().await.unwrap();
    registry.push("app:m", &small());
    let list = json!({"name": "app", "tags": ["m", "m\n\u{1b}"]}).to_string();
    registry.fault(at(Endpoint::Tags), answers_with(200, "application/json", list));
    let report = Sweeping::of(&registry).sweep().await;
    assert!(report.unverified[0].detail.contains(r#""m\n\u{1b}" is not a legal tag"#), "{:?}", report.unverified);
}

/// Names with legal and illegal characters, through everything that shows them.
#[tokio::test]
async fn whatever_the_names_what_is_shown_stays_well_formed() {
    let names = every_character_in_every_place().into_iter().chain(["m\"\\\n{}".to_string()]).collect();
    let (legal, illegal) = repositories(names);
    let all: Vec<&String> = illegal.iter().chain(&legal).collect();
    let (registry, lost) = listing(&legal, &all).await;
    let folder = tempfile::tempdir().unwrap();
    let (config, metrics) = (folder.path().join("config.yml"), folder.path().join("probe.prom"));
    let text = "registries: [{name: 'a \"quoted\" name', url: '$URL', confirm: {attempts: 1, delay: 1ms}}]";
    std::fs::write(&config, text.replace("$URL", &registry.url())).unwrap();
    let config = format!("--config.file={}", config.display());
    let textfile = format!("--textfile={}", metrics.display());
    for output in ["text", "junit", "github", "json"] {
        let run = probe(["sweep", &config, &textfile, "--output", output]).run().await;
        assert_eq!(run.code, Some(1), "{output}: {}", run.stderr);
        // Of a JSON text only the first 32 have to be escaped.
        let is_fair = |c: char| c == '\n' || !(if output == "json" { c < ' ' } else { c.is_control() });
        assert!(run.stdout.chars().all(is_fair), "{output} holds {:?}", run.stdout.chars().find(|&c| !is_fair(c)));
        assert!(run.stderr.chars().all(|c| c == '\n' || !c.is_control()), "the log");
        if output == "json" {
            let report: Value = serde_json::from_str(&run.stdout).unwrap();
            let unverified = report["registries"][0]["unverified"].as_array().unwrap();
            let told: BTreeSet<&str> = unverified.iter().filter_map(|entry| entry["repository"].as_str()).collect();
            assert_eq!(told, illegal.iter().map(String::as_str).collect());
        }
    }
    let metrics = std::fs::read_to_string(&metrics).unwrap();
    let sample = Regex::new(r#"\A[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)*\})? [-+0-9.e]+\z"#).unwrap();
    let odd: Vec<_> = metrics.lines().filter(|line| !line.starts_with('#') && !sample.is_match(line)).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    for name in &lost {
        assert!(metrics.contains(&format!("repository=\"{name}\"")), "{name}");
    }
    let Some(promtool) = peer("promtool") else { return };
    let mut check = std::process::Command::new(promtool);
    check.args(["check", "metrics"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut check = check.spawn().unwrap();
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), metrics.as_bytes()).unwrap();
    assert!(check.wait().unwrap().success(), "promtool does not take it");
}

//! What the one-shot commands print of a report.

mod github;
mod junit;

use std::time::Duration;

use registry_integrity_probe::cli::Exit;
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::render::{self, Terminal};
use registry_integrity_probe::report::{Cause, ImageCounts, Outcome, Reason, Report, Unverified};
use serde_json::json;

use crate::testkit::sample::{
    bad_layer, broken, empty, failed, intact, nine_o_clock, orphan_child, partial, unjudged_layer,
};

fn text(reports: &[Report], terminal: Terminal) -> String {
    let mut out = Vec::new();
    render::text(reports, terminal, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_counts_objects_and_names_the_next_step() {
    let said = text(&[partial("a", vec![unjudged_layer("l", Cause::Unauthorized, &["app:1"])])], Terminal::default());
    assert!(said.contains("The registry requires credentials"), "{said}");
    let said = text(&[empty("a")], Terminal::default());
    assert!(said.contains("; if it has images,"), "{said}");
    let one = Report { length_only: 1, ..intact("a") };
    assert!(text(&[one], Terminal::default()).contains("1 object by"));
}

#[test]
fn nothing_but_the_totals_when_all_is_well() {
    assert_eq!(text(&[intact("a")], Terminal::default()), "INTACT  a: 62 images, 1141 objects in 22 repositories\n");
    assert_eq!(text(&[], Terminal::default()), "");
}

#[test]
fn says_what_is_broken_and_what_it_breaks() {
    let mut old = bad_layer("x", Reason::Unreadable, &["tools/make:1"]);
    old.attestation = true;
    old.platform = None;
    old.first_seen = nine_o_clock() - Duration::from_secs(900);
    assert_eq!(
        text(&[broken("private", vec![orphan_child(), old]), intact("mirror")], Terminal::default()),
        "\
private  https://registry.example.com:5050/

  MISSING  child of infra-ci, linux/amd64
    sha256:ddc9e669194254cef019a29d3619a2c16592e5d52e1a81e98b01bd52319149a3
    HEAD 404 MANIFEST_UNKNOWN, confirmed 3 times in 4.1s
    breaks infra-ci:5319f03e, infra-ci:latest
    found through infra-ci:5319f03e > sha256:1bc04b5291c2 > sha256:ddc9e6691942

  UNREADABLE  layer of tools/make, attestation
    sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
    206 for the last byte and the connection ended, confirmed 3 times in 4.0s
    breaks tools/make:1
    known since 2026-04-19T08:45:00Z

BROKEN  private: 3 of 65 images broken, 1141 objects in 22 repositories
INTACT  mirror: 62 images, 1141 objects in 22 repositories
"
    );
}

#[test]
fn says_what_could_not_be_judged_and_why() {
    let mut entries: Vec<Unverified> =
        (0..12).map(|n| unjudged_layer(&n.to_string(), Cause::Timeout, &["app:1"])).collect();
    entries.push(Unverified {
        repository: Some("Ünlawful".to_string()),
        reference: "Ünlawful".to_string(),
        kind: None,
        cause: Cause::Protocol,
        images: Vec::new(),
        detail: "not a legal repository name".to_string(),
    });
    let said = text(&[partial("a", entries), failed("b")], Terminal::default());
    let (before, after) = said.split_once("    layer of app: HEAD timed out after 30s, 4 times\n").unwrap();
    assert_eq!(before, "a  https://registry.example.com:5050/\n\n  TIMEOUT  12 unverified\n");
    assert!(after.starts_with(&format!("      {}\n", Digest::sha256(b"0"))), "{after}");
    assert_eq!(said.matches("layer of app").count(), 10, "{said}");
    let (_, after) = after.split_once("    and 2 more\n").unwrap();
    assert_eq!(
        after,
        "    Check the load of the registry. The next sweep tries again.

  PROTOCOL  1 unverified
    tags of Ünlawful: not a legal repository name
    The response is invalid, or a limit was exceeded; see the detail.

b  https://registry.example.com:5050/

  UNREACHABLE  1 unverified
    catalog: GET /v2/_catalog: connection refused
    Check that the registry is running and that its URL is correct.

UNVERIFIED  a: 1 of 63 images unverified, 1141 objects in 22 repositories
UNVERIFIED  b: the catalog could not be read completely
"
    );
}

#[test]
fn many_images_are_counted_instead_of_named() {
    let images: Vec<String> = (0..13).map(|n| format!("app:{n}")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let said = text(&[broken("a", vec![bad_layer("x", Reason::Missing, &images)])], Terminal::default());
    assert!(said.contains("app:8, app:9,\n      and 3 more\n"), "{said}");
}

#[test]
fn lines_fit_the_terminal_and_foreign_text_cannot_steer_it() {
    let mut failure = orphan_child();
    failure.detail = "\u{1b}[31mHEAD 404\r\n\u{202e}".to_string() + &"long message ".repeat(30);
    failure.platform = Some("x".repeat(300));
    let mut report = broken("a", vec![failure]);
    report.unverified = vec![unjudged_layer("y", Cause::Protocol, &[])];
    report.unverified[0].repository = Some("\u{7}bell".to_string());
    for width in [80, 132] {
        let said = text(std::slice::from_ref(&report), Terminal { width, colour: false });
        let longest = said.lines().map(|line| line.chars().count()).max();
        assert!(longest.is_some_and(|longest| longest <= width && longest > width - 20), "{longest:?}: {said}");
        assert!(!said.contains(['\u{1b}', '\r', '\u{202e}', '\u{7}']), "{said:?}");
        assert!(said.contains(r"\u{1b}[31mHEAD 404\r\n\u{202e}long message"), "{said}");
    }
}

#[test]
fn colour_only_when_asked_for() {
    let report = [broken("a", vec![orphan_child()])];
    let coloured = text(&report, Terminal { colour: true, ..Terminal::default() });
    assert!(coloured.contains("\u{1b}[1m\u{1b}[31mBROKEN\u{1b}[0m  a: 2 of"), "{coloured:?}");
    assert!(!text(&report, Terminal::default()).contains('\u{1b}'));
}

#[test]
fn json_is_the_documented_report() {
    let mut report = broken("private", vec![orphan_child()]);
    report.unverified = failed("private").unverified;
    let mut out = Vec::new();
    render::json(&[report], &mut out).unwrap();
    assert!(out.starts_with(b"{\n  \"registries\": [\n") && out.ends_with(b"}\n"));
    let (index, child) = (Digest::sha256(b"index").to_string(), Digest::sha256(b"child").to_string());
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&out).unwrap(),
        json!({"registries": [{
            "registry": "private", "url": "https://registry.example.com:5050/",
            "started_at": "2026-04-19T09:00:00Z", "duration_seconds": 1.9,
            "outcome": "complete", "catalog_accessible": true, "empty": false, "repositories": 22,
            "images": {"intact": 62, "broken": 2, "unverified": 0},
            "objects": {"manifest": 63, "child": 118, "config": 120, "layer": 840},
            "length_only": 0, "requests": 1210, "received_bytes": 340_112,
            "failures": [{
                "repository": "infra-ci", "digest": child, "kind": "child", "reason": "missing",
                "media_type": "application/vnd.oci.image.manifest.v1+json", "platform": "linux/amd64",
                "attestation": false, "images": ["infra-ci:5319f03e", "infra-ci:latest"],
                "path": ["infra-ci:5319f03e", index, child],
                "detail": "HEAD 404 MANIFEST_UNKNOWN, confirmed 3 times in 4.1s",
                "first_seen": "2026-04-19T09:00:01Z", "last_seen": "2026-04-19T09:00:05Z",
            }],
            "unverified": [{
                "repository": null, "reference": "_catalog", "kind": null, "cause": "unreachable", "images": [],
                "detail": "GET /v2/_catalog: connection refused",
            }],
        }]})
    );
}

#[test]
fn the_exit_code_tells_the_worst() {
    let cut_short = Report { outcome: Outcome::Partial, ..intact("a") };
    let kept_through_an_outage =
        Report { failures: vec![orphan_child()], images: ImageCounts::default(), ..failed("a") };
    for (reports, code) in [
        (vec![], 0),
        (vec![intact("a")], 0),
        (vec![intact("a"), partial("b", vec![unjudged_layer("x", Cause::Timeout, &["app:1"])])], 3),
        (vec![failed("a"), intact("b")], 3),
        (vec![cut_short], 3),
        (vec![empty("a")], 0),
        (vec![empty("a"), partial("b", vec![unjudged_layer("x", Cause::Timeout, &["app:1"])])], 3),
        (vec![kept_through_an_outage], 1),
        (vec![failed("a"), broken("b", vec![orphan_child()]), intact("c")], 1),
    ] {
        assert_eq!(Exit::by_result(&reports) as u8, code, "{reports:?}");
    }
}

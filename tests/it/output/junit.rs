//! `--output junit`, as CI servers read it: against the schema of Jenkins's xUnit plugin, which GitLab follows too.

use std::process::Command;

use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::render;
use registry_integrity_probe::report::{Cause, Reason, Report};

use crate::testkit::probe::probe;
use crate::testkit::sample::{bad_layer, broken, empty, failed, intact, orphan_child, partial, unjudged_layer};

fn junit(reports: &[Report]) -> String {
    let mut out = Vec::new();
    render::junit(reports, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// xmllint's exit code and words for a document.
fn validate(document: &str) -> Option<(bool, String)> {
    let xmllint = crate::testkit::peer("xmllint")?;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.xml");
    std::fs::write(&file, document).unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/junit/junit-10.xsd");
    let output = Command::new(xmllint).args(["--noout", "--schema", schema]).arg(file).output().unwrap();
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[track_caller]
fn assert_valid(document: &str) {
    if let Some((is_valid, said)) = validate(document) {
        assert!(is_valid, "{said}{document}");
    }
}

#[test]
fn a_registry_without_images_is_a_skipped_case() {
    let document = junit(&[empty("private")]);
    assert_valid(&document);
    assert!(document.contains("tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\""), "{document}");
    assert!(document.contains("<skipped message=\"EMPTY: no image was checked, 0 objects in 0 repositories; "));
}

#[test]
fn a_suite_for_each_registry_and_a_case_for_each_finding() {
    let mut broken = broken("private", vec![orphan_child()]);
    broken.unverified = partial("private", vec![unjudged_layer("x", Cause::Timeout, &["app:1"])]).unverified;
    let document = junit(&[broken, intact("mirror")]);
    assert_valid(&document);
    assert_eq!(
        document,
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="private" tests="2" failures="1" errors="1" time="1.900" timestamp="2026-04-19T09:00:00">
    <properties>
      <property name="url" value="https://registry.example.com:5050/"/>
      <property name="outcome" value="complete"/>
      <property name="repositories" value="22"/>
      <property name="objects" value="1141"/>
      <property name="images.intact" value="62"/>
      <property name="images.broken" value="2"/>
      <property name="images.unverified" value="0"/>
    </properties>
    <testcase classname="private.infra-ci" name="child of infra-ci, linux/amd64: sha256:ddc9e669194254cef019a29d3619a2c16592e5d52e1a81e98b01bd52319149a3">
      <failure type="missing" message="HEAD 404 MANIFEST_UNKNOWN, confirmed 3 times in 4.1s">HEAD 404 MANIFEST_UNKNOWN, confirmed 3 times in 4.1s
breaks infra-ci:5319f03e, infra-ci:latest
found through infra-ci:5319f03e &gt; sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6 &gt; sha256:ddc9e669194254cef019a29d3619a2c16592e5d52e1a81e98b01bd52319149a3</failure>
    </testcase>
    <testcase classname="private.app" name="layer of app: sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881">
      <error type="timeout" message="HEAD timed out after 30s, 4 times">HEAD timed out after 30s, 4 times</error>
    </testcase>
    <system-out>2 of 64 images broken, 1141 objects in 22 repositories</system-out>
  </testsuite>
  <testsuite name="mirror" tests="1" failures="0" errors="0" time="1.900" timestamp="2026-04-19T09:00:00">
    <properties>
      <property name="url" value="https://registry.example.com:5050/"/>
      <property name="outcome" value="complete"/>
      <property name="repositories" value="22"/>
      <property name="objects" value="1141"/>
      <property name="images.intact" value="62"/>
      <property name="images.broken" value="0"/>
      <property name="images.unverified" value="0"/>
    </properties>
    <testcase classname="mirror" name="all images" time="1.900"/>
    <system-out>62 images, 1141 objects in 22 repositories</system-out>
  </testsuite>
</testsuites>
"#
    );
}

#[test]
fn an_outage_is_an_error_and_no_failure() {
    let document = junit(&[failed("private")]);
    assert_valid(&document);
    assert!(document.contains(r#"tests="1" failures="0" errors="1""#), "{document}");
    assert!(document.contains(r#"<testcase classname="private" name="catalog: _catalog">"#), "{document}");
    assert!(document.contains(r#"<error type="unreachable""#), "{document}");
}

#[test]
fn every_report_is_valid_whatever_a_registry_says() {
    assert_valid(&junit(&[]));
    let mut failure = bad_layer("x", Reason::Malformed, &["app:1"]);
    failure.detail = (0..0x3000).filter_map(char::from_u32).collect::<String>() + "]]>\u{FFFE}\u{10FFFF}";
    failure.platform = Some("<b>\"&amp;'\u{0}".to_string());
    let mut report = broken("\"><x a='", vec![failure]);
    report.unverified = vec![unjudged_layer("y", Cause::Protocol, &[])];
    report.unverified[0].repository = Some("\u{7}\u{1b}[2J<bell/>\r\n".to_string());
    assert_valid(&junit(&[report]));
    // The schema does look: this attribute is required.
    if let Some((is_valid, said)) = validate(&junit(&[intact("a")]).replace(" tests=\"1\"", "")) {
        assert!(!is_valid && said.contains("'tests' is required"), "{said}");
    }
}

#[tokio::test]
async fn a_sweep_writes_it_to_a_file() {
    let registry = Registry::start().await.unwrap();
    registry.push("infra-ci:latest", &Image::index());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.xml");
    let url = registry.url();
    let arguments = ["sweep", "--registry", &url, "--output", "junit", "--output.file", file.to_str().unwrap()];
    let outcome = probe(arguments).run().await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    let document = std::fs::read_to_string(file).unwrap();
    assert!(document.contains("name=\"all images\""), "{document}");
    assert_valid(&document);
}

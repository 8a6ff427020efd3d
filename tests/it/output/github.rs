//! `--output github`: annotations on standard output, and the job summary.

use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::render::github;
use registry_integrity_probe::report::{Cause, Reason, Report};

use crate::testkit::probe::probe;
use crate::testkit::sample::{bad_layer, broken, failed, intact, orphan_child, partial, unjudged_layer};

fn annotations(reports: &[Report]) -> String {
    let mut out = Vec::new();
    github::annotations(reports, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn summary(reports: &[Report]) -> String {
    let mut out = Vec::new();
    github::summary(reports, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn failures_are_errors_and_causes_are_warnings() {
    let unjudged = [("x", Cause::Timeout), ("y", Cause::Timeout)].map(|(name, c)| unjudged_layer(name, c, &["app:1"]));
    let reports = [partial("mirror", unjudged.into()), broken("private", vec![orphan_child()]), failed("other")];
    assert_eq!(
        annotations(&reports),
        "\
::error title=MISSING child of infra-ci%2C linux/amd64::\
sha256:ddc9e669194254cef019a29d3619a2c16592e5d52e1a81e98b01bd52319149a3\
%0AHEAD 404 MANIFEST_UNKNOWN, confirmed 3 times in 4.1s\
%0Abreaks infra-ci:5319f03e, infra-ci:latest%0Ain registry private
::warning title=TIMEOUT 2 unverified::layer of app: HEAD timed out after 30s, 4 times%0Ain registry mirror
::warning title=UNREACHABLE 1 unverified::catalog: GET /v2/_catalog: connection refused%0Ain registry other
UNVERIFIED  mirror: 1 of 63 images unverified, 1141 objects in 22 repositories
BROKEN  private: 2 of 64 images broken, 1141 objects in 22 repositories
UNVERIFIED  other: the catalog could not be read completely
"
    );
}

#[test]
fn the_summary_is_a_table_of_registries_and_one_of_failures() {
    assert_eq!(
        summary(&[intact("mirror")]),
        "\
### Registry integrity

| Registry | Verdict | |
|---|---|---|
| mirror | **intact** | 62 images\\, 1141 objects in 22 repositories |

"
    );
    let said = summary(&[broken("private", vec![orphan_child()]), failed("other")]);
    let row = "| private | infra-ci\\:5319f03e\\, infra-ci\\:latest | child of infra-ci\\, linux/amd64<br>\
               sha256\\:ddc9e669194254cef019a29d3619a2c16592e5d52e1a81e98b01bd52319149a3 | missing \
               | HEAD 404 MANIFEST\\_UNKNOWN\\, confirmed 3 times in 4\\.1s |\n";
    assert!(said.contains(row), "{said}");
    let unjudged = "\nother: unreachable, 1 unverified; catalog\\: GET /v2/\\_catalog\\: connection refused\n";
    assert!(said.contains(unjudged), "{said}");
}

#[test]
fn github_takes_the_summary_however_much_is_broken() {
    let images: Vec<String> = (0..400).map(|n| format!("{}:{n}", "long-name/".repeat(20) + "app")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let failure = |n: usize| {
        let mut failure = bad_layer(&n.to_string(), Reason::Missing, &images);
        failure.detail = "_".repeat(100_000);
        failure
    };
    let said = summary(&[broken("a", (0..300).map(failure).collect()), broken("b", (0..300).map(failure).collect())]);
    assert!(said.len() < 1024 * 1024, "{}", said.len());
    assert!(said.contains("\nand 100 more\n"));
}

#[tokio::test]
async fn a_sweep_in_a_workflow_annotates_and_adds_to_the_summary() {
    let registry = Registry::start().await.unwrap();
    let image = Image::index();
    registry.push("infra-ci:latest", &image);
    registry.remove_manifest("infra-ci", &image.child("linux/amd64").unwrap().digest);
    let directory = tempfile::tempdir().unwrap();
    let (annotations, summary) = (directory.path().join("annotations"), directory.path().join("summary.md"));
    std::fs::write(&summary, "of the step before\n").unwrap();
    let sweep = ["sweep", "--registry", &registry.url(), "--output", "github"].map(ToString::to_string);

    let to_file = ["--output.file".to_string(), annotations.display().to_string()];
    let (in_workflow, to_file) = tokio::join!(
        probe(sweep.clone()).env("GITHUB_STEP_SUMMARY", &summary).run(),
        probe(sweep.iter().chain(&to_file)).run(),
    );
    assert_eq!(in_workflow.code, Some(1), "{in_workflow:?}");
    assert!(in_workflow.stdout.starts_with("::error title=MISSING child of infra-ci"), "{in_workflow:?}");
    let said = std::fs::read_to_string(&summary).unwrap();
    assert!(said.starts_with("of the step before\n### Registry integrity\n"), "{said}");
    assert_eq!((to_file.code, to_file.stdout.as_str()), (Some(1), ""), "{to_file:?}");
    assert!(std::fs::read_to_string(&annotations).unwrap().starts_with("::error "));
}

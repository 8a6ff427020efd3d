//! Every object is one that the API server of the oldest and the newest version takes.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::objects::{NEWEST, OLDEST, everything, kustomized, project};
use crate::testkit::peer;
use crate::testkit::peers::not_installed;

/// The definitions of the Prometheus operator's kinds, where `.ci/install` puts them.
fn definitions() -> Option<PathBuf> {
    let beside = peer("kustomize")?.parent()?.parent()?.join("crds");
    if !beside.is_dir() {
        return not_installed("the Prometheus operator's custom resource definitions");
    }
    Some(beside)
}

fn validate(version: &str, documents: &str) -> Option<Output> {
    // Beside it lies the Python that has its library.
    let python = peer("kubernetes-validate")?.with_file_name("python");
    let mut run = Command::new(python);
    run.arg(project("tests/deploy/validate_objects.py")).arg(version).arg(definitions()?);
    let mut process = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(documents.as_bytes()).unwrap();
    Some(process.wait_with_output().unwrap())
}

#[test]
fn every_object_is_valid() {
    let Some(all) = everything() else { return };
    for version in [OLDEST, NEWEST] {
        // At once, because most of the time goes into reading the schemas.
        let documents: String = all.iter().map(|(name, text)| format!("---\n# {name}\n{text}\n")).collect();
        let Some(output) = validate(version, &documents) else { return };
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stdout));
        let counted = String::from_utf8(output.stderr).unwrap();
        let count: usize = counted.split(' ').next().unwrap().parse().unwrap();
        assert!(count > 90, "{counted}");
    }
}

#[test]
fn the_validation_finds_what_is_wrong() {
    let Some(serve) = kustomized(&project("deploy/kubernetes/example")) else { return };
    for (right, wrong, says) in [
        ("maxUnavailable: 1", "maxUnavailabel: 1", "maxUnavailabel"),
        ("replicas: 1", "replicas: one", "'one'"),
        ("enableServiceLinks: false", "enableServicelinks: false", "enableServicelinks"),
        ("interval: 1m", "intervall: 1m", "intervall"),
        ("interval: 1m", "interval: often", "often"),
        ("apiVersion: policy/v1", "apiVersion: policy/v1beta1", "SchemaNotFound"),
    ] {
        assert!(serve.contains(right), "{right}");
        let Some(output) = validate(NEWEST, &serve.replacen(right, wrong, 1)) else { return };
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(says), "{wrong}: {said}");
    }
}

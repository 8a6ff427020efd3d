//! The incident, with a real registry and its real collector: what `scan` says before is what is gone after.

use std::collections::BTreeSet;
use std::path::Path;

use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::storage::collector::{Collector, Engine};
use registry_integrity_probe::storage::{Class, RootReport, ScanOptions, locate, scan};

use crate::testkit::scan_tree::server::Server;
use crate::testkit::scan_tree::{Manifest, data, peer, revision_link};

const PLAIN: Collector = Collector { engine: Engine::V2, delete_untagged: false };
const DELETE_UNTAGGED: Collector = Collector { engine: Engine::V2, delete_untagged: true };

/// `infra-ci:latest` as BuildKit builds it.
fn build(number: usize) -> Manifest {
    let image = |platform, it: &str| {
        let (config, own) = (format!("config {it} {number}"), format!("layer {it} {number}"));
        Manifest::image(platform, &config, &["base", &own])
    };
    Manifest::index(vec![
        image("linux/amd64", "amd64"),
        image("linux/arm64", "arm64"),
        image("unknown/unknown", "sbom"),
    ])
}

fn scan_for(root: &Path, collector: Collector) -> RootReport {
    let options = ScanOptions { collectors: vec![collector], ..ScanOptions::default() };
    scan(&locate(&[root]).unwrap().registries[0], false, &options, &())
}

fn classes(report: &RootReport, class: Class) -> BTreeSet<String> {
    let findings = report.findings.iter().filter(|finding| finding.class == class);
    findings.filter_map(|finding| finding.digest.clone()).collect()
}

fn collect(program: &Path, collector: Collector, root: &Path) {
    let output = peer::garbage_collect(program, collector, root);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A registry's storage to which these builds were really pushed, as `latest`.
fn storage(program: &Path, root: &Path, builds: usize) {
    let server = Server::start(program, root);
    for number in 0..builds {
        server.push("infra-ci", &build(number), Some("latest"));
    }
}

#[test]
fn an_orphan_is_named_its_loss_predicted_and_so_it_goes() {
    for engine in Engine::ALL {
        let Some(program) = peer::registry(engine) else { continue };
        let collector = Collector { engine, ..PLAIN };
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("registry");
        storage(&program, &root, 1);
        let v2 = root.join("docker/registry/v2");
        let whole = scan_for(&root, collector);
        assert_eq!((whole.findings.len(), whole.garbage_collection[0].damage.len()), (0, 0), "{whole:#?}");

        let child = build(0).children[0].clone();
        std::fs::remove_file(v2.join(revision_link("infra-ci", &child.digest()))).unwrap();
        let before = scan_for(&root, collector);
        assert_eq!(classes(&before, Class::OrphanChild), BTreeSet::from([child.digest().to_string()]));
        assert_eq!(before.broken_images(), BTreeSet::from(["infra-ci:latest".to_string()]));
        let doomed: BTreeSet<Digest> =
            before.garbage_collection[0].damage.iter().map(|damage| damage.digest.clone()).collect();
        let own = ["config amd64 0", "layer amd64 0"].map(|bytes| Digest::sha256(bytes.as_bytes()));
        assert_eq!(doomed, BTreeSet::from(own), "the shared layer is needed by the other platforms");

        collect(&program, collector, &root);
        for digest in &doomed {
            assert!(!v2.join(data(digest)).exists(), "{digest} was predicted to go");
        }
        assert!(v2.join(data(&child.digest())).exists(), "the index still marks the child's bytes");
        let after = scan_for(&root, collector);
        let orphan = after.findings.iter().find(|finding| finding.class == Class::OrphanChild).unwrap();
        assert!(orphan.detail.contains("2 of the 3 objects that it needs are missing"), "{orphan:?}");
        assert_eq!(after.garbage_collection[0].damage, [], "there is nothing more to lose");
    }
}

#[test]
fn three_pushes_and_a_collection_of_the_untagged_break_the_image() {
    let Some(program) = peer::registry(Engine::V2) else { return };
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("registry");
    storage(&program, &root, 3);
    let before = scan_for(&root, DELETE_UNTAGGED);
    assert_eq!(before.findings, [], "nothing is broken yet");
    let prediction = &before.garbage_collection[0];
    let children: BTreeSet<String> = build(2).children.iter().map(|child| child.digest().to_string()).collect();
    let doomed: BTreeSet<String> = prediction.damage.iter().map(|damage| damage.digest.to_string()).collect();
    assert!(children.is_subset(&doomed), "{prediction:#?}");

    collect(&program, DELETE_UNTAGGED, &root);
    let after = scan_for(&root, DELETE_UNTAGGED);
    assert_eq!(classes(&after, Class::OrphanChild), children);
    assert_eq!(before.blobs - after.blobs, prediction.deletes_blobs);
    assert!(after.findings.iter().all(|finding| !finding.class.is_failure() || finding.tags == ["latest"]));

    let server = Server::start(&program, &root);
    let index = server.request("GET", "/v2/infra-ci/manifests/latest", "", b"");
    assert_eq!(index.status, 200, "the index answers as if nothing had happened");
    let child = format!("/v2/infra-ci/manifests/{}", children.first().unwrap());
    assert_eq!(server.request("GET", &child, "", b"").status, 404);
}

#[test]
fn what_scan_says_mends_it_does() {
    for engine in Engine::ALL {
        let Some(program) = peer::registry(engine) else { continue };
        let collector = Collector { engine, ..PLAIN };
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("registry");
        storage(&program, &root, 1);
        let v2 = root.join("docker/registry/v2");
        let child = build(0).children[0].clone();
        let (link, bytes) = (revision_link("infra-ci", &child.digest()), data(&child.digest()));
        let server = Server::start(&program, &root);
        let put = || server.put_manifest("infra-ci", &child, &child.digest().to_string()).status;

        // No link, bytes there; a link, no bytes; an empty link: the same manifest again.
        let spoils: [(Class, &dyn Fn()); 3] = [
            (Class::OrphanChild, &|| std::fs::remove_file(v2.join(&link)).unwrap()),
            (Class::MissingData, &|| std::fs::remove_file(v2.join(&bytes)).unwrap()),
            (Class::BadLink, &|| std::fs::write(v2.join(&link), b"").unwrap()),
        ];
        for (class, spoil) in spoils {
            spoil();
            let report = scan_for(&root, collector);
            assert_eq!(report.findings.len(), 1, "{report:#?}");
            assert_eq!(report.findings[0].class, class);
            assert!(report.findings[0].detail.contains("a push of the same manifest repairs it"), "{report:#?}");
            assert_eq!(put(), 201);
            assert_eq!(scan_for(&root, collector).findings, [], "{class} on registry {}", engine.number());
        }

        // Wrong bytes stay as they are, whatever the registry answers.
        std::fs::write(v2.join(&bytes), b"{}").unwrap();
        let report = scan_for(&root, collector);
        assert!(report.findings[0].detail.contains("a push does not repair it"), "{report:#?}");
        put();
        assert_eq!(std::fs::read(v2.join(&bytes)).unwrap(), b"{}");
        std::fs::remove_file(v2.join(&bytes)).unwrap();
        assert_eq!(put(), 201);
        assert_eq!(scan_for(&root, collector).findings, []);

        // A layer without link or without bytes: the image again.
        let layer = Digest::sha256(b"layer amd64 0");
        for path in [crate::testkit::scan_tree::layer_link("infra-ci", &layer), data(&layer)] {
            std::fs::remove_file(v2.join(path)).unwrap();
            let report = scan_for(&root, collector);
            assert_eq!(report.findings[0].class, Class::MissingLayer);
            server.push("infra-ci", &build(0), Some("latest"));
            assert_eq!(scan_for(&root, collector).findings, []);
        }
    }
}

//! Which folders are registries, and what is said of those that are not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use registry_integrity_probe::cli::Exit;
use registry_integrity_probe::oci::Digest;
use serde_json::json;

use super::words;
use crate::testkit::scan_tree::data;
use crate::testkit::scan_tree::storage::{Said, Storage, scan};

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"{}").unwrap();
}

/// A zot root, which nothing but its image layouts tells.
fn write_zot(root: &Path) {
    for file in ["oci-layout", "index.json", "blobs/sha256/0f"] {
        write(&root.join("team/app").join(file));
    }
    write(&root.join("_trivy/db/x"));
}

fn roots(said: &Said) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let roots = report["roots"].as_array().unwrap();
    roots.iter().map(|root| root["root"].as_str().unwrap().to_string()).collect()
}

#[test]
fn blobs_without_a_folder_of_repositories_are_no_registry() {
    let place = tempfile::tempdir().unwrap();
    write(&place.path().join(data(&Digest::sha256(b"{}"))));
    let said = scan(&[], &[place.path()]);
    assert_eq!((said.status, said.out.as_str()), (Exit::Usage, ""), "{}", said.err);
    assert!(said.err.contains("`blobs` of a distribution registry and without its `repositories`"), "{}", said.err);
    assert!(said.err.contains("docker/registry/v2"), "{}", said.err);

    // An empty folder of repositories beside them makes it the copy of a `v2` folder.
    fs::create_dir(place.path().join("repositories")).unwrap();
    let said = scan(&[], &[place.path()]);
    assert_eq!(said.status, Exit::Unverified, "{}{}", said.out, said.err);
}

#[test]
fn blobs_that_no_repository_refers_to_are_unverified_and_not_empty() {
    for (left, why) in [
        (None, "there is no such folder"),
        (Some("repositories"), "no repository is in it"),
        (Some("repositories/team"), "no repository is in it"),
    ] {
        let storage = Storage::healthy();
        storage.tree.remove("repositories");
        if let Some(left) = left {
            fs::create_dir_all(storage.tree.v2().join(left)).unwrap();
        }
        for flags in [&[][..], &["--engine", "2"], &["--engine", "3", "--delete-untagged"]] {
            let said = storage.scan(flags);
            let is_abort = left.is_none() && !flags.is_empty();
            let expected = if is_abort { Exit::Failure } else { Exit::Unverified };
            assert_eq!(said.status, expected, "{left:?} {flags:?}: {}", said.out);
            let text = words(&said.out);
            assert!(!text.contains("EMPTY") && !text.contains("break nothing"), "{text}");
            assert!(text.contains("8 blobs lie here and"), "{text}");
            assert_eq!(text.contains("would delete every blob"), left.is_some(), "{text}");
        }
        let note = &storage.json(&[]).1["roots"][0]["unverified"][0];
        assert_eq!(note["path"], "repositories");
        let detail = note["detail"].as_str().unwrap();
        assert!(detail.starts_with(why) && !detail.contains("  "), "{note}");

        storage.tree.remove("blobs");
        let said = storage.scan(&[]);
        assert_eq!(said.status, Exit::Success, "{}", said.out);
        assert!(said.out.contains("EMPTY  "), "{}", said.out);
    }
}

#[test]
fn repositories_without_blobs_are_broken() {
    for keeps_folder in [false, true] {
        let storage = Storage::healthy();
        storage.tree.remove("blobs");
        if keeps_folder {
            fs::create_dir(storage.tree.v2().join("blobs")).unwrap();
        }
        let said = storage.scan(&[]);
        assert_eq!(said.status, Exit::Failure, "{}", said.out);
        assert!(words(&said.out).contains("BROKEN") && said.out.contains("breaks team/app:1.2"), "{}", said.out);
        assert!(words(&said.out).contains("3 revisions in 1 repository, 5 layer links, 0 blobs"), "{}", said.out);
    }
}

#[test]
fn what_lies_beside_a_registry_and_cannot_be_read_is_named_and_wrong_usage() {
    let storage = Storage::healthy();
    let place = storage.place.path();
    write_zot(&place.join("zot"));
    write(&place.join("backups/layout/oci-layout"));
    write(&place.join("lost").join(data(&Digest::sha256(b"{}"))));
    let said = storage.scan(&[]);
    assert_eq!((said.status, said.err.as_str()), (Exit::Usage, ""), "{}", said.out);
    let text = words(&said.out);
    assert!(text.contains("everything is intact, 3 revisions in 1 repository"), "{text}");
    for (folder, format) in [
        ("zot", "a directory of OCI image layouts, the storage of a zot registry"),
        ("lost", "a directory with the `blobs` of a distribution registry and without its `repositories`"),
    ] {
        let line = format!("NOT SCANNED {}: this is {format}", place.join(folder).display());
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let (status, report) = storage.json(&[]);
    assert_eq!(status, Exit::Usage);
    let path = |folder: &str| place.join(folder).to_str().unwrap().to_string();
    assert_eq!(
        report["not_scanned"],
        json!([
            {"path": path("backups"), "format": "zot"},
            {"path": path("lost"), "format": "distribution_blobs"},
            {"path": path("zot"), "format": "zot"},
        ])
    );
    assert_eq!(report["roots"].as_array().unwrap().len(), 1);

    // Also where something is broken: the exit status says first that not everything was scanned.
    storage.tree.remove("blobs");
    assert_eq!(storage.scan(&[]).status, Exit::Usage);
    let registry = place.join("registry");
    assert_eq!(scan(&[], &[&registry]).status, Exit::Failure, "named alone");
}

#[test]
fn stores_of_docker_itself_are_not_in_the_way_of_a_registry_in_a_volume() {
    let storage = Storage::healthy();
    let docker = storage.place.path().join("docker-root");
    for file in ["image/x", "containers/x", "buildkit/content/blobs/x", "buildkit/content/ingest/x"] {
        write(&docker.join(file));
    }
    let volume = docker.join("volumes/registry");
    fs::create_dir_all(&volume).unwrap();
    fs::rename(storage.place.path().join("registry"), volume.join("_data")).unwrap();
    let said = scan(&[], &[&docker]);
    assert_eq!(said.status, Exit::Success, "{}{}", said.out, said.err);
    assert!(!said.out.contains("NOT SCANNED"), "{}", said.out);
}

#[test]
fn a_registry_that_is_named_in_several_ways_is_scanned_once() {
    let storage = Storage::healthy();
    let registry = storage.place.path().join("registry");
    let aside = tempfile::tempdir().unwrap();
    let linked = aside.path().join("linked");
    symlink(&registry, &linked).unwrap();
    let said = scan(&["--output", "json"], &[&linked]);
    assert_eq!((said.status, roots(&said)), (Exit::Success, vec![linked.display().to_string()]));
    let v2 = registry.join("docker/registry/v2");
    let linked_v2 = aside.path().join("v2");
    symlink(&v2, &linked_v2).unwrap();
    assert_eq!(scan(&[], &[&linked_v2]).status, Exit::Success);

    let dotted = aside.path().join(".").join("linked");
    for names in [
        vec![registry.as_path(), &registry],
        vec![&registry, storage.place.path(), &v2],
        vec![&registry, &linked, &linked_v2, aside.path()],
        vec![&linked, &registry, &dotted],
    ] {
        let said = scan(&["--output", "json"], &names);
        assert_eq!(said.status, Exit::Success, "{names:?}: {}", said.err);
        assert_eq!(roots(&said).len(), 1, "{names:?}: {}", said.out);
        // Each of its names tells that it is a cache.
        for name in ["registry", "linked"].into_iter().filter(|name| names.iter().any(|path| path.ends_with(name))) {
            let said = scan(&["--pull-through", name], &names);
            assert_eq!(said.status, Exit::Success, "{name} {names:?}: {}", said.err);
        }
    }
    symlink("nowhere", aside.path().join("dangling")).unwrap();
    assert_eq!(scan(&[], &[&aside.path().join("dangling")]).status, Exit::Usage);
}

#[test]
fn what_is_said_of_a_storage_without_tags_agrees_with_the_predictions() {
    let storage = Storage::healthy();
    let tags = "repositories/team/app/_manifests/tags";
    storage.tree.remove(tags);
    let said = |flags: &[&str]| words(&storage.scan(flags).out);
    let lead = "With --delete-untagged, every manifest counts as untagged:";
    let text = said(&[]);
    assert!(
        text.contains(&format!(
            "{lead} registry 2 would fail, for the reason below; registry 3 would delete everything"
        )),
        "{text}"
    );
    assert!(text.contains("registry 2 garbage-collect --delete-untagged would fail:"), "{text}");
    let text = said(&["--engine", "2", "--delete-untagged"]);
    assert!(text.contains(&format!("{lead} registry 2 would fail, for the reason below")), "{text}");
    assert!(!text.contains("delete everything"), "{text}");
    let text = said(&["--engine", "2"]);
    assert!(text.contains(&format!("{lead} garbage collection would delete everything or fail")), "{text}");

    fs::create_dir_all(storage.tree.v2().join(tags)).unwrap();
    let text = said(&[]);
    assert!(
        text.contains(&format!("{lead} registry 2 would delete everything; registry 3 would delete everything")),
        "{text}"
    );
}

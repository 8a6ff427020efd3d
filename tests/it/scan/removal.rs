//! The one change that a scan can make, and the script that lets a collection run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use registry_integrity_probe::cli::Exit;
use registry_integrity_probe::oci::Digest;

use crate::testkit::scan_tree::storage::Storage;
use crate::testkit::scan_tree::{data, files, layer_link};

/// A text without its spaces, whose lines may be folded anywhere.
fn unfolded(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn orphan_layer_links_are_removed_and_nothing_else() {
    let storage = Storage::healthy();
    let lost = Digest::sha256(b"only amd64");
    let left = storage.tree.layer("other", b"left by a collection");
    storage.tree.remove(&data(&lost));
    storage.tree.remove(&data(&left));
    storage.tree.write(&layer_link("other", &Digest::sha256(b"bad")), b"no digest");
    let before = files(&storage.tree.v2());

    let said = storage.scan(&["--remove-orphan-layer-links", "--dry-run"]);
    assert!(unfolded(&said.out).contains(&format!("WOULD_REMOVE{}", layer_link("team/app", &lost))), "{}", said.out);
    assert_eq!(files(&storage.tree.v2()), before, "a dry run changes nothing");

    let (_, report) = storage.json(&["--remove-orphan-layer-links"]);
    let removals = report["roots"][0]["removals"].as_array().unwrap();
    assert!(removals.iter().all(|it| it["outcome"] == "removed") && removals.len() == 2, "{removals:?}");
    let gone: Vec<_> = [layer_link("other", &left), layer_link("team/app", &lost)].map(Into::into).into();
    let after = files(&storage.tree.v2());
    let expected: Vec<_> = before.into_iter().filter(|path| !gone.contains(path)).collect();
    assert_eq!(after, expected);
    let (_, report) = storage.json(&["--remove-orphan-layer-links"]);
    assert_eq!(report["roots"][0]["removals"], serde_json::json!([]));
}

#[test]
fn link_stays_when_its_blob_is_only_unreadable() {
    let outside = tempfile::tempdir().unwrap();
    let storage = Storage::healthy();
    let lost = storage.tree.layer("other", b"left by a collection");
    storage.tree.remove(&data(&lost));
    let v2 = storage.tree.v2();

    // A symbolic link on the way, out of the root.
    fs::rename(v2.join("repositories/other/_layers"), outside.path().join("_layers")).unwrap();
    symlink(outside.path().join("_layers"), v2.join("repositories/other/_layers")).unwrap();
    let said = storage.scan(&["--remove-orphan-layer-links"]);
    assert_eq!(said.status, Exit::Unverified, "{}", said.out);
    assert!(said.out.contains("  KEPT\n") && said.out.contains("its path contains a symbolic link"), "{}", said.out);
    assert_eq!(files(outside.path()).len(), 1);

    // The disk with these blobs is not mounted.
    fs::remove_file(v2.join("repositories/other/_layers")).unwrap();
    fs::rename(outside.path().join("_layers"), v2.join("repositories/other/_layers")).unwrap();
    let prefix = v2.join(data(&lost)).parent().unwrap().parent().unwrap().to_owned();
    fs::remove_dir_all(&prefix).unwrap();
    symlink("/nowhere/at/all", &prefix).unwrap();
    let said = storage.scan(&["--remove-orphan-layer-links"]);
    assert!(said.out.contains("  KEPT\n") && said.out.contains("cannot tell"), "{}", said.out);

    // No blobs at all.
    fs::remove_dir_all(v2.join("blobs")).unwrap();
    fs::create_dir(v2.join("blobs")).unwrap();
    let said = storage.scan(&["--remove-orphan-layer-links"]);
    assert!(said.out.contains("is the disk that holds them mounted?"), "{}", said.out);
    assert!(v2.join(layer_link("other", &lost)).is_file());
}

#[test]
fn the_script_for_cron_collects_only_behind_a_clean_scan() {
    let place = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/scan/registry-garbage-collect.sh");
    let program = |name: &str, content: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = place.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{content}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("docker-registry", "echo collects with: \"$@\"");
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
    for status in [Exit::Success, Exit::Failure, Exit::Usage, Exit::Unverified] {
        program("registry-integrity-probe", &format!("echo called with: \"$@\"; exit {}", status as u8));
        let mut command = Command::new(&script);
        command.env("PATH", &path).env("DELETE_UNTAGGED", "1").env("TEXTFILE", "/x.prom");
        let output = command.args(["config.yml", "/root of it", "3"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains("called with: scan --engine 3 --delete-untagged --textfile /x.prom /root of it"),
            "{said}"
        );
        let collects = said.contains("collects with: garbage-collect --delete-untagged config.yml");
        assert_eq!(collects, status == Exit::Success, "{said}");
        assert_eq!(output.status.code(), Some(status as i32));
    }
}

//! `scan` as its users call it: trees in, text, JSON, metrics and an exit status out.

mod half_broken;
mod recognition;
mod removal;

use std::collections::BTreeSet;
use std::fs;

use clap::Parser;
use registry_integrity_probe::cli::Exit;
use registry_integrity_probe::oci::Digest;
use serde_json::{Value, json};

use crate::testkit::scan_tree::storage::{Cli, Storage, scan};
use crate::testkit::scan_tree::{LIST, Manifest, OCI_INDEX, TreeBuilder, data, descriptor, layer_link, revision_link};

fn detail(finding: &Value) -> &str {
    finding["detail"].as_str().unwrap()
}

fn set(values: &Value) -> BTreeSet<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

/// A text as it was before it was folded.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_healthy_storage_is_intact_whichever_folder_is_named() {
    let storage = Storage::healthy();
    let registry = storage.place.path().join("registry");
    for root in [storage.place.path(), &registry, &registry.join("docker/registry/v2")] {
        let said = scan(&["--engine", "2"], &[root]);
        assert_eq!(said.status, Exit::Success, "{}{}", said.out, said.err);
        let words = words(&said.out);
        assert!(words.contains("everything is intact, 3 revisions in 1 repository, 5 layer links, 8 blobs"), "{words}");
        assert!(said.out.contains(&registry.display().to_string()), "{}", said.out);
    }
}

#[test]
fn orphaned_child_is_reported_with_tags_and_repair() {
    let storage = Storage::healthy();
    let (index, child) = (storage.index.digest(), storage.child(1));
    storage.tree.remove(&revision_link("team/app", &child));
    let finding = storage.finding(&[]);
    assert_eq!(finding["class"], "orphan_child");
    assert_eq!(finding["repository"], "team/app");
    assert_eq!(finding["digest"], child.to_string());
    assert_eq!(set(&finding["tags"]), BTreeSet::from(["1.2", "latest"]));
    assert_eq!(finding["path"], serde_json::json!(["team/app:1.2", index.to_string(), child.to_string()]));
    assert!(detail(&finding).starts_with("linux/arm64: it has no revision link here"), "{finding}");
    assert!(detail(&finding).contains("its data still exists: a push of the same manifest repairs it"), "{finding}");

    storage.tree.remove(&data(&child));
    assert!(detail(&storage.finding(&[])).contains("its data is missing too"));
}

#[test]
fn each_class_has_its_name() {
    let child = |storage: &Storage| storage.child(0);
    let layer = Digest::sha256(b"only amd64");
    let own_layer = layer.clone();
    type Spoil = Box<dyn Fn(&Storage)>;
    let spoils: Vec<(&str, &str, Spoil)> = vec![
        ("missing_data", "its data is missing", Box::new(move |it| it.tree.remove(&data(&child(it))))),
        ("missing_layer", "its data still exists", Box::new(move |it| it.tree.remove(&layer_link("team/app", &layer)))),
        (
            "missing_layer",
            "the layer's link exists, but its data is missing",
            Box::new(move |it| it.tree.remove(&data(&own_layer))),
        ),
        (
            "missing_layer",
            "the config has no layer link",
            Box::new(|it| it.tree.remove(&layer_link("team/app", &Digest::sha256(b"config amd64")))),
        ),
        (
            "bad_link",
            "revision link is empty",
            Box::new(move |it| it.tree.write(&revision_link("team/app", &child(it)), b"")),
        ),
        (
            "bad_link",
            "layer link is empty",
            Box::new(|it| it.tree.write(&layer_link("team/app", &Digest::sha256(b"shared")), b"x")),
        ),
        (
            "bad_link",
            "its link is empty",
            Box::new(|it| it.tree.write("repositories/team/app/_manifests/tags/1.2/current/link", b"sha256:abc")),
        ),
        (
            "dangling_tag",
            "it has no target",
            Box::new(|it| it.tree.remove("repositories/team/app/_manifests/tags/1.2/current")),
        ),
        (
            "dangling_tag",
            "its target is not served",
            Box::new(|it| it.tree.remove(&revision_link("team/app", &it.index.digest()))),
        ),
        (
            "size_mismatch",
            "the size is 3 bytes, but its manifest says 6",
            Box::new(|it| it.tree.write(&data(&Digest::sha256(b"shared")), b"sha")),
        ),
        ("size_mismatch", "its index says", Box::new(move |it| it.tree.write(&data(&child(it)), b"{}"))),
        (
            "digest_mismatch",
            "hashes to",
            Box::new(|it| it.tree.write(&data(&it.index.digest()), b"{\"schemaVersion\":2,\"manifests\":[]}")),
        ),
        ("digest_mismatch", "is not a manifest", Box::new(|it| it.tree.write(&data(&it.index.digest()), b""))),
        (
            "malformed",
            "not a manifest",
            Box::new(|it| {
                let digest = it.tree.blob(b"[]");
                it.tree.write(&revision_link("team/app", &digest), digest.to_string().as_bytes());
            }),
        ),
        (
            "orphan_layer_link",
            "nothing",
            Box::new(|it| {
                let digest = it.tree.layer("team/app", b"left by a collection");
                it.tree.remove(&data(&digest));
            }),
        ),
    ];
    for (class, words, spoil) in spoils {
        let storage = Storage::healthy();
        spoil(&storage);
        let finding = storage.finding(&[]);
        assert_eq!(finding["class"], class, "{finding}");
        assert!(class == "orphan_layer_link" || detail(&finding).contains(words), "{words}: {finding}");
        if matches!(class, "orphan_layer_link" | "malformed") {
            assert_eq!(finding["tags"], serde_json::json!([]), "{finding}");
        } else {
            assert!(set(&finding["tags"]).contains("1.2"), "{finding}");
        }
    }
}

#[test]
fn layers_from_elsewhere_and_subjects_may_be_absent() {
    let storage = Storage::healthy();
    let config = storage.tree.layer("team/app", b"{}");
    let gone = Digest::sha256(b"nobody has this");
    let document = serde_json::json!({
        "schemaVersion": 2, "mediaType": crate::testkit::scan_tree::OCI_IMAGE,
        "config": {"digest": config.to_string(), "size": 2},
        "layers": [{"digest": gone.to_string(), "size": 9, "urls": ["https://example.com/layer"]}],
        "subject": {"digest": gone.to_string(), "size": 9},
    });
    let manifest = Manifest { bytes: document.to_string().into_bytes(), blobs: Vec::new(), ..storage.index.clone() };
    storage.tree.push("team/app", &Manifest { children: Vec::new(), ..manifest }, Some("foreign"));
    assert_eq!(storage.scan(&[]).status, Exit::Success);
}

#[test]
fn json_has_the_documented_members_and_no_list_is_cut() {
    let storage = Storage::healthy();
    storage.tree.remove(&revision_link("team/app", &storage.child(1)));
    let (_, report) = storage.json(&[]);
    let root = &report["roots"][0];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let root_keys =
        ["blobs", "findings", "garbage_collection", "layer_links", "repositories", "revisions", "root", "unverified"];
    assert_eq!(keys(root), root_keys);
    assert_eq!(keys(&root["findings"][0]), ["class", "detail", "digest", "path", "repository", "tags"]);
    let predictions = root["garbage_collection"].as_array().unwrap();
    let which: Vec<_> = predictions.iter().map(|it| (it["engine"].as_u64(), it["delete_untagged"].as_bool())).collect();
    let all = [(2, false), (2, true), (3, false), (3, true)].map(|(engine, flag)| (Some(engine), Some(flag)));
    assert_eq!(which, all);
    for prediction in predictions {
        let prediction_keys = ["aborts", "damage", "delete_untagged", "deletes_blobs", "engine", "frees_bytes"];
        assert_eq!(keys(prediction), prediction_keys);
        for damage in prediction["damage"].as_array().unwrap() {
            assert_eq!(keys(damage), ["detail", "digest", "kind", "repository", "tag"]);
        }
    }
    let lost: BTreeSet<&str> =
        predictions[0]["damage"].as_array().unwrap().iter().map(|it| it["digest"].as_str().unwrap()).collect();
    let expected = [Digest::sha256(b"config arm64").to_string(), Digest::sha256(b"only arm64").to_string()];
    assert_eq!(lost, expected.iter().map(String::as_str).collect());
    assert_eq!(predictions[0]["frees_bytes"], 12 + 10);
    let said = predictions[0]["damage"][0]["detail"].as_str().unwrap();
    assert_eq!(
        said,
        "`linux/arm64` of team/app:1.2 has no revision link: its data still exists, but a plain collection \
         deletes its layers; push it again first"
    );
}

#[test]
fn with_an_engine_damage_to_come_and_a_failing_collection_count() {
    let storage = Storage::healthy();
    assert_eq!(storage.scan(&["--engine", "3", "--delete-untagged"]).status, Exit::Success);
    let said = storage.scan(&["--engine", "2", "--delete-untagged"]);
    assert_eq!(said.status, Exit::Failure, "{}", said.out);
    assert!(words(&said.out).contains("has no tag of its own"), "{}", said.out);
    let last = said.out.lines().rfind(|line| !line.starts_with(' ')).unwrap();
    assert!(last.starts_with("WOULD BREAK  ") && !said.out.contains("INTACT"), "{}", said.out);
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert_eq!(storage.scan(&[]).status, Exit::Success, "nobody said which collection is about to run");

    storage.tree.write("repositories/Not A Name/_layers/.keep", b"");
    let said = storage.scan(&["--engine", "2"]);
    assert_eq!(said.status, Exit::Failure, "{}", said.out);
    assert!(words(&said.out).contains("would fail: repository Not A Name: not a valid name"), "{}", said.out);
    assert_eq!(storage.scan(&["--engine", "3"]).status, Exit::Unverified, "registry 3 does not see it");
}

#[test]
fn absence_is_normal_in_a_cache_of_another_registry() {
    let storage = Storage::healthy();
    let cache = TreeBuilder::new(&storage.place.path().join("volumes/mirror"));
    let list = Manifest::index_of(LIST, storage.index.children.clone());
    cache.push("library/app", &list, Some("1"));
    cache.remove(&revision_link("library/app", &storage.child(1)));
    cache.remove(&data(&storage.child(1)));
    cache.remove(&data(&Digest::sha256(b"only amd64")));
    cache.remove("repositories/library/app/_manifests/tags/1/current");
    assert_eq!(storage.scan(&[]).status, Exit::Failure);
    for name in ["mirror", "volumes/mirror"] {
        let said = storage.scan(&["--pull-through", name, "--engine", "2", "--delete-untagged"]);
        assert!(!said.out.contains("library/app"), "{}", said.out);
    }
    assert_eq!(storage.scan(&["--pull-through", "mirror"]).status, Exit::Success);
    // Wrong bytes are wrong everywhere.
    cache.write(&data(&Digest::sha256(b"shared")), b"x");
    assert_eq!(storage.scan(&["--pull-through", "mirror"]).status, Exit::Failure);

    let said = storage.scan(&["--pull-through", "miror"]);
    assert_eq!(said.status, Exit::Usage);
    assert!(said.err.contains("miror") && said.err.contains("volumes/mirror"), "{}", said.err);
}

#[test]
fn content_of_an_index_that_is_no_manifest_is_a_layer() {
    let storage = Storage::healthy();
    let (layer, config) = (b"a layer of the cache".to_vec(), b"its config".to_vec());
    let entries = [
        descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer),
        descriptor("application/vnd.buildkit.cacheconfig.v0", &config),
    ];
    let document = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    let cache = Manifest {
        bytes: document.to_string().into_bytes(),
        blobs: vec![layer.clone(), config],
        children: Vec::new(),
        ..storage.index.clone()
    };
    storage.tree.push("team/cache", &cache, Some("main"));
    let said = storage.scan(&["--content"]);
    assert_eq!(said.status, Exit::Success, "{}", said.out);
    assert!(!said.out.contains("remove the file"), "{}", said.out);

    let layer = Digest::sha256(&layer);
    storage.tree.remove(&layer_link("team/cache", &layer));
    let finding = storage.finding(&[]);
    assert_eq!((finding["class"].as_str(), &finding["digest"]), (Some("missing_layer"), &json!(layer.to_string())));
    assert!(detail(&finding).contains("its data still exists"), "{finding}");
}

#[test]
fn whole_bytes_that_are_no_manifest_are_not_to_be_removed() {
    let storage = Storage::healthy();
    let blob = storage.tree.layer("team/app", b"a layer, which nobody says it is");
    let entry = json!({"digest": blob.to_string(), "size": 32});
    let document = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    let index = Manifest { bytes: document.to_string().into_bytes(), children: Vec::new(), ..storage.index.clone() };
    storage.tree.push("team/app", &index, Some("odd"));
    let finding = storage.finding(&[]);
    assert_eq!(finding["class"], "orphan_child");
    assert!(detail(&finding).contains("is not a manifest") && !detail(&finding).contains("remove"), "{finding}");
}

#[test]
fn an_unusable_descriptor_is_one_finding_and_hides_no_other() {
    let storage = Storage::healthy();
    let image = Manifest::image("linux/amd64", "config", &["a layer"]);
    let with = |member: &str, value: Value| {
        let mut document: Value = serde_json::from_slice(&image.bytes).unwrap();
        document["config"][member] = value;
        Manifest { bytes: document.to_string().into_bytes(), ..image.clone() }
    };
    let without_digest = with("digest", json!(""));
    storage.tree.push("team/odd", &without_digest, Some("1"));
    let finding = storage.finding(&[]);
    assert_eq!(finding["class"], "malformed");
    assert_eq!(finding["digest"], without_digest.digest().to_string());
    assert!(detail(&finding).contains("config has no usable digest"), "{finding}");

    storage.tree.remove(&layer_link("team/odd", &Digest::sha256(b"a layer")));
    let (_, report) = storage.json(&[]);
    let findings = report["roots"][0]["findings"].as_array().unwrap();
    let classes: Vec<_> = findings.iter().map(|finding| finding["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["missing_layer", "malformed"], "{findings:#?}");

    let storage = Storage::healthy();
    storage.tree.push("team/odd", &with("size", json!(-1)), Some("1"));
    let (status, report) = storage.json(&[]);
    assert_eq!((status, &report["roots"][0]["findings"]), (Exit::Unverified, &json!([])), "{report:#}");
    assert!(report["roots"][0]["unverified"][0]["detail"].as_str().unwrap().contains("negative size"), "{report:#}");
}

#[test]
fn another_format_is_wrong_usage_and_is_named() {
    let place = tempfile::tempdir().unwrap();
    let hex = "0f".repeat(32);
    for (folder, files, name) in [
        ("layout", vec!["oci-layout", "index.json", "blobs/sha256/HEX"], "an OCI image layout"),
        ("zot", vec!["cache.db", "team/app/oci-layout", "team/app/index.json", "team/app/blobs/sha256/HEX"], "zot"),
        ("any", vec!["blobs/x"], "a directory `blobs`"),
        ("saved", vec!["manifest.json", "oci-layout", "index.json", "blobs/sha256/HEX"], "docker save"),
        ("containerd", vec!["io.containerd.content.v1.content/blobs/sha256/HEX"], "containerd"),
        ("gitea", vec!["packages/0f/0f/HEX"], "Gitea"),
    ] {
        let root = place.path().join(folder);
        for file in files {
            let path = root.join(file.replace("HEX", &hex));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"{}").unwrap();
        }
        let said = scan(&[], &[&root]);
        assert_eq!((said.status, said.out.as_str()), (Exit::Usage, ""), "{folder}: {}", said.err);
        assert!(said.err.contains(name) && said.err.contains("docker/registry/v2"), "{folder}: {}", said.err);
    }
    let file = place.path().join("image.tar");
    fs::write(&file, b"\x1f\x8b\x08").unwrap();
    let said = scan(&[], &[&file]);
    assert_eq!(said.status, Exit::Usage);
    assert!(said.err.contains("an archive"), "{}", said.err);
}

#[test]
fn a_registry_without_content_is_empty_and_not_intact() {
    let place = tempfile::tempdir().unwrap();
    let v2 = place.path().join("docker/registry/v2");
    fs::create_dir_all(&v2).unwrap();
    for root in [place.path(), &v2] {
        let said = scan(&[], &[root]);
        assert_eq!(said.status, Exit::Success, "{}{}", said.out, said.err);
        assert!(said.out.contains("EMPTY  ") && !said.out.contains("INTACT"), "{}", said.out);
    }
}

#[test]
fn a_storage_without_tags_is_said_to_have_none() {
    let storage = Storage::healthy();
    let tags = "repositories/team/app/_manifests/tags";
    storage.tree.remove(tags);
    for makes_folder in [false, true] {
        if makes_folder {
            fs::create_dir_all(storage.tree.v2().join(tags)).unwrap();
        }
        let said = storage.scan(&[]);
        assert_eq!(said.status, Exit::Success, "{}", said.out);
        let text = words(&said.out);
        assert!(text.contains("NO TAGS no repository has a tag. Harbor 2.15"), "{text}");
        assert!(text.contains("registry 3 would delete everything"), "{text}");
        assert!(!said.out.contains("INTACT"), "{}", said.out);
        assert_eq!(storage.json(&[]).1["roots"][0]["has_no_tags"], true);
        for engine in ["2", "3"] {
            assert_eq!(storage.scan(&["--engine", engine]).status, Exit::Success);
            let said = storage.scan(&["--engine", engine, "--delete-untagged"]);
            assert_eq!(said.status, Exit::Failure, "{engine} {makes_folder}: {}", said.out);
            assert!(!words(&said.out).contains("and break nothing"), "{}", said.out);
        }
    }
    assert!(storage.json(&["--pull-through", "registry"]).1["roots"][0].get("has_no_tags").is_none());
    assert!(Storage::healthy().json(&[]).1["roots"][0].get("has_no_tags").is_none());
}

#[test]
fn a_folder_without_a_registry_is_wrong_usage() {
    let place = tempfile::tempdir().unwrap();
    let said = scan(&[], &[place.path()]);
    assert_eq!(said.status, Exit::Usage);
    assert!(said.err.contains("an empty directory"), "{}", said.err);
    fs::create_dir(place.path().join("folder")).unwrap();
    let said = scan(&[], &[place.path()]);
    assert_eq!(said.status, Exit::Usage);
    assert!(said.err.contains("no registry's storage here"), "{}", said.err);
    assert_eq!(scan(&[], &[&place.path().join("absent")]).status, Exit::Usage);
    for wrong in [vec!["--delete-untagged"], vec!["--dry-run"], vec!["--engine", "4"], vec![]] {
        let root = (!wrong.is_empty()).then_some("/");
        let arguments = ["scan"].into_iter().chain(wrong.clone()).chain(root);
        assert!(Cli::try_parse_from(arguments).is_err(), "{wrong:?}");
    }
}

#[test]
fn content_finds_what_only_hashing_tells() {
    let storage = Storage::healthy();
    storage.tree.write(&data(&Digest::sha256(b"shared")), b"Shared");
    let unlinked = storage.tree.blob(b"linked by nobody");
    assert_eq!(storage.scan(&[]).status, Exit::Success, "the length is right");
    let finding = storage.finding(&["--content"]);
    assert_eq!(finding["class"], "digest_mismatch");
    assert_eq!(set(&finding["tags"]), BTreeSet::from(["1.2", "latest"]));
    assert!(detail(&finding).contains(&Digest::sha256(b"Shared").to_string()), "{finding}");

    storage.tree.write(&data(&unlinked), b"other bytes");
    let (_, report) = storage.json(&["--content"]);
    let findings = report["roots"][0]["findings"].as_array().unwrap();
    assert!(
        findings.iter().any(|it| it["repository"].is_null() && it["digest"] == unlinked.to_string()),
        "{findings:?}"
    );
}

#[test]
fn metrics_are_written_atomically_or_reported() {
    let storage = Storage::healthy();
    storage.tree.remove(&revision_link("team/app", &storage.child(1)));
    let textfile = storage.place.path().join("registry.prom");
    storage.scan(&["--engine", "2", "--textfile", textfile.to_str().unwrap()]);
    let text = fs::read_to_string(&textfile).unwrap();
    let root = storage.place.path().join("registry");
    let root = root.display();
    for line in [
        format!("registry_storage_scan_findings{{class=\"orphan_child\",root=\"{root}\"}} 1"),
        format!("registry_storage_scan_findings{{class=\"malformed\",root=\"{root}\"}} 0"),
        format!("registry_storage_scan_predicted_damage{{delete_untagged=\"false\",engine=\"2\",root=\"{root}\"}} 4"),
        format!("registry_storage_scan_last_timestamp_seconds{{root=\"{root}\"}} "),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(!text.contains("engine=\"3\""), "{text}");
    assert_eq!(fs::read_dir(storage.place.path()).unwrap().count(), 2, "nothing is left beside it");

    let healthy = Storage::healthy();
    let said = healthy.scan(&["--textfile", "/nowhere/at/all.prom"]);
    assert_eq!(said.status, Exit::Unverified);
    assert!(said.err.contains("/nowhere/at/all.prom"), "{}", said.err);
}

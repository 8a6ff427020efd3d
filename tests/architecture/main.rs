//! The directions in which the parts may know each other, read from the source.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each part may use of the crate; `demo` beside what is named, since it is a part of its own.
const ALLOWED: &[(&str, &[&str])] = &[
    ("oci", &[]),
    ("report", &["oci"]),
    ("shard", &[]),
    ("config", &["oci", "shard"]),
    ("registry", &["oci", "config", "report"]),
    ("judge", &["oci", "registry", "report"]),
    ("proofs", &["oci", "config", "report"]),
    ("manifests", &["oci", "report"]),
    ("history", &["oci", "report"]),
    ("contradictions", &["oci"]),
    ("progress", &[]),
    ("walk", &["oci", "config", "contradictions", "registry", "judge", "manifests", "proofs", "report"]),
    (
        "sweep",
        &["oci", "config", "contradictions", "registry", "judge", "manifests", "progress", "proofs", "report", "walk"],
    ),
    ("verify", &["oci", "config", "registry", "judge", "manifests", "proofs", "report", "walk", "sweep", "output"]),
    ("store", &["history", "oci", "proofs", "report", "shard"]),
    (
        "state",
        &[
            "config",
            "contradictions",
            "history",
            "manifests",
            "oci",
            "progress",
            "proofs",
            "registry",
            "report",
            "shard",
            "store",
        ],
    ),
    ("sweep_thread", &[]),
    ("schedule", &["config", "progress", "registry", "proofs", "report", "state", "sweep", "walk"]),
    ("remedy", &["oci", "report"]),
    ("images", &["manifests", "oci", "report", "state"]),
    ("metrics", &["oci", "registry", "report", "state"]),
    ("output", &["oci", "report", "storage"]),
    ("push", &["metrics"]),
    ("textfile", &[]),
    ("web_config", &["config"]),
    ("web", &["config", "history", "images", "metrics", "oci", "output", "remedy", "report", "state", "web_config"]),
    ("storage", &["oci", "report"]),
    ("demo", &["oci"]),
];

fn source_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The first segment behind every `crate::`, outside of tests.
fn uses(source: &str) -> BTreeSet<String> {
    let production = source.split("#[cfg(test)]").next().unwrap_or(source);
    let code = production.lines().filter(|line| !line.trim_start().starts_with("//"));
    let segment = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    code.flat_map(|line| line.split("crate::").skip(1).map(segment).collect::<Vec<_>>())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn parts_know_only_what_lies_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ALLOWED.iter().map(|(part, uses)| (*part, uses.iter().copied().chain([*part]).collect())).collect();
    let mut seen = BTreeSet::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let part = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(allowed) = allowed.get(part) else { continue };
        seen.insert(part.to_string());
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            assert!(allowed.contains(used.as_str()), "{} may not use crate::{used}", relative.display());
        }
    }
    assert_eq!(seen.len(), ALLOWED.len(), "a part that is named here is gone");
}

/// What stands between two semicolons outside of tests and comments, with `serde_json::from_` in it.
fn readings(source: &str) -> Vec<String> {
    let production = source.split("#[cfg(test)]\nmod tests").next().unwrap_or(source);
    let code: Vec<_> = production.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let statements = code.join("\n");
    statements.split(';').filter(|text| text.contains("serde_json::from_")).map(str::to_string).collect()
}

#[test]
fn json_of_registries_is_read_as_objects_and_never_by_position() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/registry");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let found: Vec<_> = files.iter().flat_map(|file| readings(&fs::read_to_string(file).unwrap())).collect();
    assert!(found.len() >= 4, "{found:#?}");
    let odd: Vec<_> = found.iter().filter(|it| !it.contains("Object(") && !it.contains("::<Value>")).collect();
    assert!(odd.is_empty(), "serde reads a list by position unless it is wrapped in oci::Object: {odd:#?}");
}

#[test]
fn files_import_each_other_without_cycles() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let imports = imports::Imports::read(&src);
    let edges = imports.edges();
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > 300, "too few imports were read");
    let cycles = imports::cycles(&edges);
    assert!(cycles.is_empty(), "{cycles:#?}");
}

//! The directions in which the parts may know each other, read from the source.

mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `src`, from top to bottom: each uses only itself and those after it.
const LAYERS: &[&str] =
    &["main", "cli", "web", "render", "service", "state", "check", "registry", "storage", "config", "report", "oci"];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The folder of a file that is relative to `src`.
fn folder(file: &Path) -> &str {
    file.iter().next().and_then(|part| part.to_str()).unwrap().trim_end_matches(".rs")
}

#[test]
fn folders_use_only_lower_folders() {
    let imports = imports::Imports::read(&src());
    let edges = imports.edges();
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > 300, "too few imports were read");
    let seen: BTreeSet<&str> = edges.keys().map(|file| folder(file)).collect();
    let known: BTreeSet<&str> = LAYERS.iter().copied().chain(["demo", "lib"]).collect();
    assert_eq!(seen, known, "a folder is missing in LAYERS, or is gone");
    for (file, used) in &edges {
        for used in used {
            let (from, to) = (folder(file), folder(used));
            let is_allowed = match (from, to) {
                ("lib", _) => true,
                // The in-process registry stands beside the layers: commands start it, and it speaks OCI.
                ("cli", "demo") | ("demo", "oci") => true,
                (from, to) if from == to => true,
                (from, to) => {
                    let layer = |name| LAYERS.iter().position(|layer| *layer == name);
                    layer(from).zip(layer(to)).is_some_and(|(from, to)| from < to)
                }
            };
            assert!(is_allowed, "{} may not use {}", file.display(), used.display());
        }
    }
}

#[test]
fn files_import_each_other_without_cycles() {
    let imports = imports::Imports::read(&src());
    let cycles = imports::cycles(&imports.edges());
    assert!(cycles.is_empty(), "{cycles:#?}");
}

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

/// What stands between two semicolons outside of tests and comments, with `serde_json::from_` in it.
fn readings(source: &str) -> Vec<String> {
    let production = source.split("#[cfg(test)]\nmod tests").next().unwrap_or(source);
    let code: Vec<_> = production.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let statements = code.join("\n");
    statements.split(';').filter(|text| text.contains("serde_json::from_")).map(str::to_string).collect()
}

#[test]
fn json_of_registries_is_read_as_objects_and_never_by_position() {
    let root = src().join("registry");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let found: Vec<_> = files.iter().flat_map(|file| readings(&fs::read_to_string(file).unwrap())).collect();
    assert!(found.len() >= 4, "{found:#?}");
    let odd: Vec<_> = found.iter().filter(|it| !it.contains("Object(") && !it.contains("::<Value>")).collect();
    assert!(odd.is_empty(), "serde reads a list by position unless it is wrapped in oci::Object: {odd:#?}");
}

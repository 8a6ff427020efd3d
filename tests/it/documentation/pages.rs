//! The project's pages.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page, by its path from the project's root.
pub fn pages() -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                // What is built, and what hides.
                if name != "target" && !name.starts_with('.') {
                    open.push(path);
                }
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(root()).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    assert!(found.contains(&PathBuf::from("docs/configuration.md")), "{found:?}");
    found
}

/// A page without its blocks of code, and those blocks, each with its language.
pub fn prose_and_blocks(page: &str) -> (String, Vec<(String, String)>) {
    let (mut prose, mut blocks) = (String::new(), Vec::new());
    // A block in a list is indented.
    let fence = Regex::new(r"(?m)^ *```(\w*)\n").unwrap();
    let end = Regex::new(r"(?m)^ *```$\n?").unwrap();
    let mut rest = page;
    while let Some(found) = fence.captures(rest) {
        let (begin, language) = (found.get(0).unwrap(), found[1].to_string());
        prose += &rest[..begin.start()];
        let inside = &rest[begin.end()..];
        let closed = end.find(inside).expect("a block ends");
        blocks.push((language, inside[..closed.start()].to_string()));
        rest = &inside[closed.end()..];
    }
    (prose + rest, blocks)
}

/// The cells of the tables below a heading, up to the next heading; the first line of each is its head.
pub fn rows_below(page: &str, heading: &str) -> Vec<Vec<String>> {
    let page = format!("\n{page}");
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n#").next().unwrap();
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string());
        cells.collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for line in section.lines().filter(|line| line.starts_with('|')) {
        if line.starts_with("|---") {
            rows.pop();
        } else {
            rows.push(cells(line));
        }
    }
    assert!(!rows.is_empty(), "no table below {heading}");
    rows
}

/// What stands between backticks.
pub fn spans(prose: &str) -> impl Iterator<Item = &str> {
    prose.split('`').skip(1).step_by(2)
}

pub fn exists(path: &Path) -> bool {
    root().join(path).exists()
}

//! `docs/behaviour.md` names the test of each behaviour: those names are there.

use std::collections::BTreeSet;
use std::path::Path;

/// Every test below a folder, as `function` and as `module::function`.
fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let named = if path.ends_with("mod.rs") { folder } else { &path };
            let module = named.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let is_test = |name: &&str| !name.is_empty();
            for name in text.split("fn ").skip(1).map(|rest| rest.split('(').next().unwrap_or_default()).filter(is_test)
            {
                found.extend([name.to_string(), format!("{module}::{name}")]);
            }
            found.insert(module);
        }
    }
}

#[test]
fn the_tests_that_the_documentation_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    tests_in(&root.join("tests"), &mut tests);
    tests_in(&root.join("src"), &mut tests);
    let text = std::fs::read_to_string(root.join("docs/behaviour.md")).unwrap();
    let is_name = |word: &&str| {
        let may = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':';
        word.chars().all(may) && (word.contains("::") || word.matches('_').count() >= 3)
    };
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 40, "{} names", named.len());
    let known = |name: &&&str| {
        let last_two = name.rsplit("::").take(2).collect::<Vec<_>>();
        let short = last_two.iter().rev().copied().collect::<Vec<_>>().join("::");
        tests.contains(**name) || tests.contains(&short) || (name.contains("registry::") && tests.contains(last_two[0]))
    };
    let missing: Vec<_> = named.iter().filter(|name| !known(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

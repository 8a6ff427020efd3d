//! Every relative link leads to a file that is there, every anchor to a heading, and every path between backticks exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use regex::Regex;

use super::pages::{exists, pages, prose_and_blocks, read, root, spans};

/// The anchors that GitHub makes of a page's headings.
fn anchors(page: &str) -> Vec<String> {
    let (prose, _) = prose_and_blocks(page);
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = link.replace_all(heading.trim_start_matches('#').trim(), "$1").to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let plain: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let time = times.entry(plain.clone()).or_default();
        *time += 1;
        if *time == 1 { plain } else { format!("{plain}-{}", *time - 1) }
    };
    headings.map(anchor).collect()
}

/// A path without `..`, from the project's root.
fn resolved(from: &Path, link: &str) -> Option<PathBuf> {
    let mut path = from.parent().unwrap().to_path_buf();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir if path.pop() => {}
            Component::ParentDir => return None,
            other => path.push(other),
        }
    }
    Some(path)
}

#[test]
fn every_relative_link_leads_somewhere() {
    let link = Regex::new(r"!?\[[^\]]*\]\(([^)\s]+)\)").unwrap();
    let (mut faults, mut checked) = (Vec::new(), 0);
    for page in pages() {
        let text = read(page.to_str().unwrap());
        let (prose, _) = prose_and_blocks(&text);
        for found in link.captures_iter(&prose).map(|found| found[1].to_string()) {
            if found.contains("://") || found.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, anchor) = found.split_once('#').map_or((&*found, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { Some(page.clone()) } else { resolved(&page, path) };
            let there = target.as_deref().filter(|target| exists(target));
            let is_sound = there.is_some_and(|target| {
                anchor.is_none_or(|anchor| anchors(&read(target.to_str().unwrap())).iter().any(|known| known == anchor))
            });
            if !is_sound {
                faults.push(format!("{}: {found}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(checked > 60, "{checked}");
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let link = Regex::new(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)").unwrap();
    let (mut reached, mut open) = (BTreeSet::new(), vec![PathBuf::from("README.md")]);
    while let Some(page) = open.pop() {
        if page.extension().is_none_or(|it| it != "md") || !reached.insert(page.clone()) {
            continue;
        }
        for found in link.captures_iter(&read(page.to_str().unwrap())).filter(|found| !found[1].contains("://")) {
            let target = resolved(&page, &found[1]).unwrap();
            // A folder shows its own page.
            let page = if root().join(&target).is_dir() { target.join("README.md") } else { target };
            open.extend(exists(&page).then_some(page));
        }
    }
    let lost: Vec<PathBuf> = pages().into_iter().filter(|page| !reached.contains(page)).collect();
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn every_path_that_a_sentence_names_is_there() {
    let folders = ["alerts/", "benches/", "dashboards/", "deploy/", "docs/", "src/", "templates/", "tests/", ".ci/"];
    let (mut faults, mut checked) = (Vec::new(), 0);
    for page in pages() {
        let (prose, _) = prose_and_blocks(&read(page.to_str().unwrap()));
        for span in spans(&prose) {
            let is_path = folders.iter().any(|folder| span.starts_with(folder)) && !span.contains([' ', '*', '$', '{']);
            if is_path {
                checked += 1;
                // From the root, or from where the page lies.
                let beside = resolved(&page, span);
                if !exists(Path::new(span)) && !beside.is_some_and(|path| exists(&path)) {
                    faults.push(format!("{}: {span}", page.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(checked > 20, "{checked}");
}

//! The README stays short, and the indexes of the pages and of the alerts are complete.

use std::collections::BTreeSet;

use regex::Regex;

use super::pages::{pages, read, rows_below, spans};

/// More than this belongs into `docs`.
const README_WORDS: usize = 900;

#[test]
fn the_readme_is_short_and_keeps_its_two_commands() {
    let readme = read("README.md");
    let words = readme.split_whitespace().count();
    assert!(words <= README_WORDS, "{words} words");
    for command in ["cargo run --release -- demo", "cargo test"] {
        assert!(readme.contains(&format!("```console\n{command}\n```\n")), "{command}");
    }
}

#[test]
fn the_index_lists_every_page() {
    let link = Regex::new(r"\]\(([\w-]+\.md)\)").unwrap();
    let index = read("docs/README.md");
    let listed: BTreeSet<&str> =
        link.captures_iter(&index).filter_map(|found| found.get(1)).map(|it| it.as_str()).collect();
    for page in pages().iter().filter_map(|page| page.to_str()?.strip_prefix("docs/")) {
        assert!(page.contains('/') || page == "README.md" || listed.contains(page), "{page} is not in docs/README.md");
    }
}

#[test]
fn the_alerts_page_lists_every_alert_with_its_severity() {
    let alert = Regex::new(r"- alert: (\w+)\n(?s:.*?)severity: (\w+)\n").unwrap();
    let rules: String =
        ["integrity", "storage"].map(|file| read(&format!("alerts/registry-{file}.rules.yaml"))).concat();
    let defined: BTreeSet<(&str, &str)> = alert
        .captures_iter(&rules)
        .map(|found| (found.get(1).unwrap().as_str(), found.get(2).unwrap().as_str()))
        .collect();
    let rows = rows_below(&read("docs/alerts.md"), "# Alerts");
    let listed: BTreeSet<(&str, &str)> =
        rows.iter().map(|cells| (spans(&cells[0]).next().unwrap(), cells[1].as_str())).collect();
    assert_eq!(listed, defined);
}

#[test]
fn the_exit_codes_of_every_page_are_the_same() {
    let codes = |page: &str, heading: &str| -> Vec<String> {
        rows_below(&read(page), heading).into_iter().map(|cells| cells[0].clone()).collect()
    };
    let expected = codes("docs/commands.md", "## Exit codes");
    assert_eq!(expected, ["0", "1", "2", "3"]);
    assert_eq!(codes("docs/scan.md", "## Exit status"), expected);
    assert_eq!(codes("docs/cronjob.md", "# One sweep as a job"), expected);
}

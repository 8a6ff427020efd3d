//! `docs/web-configuration.md` names every key of the code and no other, as `configuration.rs` does for the probe's own file.

use std::collections::BTreeSet;

use regex::Regex;
use registry_integrity_probe::web::config::LiveWebConfig;

use super::pages::{read, rows_below, spans};

/// The keys that are known at a place of the file, as its own fault tells them; empty if it is no mapping of known keys.
fn keys_at(place: &[&str]) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    let opened: String = place.iter().map(|key| format!("{key}: {{")).collect();
    std::fs::write(&file, format!("{{{opened}qqqqqqqqqqqq: 1{}}}", "}".repeat(place.len()))).unwrap();
    let said = LiveWebConfig::load(&file).err().map(|error| error.to_string()).unwrap_or_default();
    let list = Regex::new(r"unknown key[^(\n]*\(expected one of ([A-Za-z0-9_, -]+)\)").unwrap();
    let known = list.captures(&said).map(|found| found[1].to_string()).unwrap_or_default();
    known.split(", ").filter(|key| !key.is_empty()).map(str::to_string).collect()
}

#[test]
fn the_page_names_every_key_and_no_other() {
    let page = read("docs/web-configuration.md");
    let named: BTreeSet<&str> = spans(&page).collect();
    let sections = keys_at(&[]);
    assert!(sections.contains("tls_server_config"), "{sections:?}");
    let mut known = BTreeSet::new();
    for section in &sections {
        let keys = keys_at(&[section]);
        for key in &keys {
            known.extend(keys_at(&[section, key]));
        }
        known.extend(keys);
    }
    assert!(known.len() > 15, "{known:?}");
    for key in sections.iter().chain(&known) {
        assert!(named.contains(key.as_str()) || page.contains(&format!("## `{key}`")), "{key} is not told");
    }
    for heading in ["## `tls_server_config`", "## `http_server_config`"] {
        for cells in rows_below(&page, heading).iter().filter(|cells| !cells[1].starts_with("is ")) {
            for key in spans(&cells[0]) {
                assert!(known.contains(key), "{key} is no key");
            }
        }
    }
}

//! `docs/configuration.md` names every key of the code and no other, with the defaults and bounds of the code.
//!
//! No list of the keys stands here: the program is asked for them, by a key that it does not know, and tells which it does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;
use registry_integrity_probe::config::Config;

use super::pages::{read, rows_below, spans};

/// Resembles no key, so that the fault names all that are known.
const UNKNOWN: &str = "qqqqqqqqqqqq";

/// What stands in the column of defaults and is no value, with what the key must say when nothing is said.
const WORDS: [(&str, Unset); 7] = [
    ("required", Unset::IsAFault),
    ("the URL's host and port, as written", Unset::IsFine),
    ("`global`'s", Unset::IsFine),
    ("none", Unset::IsFine),
    ("the system's CA certificates", Unset::IsFine),
    ("the URL's host", Unset::IsFine),
    ("from the environment (`HTTPS_PROXY`, ...)", Unset::IsFine),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unset {
    IsAFault,
    IsFine,
}

/// A row of the page: a key's path, its default, its bounds if they have columns of their own, and the rest.
#[derive(Debug)]
struct Row {
    path: String,
    default: String,
    bounds: Option<(String, String)>,
    meaning: String,
}

/// A file in which one key has this value; what else must be there is there.
fn file_with(path: &str, value: &str) -> String {
    let (place, key) = path.split_once('.').unwrap();
    let nested = |key: &str| {
        let names: Vec<&str> = key.split('.').collect();
        format!("{}: {value}{}", names.join(": {"), "}".repeat(names.len() - 1))
    };
    match place {
        "global" => format!("global: {{{}}}\nregistries: [{{url: 'https://r.example'}}]\n", nested(key)),
        "registries" if key == "url" => format!("registries: [{{url: {value}}}]\n"),
        "registries" => format!("registries: [{{url: 'https://r.example', {}}}]\n", nested(key)),
        _ => panic!("{path}"),
    }
}

fn parse(text: &str) -> Result<String, String> {
    Config::parse(text, Path::new("probe.yaml")).map(|config| format!("{config:?}")).map_err(|error| error.to_string())
}

/// The keys that are known at a place of the file, as its own fault tells them; empty if it is no mapping.
fn keys_at(place: &str) -> BTreeSet<String> {
    let said = match place {
        "" => parse(&format!("{UNKNOWN}: 1\nregistries: [{{url: 'https://r.example'}}]\n")),
        "registries" => parse(&format!("registries: [{{url: 'https://r.example', {UNKNOWN}: 1}}]\n")),
        "global" => parse(&format!("global: {{{UNKNOWN}: 1}}\nregistries: [{{url: 'https://r.example'}}]\n")),
        _ => parse(&file_with(place, &format!("{{{UNKNOWN}: 1}}"))),
    };
    let list = Regex::new(r"unknown key[^(\n]*\(expected one of ([a-z_, ]+)\)").unwrap();
    let said = said.err().unwrap_or_default();
    let known = list.captures(&said).map(|found| found[1].to_string()).unwrap_or_default();
    known.split(", ").filter(|key| !key.is_empty()).map(str::to_string).collect()
}

/// Every key of the code that has a value of its own.
fn keys_of_the_code() -> BTreeSet<String> {
    let (mut leaves, mut open) = (BTreeSet::new(), Vec::from_iter(keys_at("")));
    assert_eq!(open, ["global", "registries"]);
    while let Some(place) = open.pop() {
        let inside = keys_at(&place);
        if inside.is_empty() {
            leaves.insert(place);
        } else {
            open.extend(inside.into_iter().map(|key| format!("{place}.{key}")));
        }
    }
    assert!(leaves.len() > 40, "{leaves:?}");
    leaves
}

/// The paths that a cell names: `` `tls_config.cert_file`, `.key_file` `` are two.
fn paths(place: &str, cell: &str) -> Vec<String> {
    let names: Vec<&str> = spans(cell).collect();
    let section = names[0].rsplit_once('.').map(|(section, _)| section);
    let whole = |name: &&str| match (name.strip_prefix('.'), section) {
        (Some(last), Some(section)) => format!("{place}.{section}.{last}"),
        _ => format!("{place}.{name}"),
    };
    names.iter().map(whole).collect()
}

fn rows_of_the_page() -> Vec<Row> {
    let page = read("docs/configuration.md");
    let mut found = Vec::new();
    for (heading, places) in [
        ("## `global`", &["global"][..]),
        ("## An entry of `registries`", &["registries"]),
        ("### Limits", &["global.limits", "registries.limits"]),
        ("### Credentials", &["registries"]),
        ("### TLS and proxy", &["registries"]),
    ] {
        for cells in rows_below(&page, heading) {
            let bounds = (cells.len() == 4)
                .then(|| cells[2].split_once(", "))
                .flatten()
                .map(|(from, to)| (plain(from), plain(to)));
            for path in places.iter().flat_map(|place| paths(place, &cells[0])) {
                // The keys of `limits` have their own table.
                if !path.ends_with(".limits") {
                    let (default, meaning) = (cells[1].clone(), cells.last().unwrap().clone());
                    found.push(Row { path, default, bounds: bounds.clone(), meaning });
                }
            }
        }
    }
    found
}

/// A number or size as a file writes it.
fn plain(cell: &str) -> String {
    cell.trim_matches('`').replace(',', "")
}

#[test]
fn the_page_names_every_key_once_and_no_other() {
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows_of_the_page() {
        *named.entry(row.path).or_default() += 1;
    }
    assert!(named.values().all(|&times| times == 1), "{named:#?}");
    let (named, known): (BTreeSet<String>, _) = (named.into_keys().collect(), keys_of_the_code());
    assert_eq!(known.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "keys without a row");
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "rows without a key");
}

#[test]
fn the_defaults_are_those_of_the_code() {
    let bare = parse("registries: [{url: 'https://r.example'}]\n").unwrap();
    let mut seen = BTreeSet::new();
    for Row { path, default, .. } in rows_of_the_page() {
        if let Some((word, unset)) = WORDS.iter().find(|(word, _)| *word == default) {
            seen.insert(*word);
            let is_fault = parse(&file_with(&path, "")).is_err();
            // Half of a pair is none: a name without a password.
            let is_half = path.contains("basic_auth") || path.contains("authorization");
            assert!(is_half || is_fault == (*unset == Unset::IsAFault), "{path}: {default}");
            continue;
        }
        let value = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        let value = value.unwrap_or_else(|| panic!("{path}: neither a value nor one of the words: {default}"));
        if path == "registries.authorization.type" {
            let with = |kind: &str| parse(&file_with("registries.authorization", &format!("{{{kind}credentials: x}}")));
            assert_eq!(with("").unwrap(), with(&format!("type: {value}, ")).unwrap());
            continue;
        }
        let said = parse(&file_with(&path, value)).unwrap_or_else(|error| panic!("{path}: {default}: {error}"));
        assert_eq!(said, bare, "{path} is something else than {default} unless it is set");
    }
    assert_eq!(seen.len(), WORDS.len(), "a word that the page does not use any more");
}

#[test]
fn the_bounds_are_those_of_the_code() {
    let in_words = Regex::new(r"(?:,|most) ([\d.,]+) to ([\d.,]*\d)").unwrap();
    let mut checked = 0;
    for Row { path, bounds, meaning, .. } in rows_of_the_page() {
        let is_accepted = |value: &str| parse(&file_with(&path, value)).is_ok();
        let in_words = in_words.captures(&meaning).map(|found| (plain(&found[1]), plain(&found[2])));
        if let Some((from, to)) = bounds.or(in_words) {
            checked += 1;
            for bound in [&from, &to] {
                assert!(is_accepted(bound), "{path}: {bound}");
            }
            // 0 means no limit at all to a rate.
            for beyond in [step(&from, -1).filter(|below| below != "0" || from == "1"), step(&to, 1)] {
                assert!(beyond.as_deref().is_none_or(|beyond| !is_accepted(beyond)), "{path}: {beyond:?} is accepted");
            }
        }
        if meaning.contains("more than 0") {
            checked += 1;
            assert!(!is_accepted("0s") && is_accepted("1ms"), "{path}");
        }
        if path == "registries.name" {
            checked += 1;
            assert!(meaning.contains("1 to 255 characters"));
            assert!(is_accepted(&"x".repeat(255)) && !is_accepted(&"x".repeat(256)) && !is_accepted("''"));
        }
    }
    assert!(checked > 2 * 10 + 3 + 2, "{checked}");
}

/// The next value that is none: a size in bytes, a whole number, or what follows a fraction's last digit.
fn step(value: &str, by: i64) -> Option<String> {
    let units = [("KiB", 1_i64 << 10), ("MiB", 1 << 20)];
    if let Some((number, factor)) = units.iter().find_map(|(unit, factor)| Some((value.strip_suffix(unit)?, factor))) {
        return Some((number.parse::<i64>().unwrap() * factor + by).to_string());
    }
    if let Some((_, fraction)) = value.split_once('.') {
        let step = 10_f64.powi(-(i32::try_from(fraction.len()).unwrap() + 1));
        return Some(format!("{:.9}", value.parse::<f64>().unwrap() + step * f64::from(i32::try_from(by).unwrap())));
    }
    let number = value.parse::<i64>().unwrap() + by;
    Some(number.to_string())
}

//! From a file's text, or from URLs alone, to a configuration.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;

use super::fault::{ConfigError, Fault, Position};
use super::registry_url::RegistryUrl;
use super::section::{Section, read_mapping, shorten};
use super::target::Global;
use super::yaml::{self, Node};
use super::{Config, Target};

/// Bytes of a configuration at most.
const SIZE_LIMIT: usize = 4 * 1024 * 1024;

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreadable`] if it cannot be read, [`ConfigError::Faults`] with everything that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes =
            read_bounded(path).map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
        parse_bytes(&bytes, path)
    }

    /// Reads a configuration's text; `path` is the file that faults name, and whose folder relative paths start from.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Faults`] with everything that is wrong in it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        parse_bytes(text.as_bytes(), path)
    }

    /// Registries of which only the URLs are known, each with every default and named by its host and port. Without a
    /// scheme, a URL of this machine (`localhost`, `127.0.0.1`, `[::1]`) is taken as `http`, as docker does, and any other
    /// as `https`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Urls`] with every URL that is none, or that names the same host and port as one before it.
    pub fn from_urls(urls: &[String]) -> Result<Self, ConfigError> {
        let mut registries: Vec<Target> = Vec::new();
        let mut faults = Vec::new();
        for text in urls {
            match RegistryUrl::parse_with_default_scheme(text) {
                Err(error) => faults.push(error.to_string()),
                Ok(RegistryUrl { authority, .. }) if registries.iter().any(|known| known.name == authority) => {
                    faults.push(format!("the registry {authority} is given twice (expected each once)"));
                }
                Ok(RegistryUrl { url, authority }) => {
                    registries.push(Target { name: authority, ..Target::with_defaults(url) });
                }
            }
        }
        if faults.is_empty() { Ok(Self { registries }) } else { Err(ConfigError::Urls(faults)) }
    }
}

/// Reads a file, one byte beyond the limit at most.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(SIZE_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse_bytes(bytes: &[u8], path: &Path) -> Result<Config, ConfigError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = |root: &Node, faults: &mut Vec<Fault>| {
        read_mapping(root, "the file", faults, |section| read_file(section, folder))
    };
    match read_document(bytes, path, read)? {
        Some(registries) => Ok(Config { registries }),
        None => {
            let fault = Position::START.fault("the file is empty (expected `registries`)");
            Err(ConfigError::Faults { path: path.to_path_buf(), faults: vec![fault] })
        }
    }
}

/// Reads a file's one document by its root; `None` if it is empty.
///
/// # Errors
///
/// [`ConfigError::Faults`] with everything that is wrong in it, in the file's order.
pub(crate) fn read_document<T>(
    bytes: &[u8],
    path: &Path,
    read: impl FnOnce(&Node, &mut Vec<Fault>) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let mut faults = Vec::new();
    let root = read_root(bytes, &mut faults).filter(|root| !root.is_null());
    let document = root.and_then(|root| read(&root, &mut faults));
    faults.sort();
    // What an alias repeats is read, and found faulty, more than once.
    faults.dedup();
    for warning in faults.extract_if(.., |fault| fault.is_warning) {
        tracing::warn!("{}:{warning}", path.display());
    }
    if faults.is_empty() {
        return Ok(document);
    }
    Err(ConfigError::Faults { path: path.to_path_buf(), faults })
}

fn read_root(bytes: &[u8], faults: &mut Vec<Fault>) -> Option<Rc<Node>> {
    if bytes.len() > SIZE_LIMIT {
        faults.push(Position::START.fault(format!("the file is larger than {SIZE_LIMIT} bytes")));
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => yaml::parse(text, faults),
        Err(error) => {
            faults.push(end_of(&bytes[..error.valid_up_to()]).fault("this is not UTF-8 (expected UTF-8 text)"));
            None
        }
    }
}

fn read_file(section: &mut Section<'_, '_>, folder: &Path) -> Vec<Target> {
    let global = section.section("global", Global::read).unwrap_or_default();
    let entries = section.items("registries");
    if !section.has("registries") || entries.is_some_and(<[_]>::is_empty) {
        section.fault_at("registries", "there is none (expected a list with at least one registry)");
    }
    let mut lines: HashMap<String, usize> = HashMap::new();
    let mut registries = Vec::new();
    for entry in entries.unwrap_or_default() {
        let read = |section: &mut Section<'_, '_>| Target::read(section, &global, folder);
        let Some((target, named_at)) = read_mapping(entry, "a registry", section.faults, read) else { continue };
        if let Some(named_at) = named_at {
            match lines.entry(target.name.clone()) {
                Entry::Vacant(free) => drop(free.insert(named_at.line)),
                Entry::Occupied(first) => section.faults.push(named_at.fault(format!(
                    "the name \"{}\" belongs to the registry in line {} (expected another `name`)",
                    shorten(&target.name),
                    first.get()
                ))),
            }
        }
        registries.push(target);
    }
    registries
}

/// The place behind some text.
fn end_of(text: &[u8]) -> Position {
    let last_line = text.rsplit(|&b| b == b'\n').next().unwrap_or_default();
    Position {
        line: 1 + text.iter().filter(|&&b| b == b'\n').count(),
        column: 1 + String::from_utf8_lossy(last_line).chars().count(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("probe.yaml"))
    }

    #[test]
    fn every_url_that_is_none_is_named_and_no_password() {
        let urls = ["ftp://r.example", "https://probe:hunter2@r.example", "r.example", "https://r.example"];
        let error = Config::from_urls(&urls.map(str::to_string)).unwrap_err().to_string();
        let expected = "(expected one such as https://registry.example.com:5050)";
        assert_eq!(
            error.lines().collect::<Vec<_>>(),
            [
                format!(
                    "\"ftp://r.example\" cannot be a registry's URL: its scheme is neither https nor http {expected}"
                ),
                format!(
                    "this cannot be a registry's URL: it holds credentials, which belong to basic_auth or authorization {expected}"
                ),
                "the registry r.example is given twice (expected each once)".to_string(),
            ]
        );
    }

    /// Whatever character is lost, or wherever the file ends, no message shows a secret that stands in a credentials node.
    #[test]
    fn no_slip_of_the_hand_shows_a_secret() {
        let block = "registries:\n  - url: https://r.example\n    basic_auth:\n      username: probe\n      password: s3cr3t\n    interval: 0s\n";
        let flow = "registries:\n  - {url: https://r.example, interval: 0s, basic_auth: {username: probe, password: \"s3cr3t\"}}\n";
        let token = "registries:\n  - interval: 0s\n    url: https://r.example\n    authorization: {type: Bearer, credentials: s3cr3t}\n";
        let proxy = "registries:\n  - interval: 0s\n    url: https://r.example\n    proxy_url: http://probe:s3cr3t@proxy:3128\n";
        for text in [block, flow, token, proxy] {
            for at in 0..text.len() {
                for slip in [text[..at].to_string(), format!("{}{}", &text[..at], &text[at + 1..])] {
                    let shown = match parse(&slip) {
                        Ok(config) => format!("{config:?}"),
                        Err(error) => format!("{error} {error:?}"),
                    };
                    assert!(!shown.contains("cr3t"), "{slip}\n{shown}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z{}\\[\\]:,\\-?*&!|>'\"%@#~<\\\\ \n\t0-9.\u{e4}\u{feff}]{0,120}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_value_makes_it_panic(key in 0_usize..22, value in "[^\n]{0,40}") {
            let keys = [
                "name", "url", "mode", "interval", "concurrency", "rate_limit", "spread", "evidence", "confirm", "repositories",
                "tags", "platforms", "images", "basic_auth", "authorization", "docker_config", "tls_config", "proxy_url",
                "evidence: {byte", "evidence: {content_budget", "repositories: {include", "basic_auth: {password",
            ];
            let close = if keys[key].contains('{') { "}" } else { "" };
            let _ = parse(&format!("registries:\n  - {}: {value}{close}\n    url: https://r.example\n", keys[key]));
        }
    }
}

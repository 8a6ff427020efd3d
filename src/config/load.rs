//! Reads a configuration from a file or from URLs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read as _;
use std::path::Path;
use std::rc::Rc;

use super::fault::{ConfigError, Fault, Position};
use super::registry_url::RegistryUrl;
use super::section::{Section, read_mapping};
use super::settings::{Config, Target};
use super::target::Global;
use super::text::shorten;
use super::yaml::{self, Node};

/// Maximum size of a configuration in bytes.
const SIZE_LIMIT: usize = 4 * 1024 * 1024;

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreadable`] if it cannot be read, [`ConfigError::Faults`] with all of its faults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes =
            read_bounded(path).map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
        parse_bytes(&bytes, path)
    }

    /// Reads a configuration's text. `path` appears in faults, and relative paths start from its directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Faults`] with all of its faults.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        parse_bytes(text.as_bytes(), path)
    }

    /// Builds a configuration from URLs: each registry has the default settings, and is named after its host and port.
    /// Without a scheme, local hosts (`localhost`, `127.0.0.1`, `[::1]`) use `http`, as in docker, and others `https`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Urls`] with every URL that is invalid, or whose host and port are repeated.
    pub fn from_urls(urls: &[String]) -> Result<Self, ConfigError> {
        let mut registries: Vec<Target> = Vec::new();
        let mut faults = Vec::new();
        for text in urls {
            match RegistryUrl::parse_with_default_scheme(text) {
                Err(error) => faults.push(error.to_string()),
                Ok(RegistryUrl { authority, .. }) if registries.iter().any(|known| known.name == authority) => {
                    faults.push(format!("the registry {authority} is given twice"));
                }
                Ok(RegistryUrl { url, authority }) => {
                    registries.push(Target { name: authority, ..Target::with_defaults(url) });
                }
            }
        }
        if faults.is_empty() { Ok(Self { registries }) } else { Err(ConfigError::Urls(faults)) }
    }
}

/// Reads a file, up to one byte beyond the limit.
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

/// Reads the document of a file; `None` if it is empty.
///
/// # Errors
///
/// [`ConfigError::Faults`] with all of its faults, in file order.
pub(crate) fn read_document<T>(
    bytes: &[u8],
    path: &Path,
    read: impl FnOnce(&Node, &mut Vec<Fault>) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let mut faults = Vec::new();
    let root = read_root(bytes, &mut faults).filter(|root| !root.is_null());
    let document = root.and_then(|root| read(&root, &mut faults));
    faults.sort();
    // A node with aliases is read, and its faults are found, more than once.
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
            faults.push(end_of(&bytes[..error.valid_up_to()]).fault("the file is not UTF-8"));
            None
        }
    }
}

fn read_file(section: &mut Section<'_, '_>, folder: &Path) -> Vec<Target> {
    let global = section.section("global", Global::read).unwrap_or_default();
    let entries = section.items("registries");
    if !section.has("registries") || entries.is_some_and(<[_]>::is_empty) {
        section.fault_at("registries", "expected a list with at least one registry");
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
                    "the name \"{}\" is already used by the registry in line {}; set a different `name`",
                    shorten(&target.name),
                    first.get()
                ))),
            }
        }
        registries.push(target);
    }
    registries
}

/// The position after a text.
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
    fn invalid_urls_are_reported_without_passwords() {
        let urls = ["ftp://r.example", "https://probe:hunter2@r.example", "r.example", "https://r.example"];
        let error = Config::from_urls(&urls.map(str::to_string)).unwrap_err().to_string();
        let expected = "(example: https://registry.example.com:5050)";
        assert_eq!(
            error.lines().collect::<Vec<_>>(),
            [
                format!(
                    "\"ftp://r.example\" is not a valid registry URL: its scheme is neither https nor http {expected}"
                ),
                format!(
                    "the value is not a valid registry URL: it contains credentials; use basic_auth or authorization {expected}"
                ),
                "the registry r.example is given twice".to_string(),
            ]
        );
    }

    /// A missing character or a truncated file must not make a message quote a secret.
    #[test]
    fn typing_errors_never_reveal_a_secret() {
        let block = "registries:\n  - url: https://r.example\n    basic_auth:\n      username: probe\n      password: s3cr3t\n    interval: 0s\n";
        let flow = "registries:\n  - {url: https://r.example, interval: 0s, basic_auth: {username: probe, password: \"s3cr3t\"}}\n";
        let token = "registries:\n  - interval: 0s\n    url: https://r.example\n    authorization: {type: Bearer, credentials: s3cr3t}\n";
        let proxy = "registries:\n  - interval: 0s\n    url: https://r.example\n    proxy_url: http://probe:s3cr3t@proxy:3128\n";
        for text in [block, flow, token, proxy] {
            for at in 0..text.len() {
                for typo in [text[..at].to_string(), format!("{}{}", &text[..at], &text[at + 1..])] {
                    let shown = match parse(&typo) {
                        Ok(config) => format!("{config:?}"),
                        Err(error) => format!("{error} {error:?}"),
                    };
                    assert!(!shown.contains("cr3t"), "{typo}\n{shown}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn random_text_causes_no_panic(text in "[a-z{}\\[\\]:,\\-?*&!|>'\"%@#~<\\\\ \n\t0-9.\u{e4}\u{feff}]{0,120}") {
            let _ = parse(&text);
        }

        #[test]
        fn random_values_cause_no_panic(key in 0_usize..22, value in "[^\n]{0,40}") {
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

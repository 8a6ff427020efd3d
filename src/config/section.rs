//! Reads a mapping key by key, and collects its faults. The keys that were read are the known ones, so that no separate
//! list of them can become outdated.

use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;

use super::fault::{Fault, Position};
use super::text::{most_similar, shorten};
use super::yaml::{Node, Value};

/// Keys that are often misplaced, and where they belong.
pub(crate) type Elsewhere = &'static [(&'static str, &'static str)];

/// Often misplaced keys of the probe's configuration.
const ELSEWHERE: [(&str, &str); 20] = [
    ("registries", "the top level"),
    ("url", "an entry of `registries`"),
    ("request_timeout", "`global`"),
    ("sweep_timeout", "`global`"),
    ("content", "`evidence`"),
    ("content_budget", "`evidence`"),
    ("attempts", "`confirm`"),
    ("manifest_bytes", "`limits`"),
    ("unranged_bytes", "`limits`"),
    ("redirects", "`limits`"),
    ("retries", "`limits`"),
    ("username", "`basic_auth`"),
    ("password", "`basic_auth`"),
    ("password_file", "`basic_auth`"),
    ("credentials_file", "`authorization`"),
    ("bearer_token_file", "`authorization`, as `credentials_file`"),
    ("ca_file", "`tls_config`"),
    ("cert_file", "`tls_config`"),
    ("key_file", "`tls_config`"),
    ("insecure_skip_verify", "`tls_config`"),
];

/// A mapping that is being read.
pub(crate) struct Section<'n, 'f> {
    pub faults: &'f mut Vec<Fault>,
    /// Start of the mapping.
    pub position: Position,
    entries: &'n [(Rc<Node>, Rc<Node>)],
    known: Vec<&'static str>,
    confidential: bool,
    elsewhere: Elsewhere,
}

/// Reads a mapping; keys that `read` does not use and duplicate keys are faults. `None` if it is not a mapping.
pub(crate) fn read_mapping<T>(
    node: &Node,
    what: &str,
    faults: &mut Vec<Fault>,
    read: impl FnOnce(&mut Section<'_, '_>) -> T,
) -> Option<T> {
    read_mapping_among(&ELSEWHERE, node, what, faults, read)
}

/// Like [`read_mapping`], for a file with other keys.
pub(crate) fn read_mapping_among<T>(
    elsewhere: Elsewhere,
    node: &Node,
    what: &str,
    faults: &mut Vec<Fault>,
    read: impl FnOnce(&mut Section<'_, '_>) -> T,
) -> Option<T> {
    let Value::Mapping(entries) = &*node.value else {
        faults.push(node.position.fault(format!("{what}: expected a mapping, found {}", node.kind())));
        return None;
    };
    let mut section =
        Section { faults, position: node.position, entries, known: Vec::new(), confidential: false, elsewhere };
    let value = read(&mut section);
    section.check_keys();
    Some(value)
}

impl<'n> Section<'n, '_> {
    /// From now on, unknown keys are quoted only if similar to a known one: they may be misplaced secrets.
    pub fn keep_confidential(&mut self) {
        self.confidential = true;
    }

    /// A key's value; `None` if it is absent or null.
    fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|(_, value)| value)
    }

    fn entry(&mut self, key: &'static str) -> Option<(Position, &'n Node)> {
        self.known.push(key);
        let (written, value) = self.entries.iter().find(|(written, _)| written.text() == Some(key))?;
        (!value.is_null()).then_some((written.position, &**value))
    }

    /// True if a key has a value.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// True if a key has a value other than the empty string.
    pub fn has_content(&mut self, key: &'static str) -> bool {
        self.node(key).is_some_and(|node| node.text() != Some(""))
    }

    /// Position of a key's value, or of the mapping if it is absent.
    pub fn position_of(&mut self, key: &'static str) -> Position {
        self.node(key).map_or(self.position, |node| node.position)
    }

    /// A key's value as text.
    pub fn text(&mut self, key: &'static str) -> Option<&'n str> {
        let node = self.node(key)?;
        let text = node.text();
        if text.is_none() {
            self.faults.push(node.position.fault(format!("`{key}`: expected a single value, found {}", node.kind())));
        }
        text
    }

    /// A key's value as read by `parse`, whose error may quote the text.
    pub fn scalar<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'n str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text(key)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault_at(key, error);
                None
            }
        }
    }

    /// Sets `field` to a key's value; without a value, it stays unchanged.
    pub fn set<T, E: Display>(
        &mut self,
        field: &mut T,
        key: &'static str,
        parse: impl FnOnce(&'n str) -> Result<T, E>,
    ) {
        if let Some(value) = self.scalar(key, parse) {
            *field = value;
        }
    }

    /// A key's list, without items that `parse` rejects; empty if absent.
    pub fn list<T, E: Display>(&mut self, key: &'static str, parse: impl Fn(&'n str) -> Result<T, E>) -> Vec<T> {
        self.list_with_warnings(key, |text| parse(text).map(|value| (value, None)))
    }

    /// Like [`Self::list`]; `parse` can also return a warning for an item.
    pub fn list_with_warnings<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&'n str) -> Result<(T, Option<String>), E>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for item in self.items(key).unwrap_or_default() {
            let parsed = match item.text() {
                Some(text) if !item.is_null() => parse(text).map_err(|error| error.to_string()),
                _ => Err(format!("expected a single value in the list, found {}", item.kind())),
            };
            match parsed {
                Ok((value, warning)) => {
                    values.push(value);
                    self.faults.extend(warning.map(|odd| item.position.warning(format!("`{key}`: {odd}"))));
                }
                Err(error) => self.faults.push(item.position.fault(format!("`{key}`: {error}"))),
            }
        }
        values
    }

    /// The items of a key's list; `None` if absent or not a list.
    pub fn items(&mut self, key: &'static str) -> Option<&'n [Rc<Node>]> {
        let node = self.node(key)?;
        if let Value::List(items) = &*node.value {
            return Some(items);
        }
        self.faults.push(node.position.fault(format!("`{key}`: expected a list, found {}", node.kind())));
        None
    }

    /// Reads a key's mapping; `None` if absent or not a mapping.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, '_>) -> T) -> Option<T> {
        let node = self.node(key)?;
        read_mapping_among(self.elsewhere, node, &format!("`{key}`"), self.faults, read)
    }

    /// The entries of a mapping with arbitrary keys, without those that `parse` rejects. Its errors must not quote
    /// secrets.
    pub fn entries<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str, &str) -> Result<T, E>,
    ) -> Vec<(String, T)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Mapping(entries) = &*node.value else {
            self.faults.push(node.position.fault(format!("`{key}`: expected a mapping, found {}", node.kind())));
            return Vec::new();
        };
        let mut lines: HashMap<&str, usize> = HashMap::new();
        let mut values = Vec::new();
        for (name, value) in entries {
            let parsed = match (name.text(), value.text().filter(|_| !value.is_null())) {
                (None, _) => Err((name.position, format!("expected a key, found {}", name.kind()))),
                (Some(_), None) => Err((value.position, format!("expected a single value, found {}", value.kind()))),
                (Some(name_text), Some(text)) => match lines.insert(name_text, name.position.line) {
                    Some(line) => Err((name.position, format!("duplicate key (first in line {line})"))),
                    None => parse(name_text, text)
                        .map(|parsed| (name_text.to_string(), parsed))
                        .map_err(|error| (value.position, error.to_string())),
                },
            };
            match parsed {
                Ok(entry) => values.push(entry),
                Err((at, message)) => self.faults.push(at.fault(format!("`{key}`: {message}"))),
            }
        }
        values
    }

    /// Adds a fault at a key's value, or at the mapping if it is absent.
    pub fn fault_at(&mut self, key: &'static str, message: impl Display) {
        let position = self.position_of(key);
        self.faults.push(position.fault(format!("`{key}`: {message}")));
    }

    /// Adds a fault at every key of a mutually exclusive set except the first.
    pub fn exclude(&mut self, keys: &[&'static str]) {
        let mut set: Vec<_> = keys.iter().filter_map(|key| Some((self.entry(key)?.0, *key))).collect();
        set.sort_unstable();
        if let [(first_at, first), others @ ..] = set.as_slice() {
            for (at, other) in others {
                let line = first_at.line;
                let message = format!("`{other}` cannot be combined with `{first}` (line {line})");
                self.faults.push(at.fault(message));
            }
        }
    }

    fn check_keys(&mut self) {
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (key, _) in self.entries {
            let message = match key.text() {
                None => Some(format!("expected a key, found {}", key.kind())),
                Some(text) if !self.known.contains(&text) => Some(self.describe_unknown(text)),
                Some(text) => lines
                    .insert(text, key.position.line)
                    .map(|line| format!("duplicate key `{text}` (first in line {line})")),
            };
            self.faults.extend(message.map(|message| key.position.fault(message)));
        }
    }

    fn describe_unknown(&self, key: &str) -> String {
        let mut known = self.known.clone();
        known.sort_unstable();
        known.dedup();
        let similar = most_similar(key, &known);
        let elsewhere = self.elsewhere.iter().find(|(misplaced, _)| *misplaced == key);
        let shown = if self.confidential && similar.is_none() && elsewhere.is_none() {
            "unknown key, hidden because it may be a secret".to_string()
        } else {
            format!("unknown key `{}`", shorten(key))
        };
        match (similar, elsewhere) {
            (_, Some((_, place))) => format!("{shown} here (it belongs to {place})"),
            (Some(similar), None) => format!("{shown} (did you mean `{similar}`?)"),
            (None, None) => format!("{shown} (expected one of {})", known.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn faults(text: &str) -> String {
        Config::parse(text, Path::new("probe.yaml")).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn misplaced_keys_name_where_they_belong() {
        for (key, place) in ELSEWHERE {
            let hint = format!("unknown key `{key}` here (it belongs to {place})");
            let wrong = faults(&format!("registries:\n  - url: https://r.example\n    repositories: {{{key}: x}}\n"));
            assert!(wrong.contains(&hint), "{wrong}");

            let right = match place.split('`').nth(1) {
                None => format!("{key}: x\n"),
                Some("registries") => format!("registries: [{{{key}: x}}]\n"),
                Some("global") => format!("global: {{{key}: x}}\n"),
                Some(section) => {
                    let key = place.split('`').nth(3).unwrap_or(key);
                    format!("registries: [{{{section}: {{{key}: x}}}}]\n")
                }
            };
            let right = faults(&right);
            assert!(!right.contains("unknown key"), "{right}");
        }
    }
}

//! The keys of the file, as in exporter-toolkit's `docs/web-configuration.md`.

use std::num::ParseIntError;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::files::Files;
use super::tls::read_tls;
use super::{RateLimit, WebConfig};
use crate::config::units::{DurationError, parse_duration};
use crate::config::{ConfigError, Elsewhere, Section, boolean, read_document, read_mapping_among};

/// Keys that are often put into the wrong mapping, with the right one.
const ELSEWHERE: Elsewhere = &[
    ("cert_file", "`tls_server_config`"),
    ("key_file", "`tls_server_config`"),
    ("client_ca_file", "`tls_server_config`"),
    ("client_auth_type", "`tls_server_config`"),
    ("min_version", "`tls_server_config`"),
    ("tls_config", "the probe's own configuration; here it is `tls_server_config`"),
    ("basic_auth", "the probe's own configuration; here it is `basic_auth_users`"),
    ("http2", "`http_server_config`"),
    ("headers", "`http_server_config`"),
    ("interval", "`rate_limit`"),
    ("burst", "`rate_limit`"),
];

/// The headers that can be set, with their allowed values if there are few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// With a higher bcrypt cost, each wrong password would take minutes.
const HIGHEST_COST: u32 = 18;

/// Reads the file and the files that it names, and records them in `files` even if the configuration is invalid.
///
/// # Errors
///
/// [`ConfigError`] with all errors in them.
pub fn read(path: &Path, files: &mut Files) -> Result<WebConfig, ConfigError> {
    let bytes = files.read(path).map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = read_document(&bytes, path, |root, faults| {
        read_mapping_among(ELSEWHERE, root, "the file", faults, |section| read_file(section, folder, files))
    });
    // An empty file is valid.
    read.map(Option::unwrap_or_default)
}

fn read_file(section: &mut Section<'_, '_>, folder: &Path, files: &mut Files) -> WebConfig {
    let http = section.section("http_server_config", read_http).unwrap_or_default();
    let tls = section.section("tls_server_config", |section| read_tls(section, folder, http.http2, files)).flatten();
    WebConfig {
        tls: tls.map(Arc::new),
        headers: http.headers,
        users: section.entries("basic_auth_users", user).into_iter().collect(),
        rate_limit: section.section("rate_limit", read_rate_limit).flatten(),
    }
}

struct Http {
    http2: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Default for Http {
    fn default() -> Self {
        Self { http2: true, headers: Vec::new() }
    }
}

fn read_http(section: &mut Section<'_, '_>) -> Http {
    let mut http = Http::default();
    section.set(&mut http.http2, "http2", boolean);
    http.headers = section.section("headers", read_headers).unwrap_or_default();
    http
}

fn read_headers(section: &mut Section<'_, '_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, values) in HEADERS {
        let value = section.scalar(name, |text| match HeaderValue::from_str(text) {
            _ if text.is_empty() => Ok(None),
            _ if !values.is_empty() && !values.contains(&text) => Err(format!("expected {}", values.join(" or "))),
            Ok(value) => Ok(Some(value)),
            Err(_) => Err("contains characters that are not allowed in a header, such as a line break".to_string()),
        });
        if let (Some(value), Ok(name)) = (value.flatten(), HeaderName::from_str(name)) {
            headers.push((name, value));
        }
    }
    headers
}

/// Error messages never quote the hash, because it may be the password itself.
fn user(name: &str, hash: &str) -> Result<SecretString, String> {
    if name.contains(':') {
        return Err("a user name cannot contain a colon, which ends it in basic authentication".to_string());
    }
    match bcrypt::HashParts::from_str(hash) {
        Ok(parts) if parts.get_cost() > HIGHEST_COST => Err(format!(
            "the cost of this hash is {}, so one check takes minutes (expected at most {HIGHEST_COST})",
            parts.get_cost()
        )),
        Ok(parts) if parts.get_cost() < 4 => Err("the cost of this hash is below bcrypt's minimum of 4".to_string()),
        Ok(_) => Ok(hash.into()),
        Err(_) => Err("not a bcrypt hash (expected the output of `htpasswd -nBC 10 \"\" | tr -d ':\\n'`)".to_string()),
    }
}

fn read_rate_limit(section: &mut Section<'_, '_>) -> Option<RateLimit> {
    let interval = section.scalar("interval", |text| -> Result<Duration, DurationError> { parse_duration(text) });
    let burst = section.scalar("burst", |text| {
        text.parse().map_err(|_: ParseIntError| "expected a whole number from 0 to 4294967295")
    });
    match (interval?, burst.unwrap_or(0)) {
        (Duration::ZERO, _) => None,
        (_, 0) => {
            section.fault_at("burst", "with a burst of 0, every request is rejected (expected at least 1)");
            None
        }
        (interval, burst) => Some(RateLimit::new(interval, burst)),
    }
}

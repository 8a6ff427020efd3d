//! Prometheus's HTTP client settings: credentials, TLS and proxy. Credentials are never quoted.

use std::path::{Path, PathBuf};

use rustls_pki_types::ServerName;
use url::Url;

use super::section::Section;
use super::settings::{Credentials, ProxyUrl, Secret, Tls};

/// Reads `basic_auth`, `authorization` and `docker_config`; the first that is set is used.
pub(super) fn read_credentials(section: &mut Section<'_, '_>, folder: &Path) -> Credentials {
    let basic = section.section("basic_auth", |section| read_basic_auth(section, folder)).flatten();
    let authorization = section.section("authorization", |section| read_authorization(section, folder)).flatten();
    let docker_config = section.scalar("docker_config", |text| file(text, folder)).map(Credentials::DockerConfig);
    if [&basic, &authorization, &docker_config].into_iter().flatten().count() > 1 {
        tracing::warn!(
            "a registry has several credentials; using the first of basic_auth, authorization and docker_config"
        );
    }
    basic.or(authorization).or(docker_config).unwrap_or(Credentials::None)
}

fn read_basic_auth(section: &mut Section<'_, '_>, folder: &Path) -> Option<Credentials> {
    section.keep_confidential();
    let username = read_secret(section, "username", "username_file", folder, username);
    let password = read_secret(section, "password", "password_file", folder, printable);
    Some(Credentials::Basic { username: username?, password: password? })
}

fn read_authorization(section: &mut Section<'_, '_>, folder: &Path) -> Option<Credentials> {
    section.keep_confidential();
    let scheme = section.scalar("type", scheme);
    let credentials = read_secret(section, "credentials", "credentials_file", folder, printable)?;
    Some(Credentials::Authorization { scheme: scheme.unwrap_or_else(|| "Bearer".to_string()), credentials })
}

fn read_secret(
    section: &mut Section<'_, '_>,
    inline_key: &'static str,
    file_key: &'static str,
    folder: &Path,
    check: fn(&str) -> Result<&str, &'static str>,
) -> Option<Secret> {
    section.exclude(&[inline_key, file_key]);
    let inline = section.scalar(inline_key, check).map(|text| Secret::Inline(text.into()));
    let file = section.scalar(file_key, |text| file(text, folder)).map(Secret::File);
    if !section.has(inline_key) && !section.has(file_key) {
        section.fault_at(inline_key, format!("missing (expected `{inline_key}` or `{file_key}`)"));
    }
    inline.or(file)
}

/// RFC 7617, section 2: the first colon ends the user name, and control characters are forbidden.
fn username(text: &str) -> Result<&str, &'static str> {
    match text {
        "" => Err("expected a user name, found an empty string"),
        _ if text.contains(':') => Err("a user name cannot contain a colon"),
        _ => printable(text),
    }
}

fn printable(text: &str) -> Result<&str, &'static str> {
    match text.contains(char::is_control) {
        true => Err(
            "it contains a line break or another control character (a block scalar ends with one unless it is `|-`)",
        ),
        false => Ok(text),
    }
}

fn scheme(text: &str) -> Result<String, &'static str> {
    let is_token_char = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.eq_ignore_ascii_case("basic") {
        Err("Basic needs a user name; use `basic_auth` instead of `authorization`")
    } else if text.is_empty() || !text.bytes().all(is_token_char) {
        Err("not an authentication scheme (expected one word, such as Bearer)")
    } else {
        Ok(text.to_string())
    }
}

/// Reads `tls_config`; empty strings are unset, as in Prometheus.
pub(super) fn read_tls(section: &mut Section<'_, '_>, folder: &Path) -> Tls {
    let mut file_if_set = |key| section.text(key).filter(|text| !text.is_empty()).map(|text| folder.join(text));
    let ca_file = file_if_set("ca_file");
    let cert_file = file_if_set("cert_file");
    let key_file = file_if_set("key_file");
    match (&cert_file, &key_file) {
        (Some(_), None) => section.fault_at("cert_file", "a client certificate needs its key; set `key_file` too"),
        (None, Some(_)) => section.fault_at("key_file", "a client key needs its certificate; set `cert_file` too"),
        _ => {}
    }
    Tls {
        ca_file,
        cert_file,
        key_file,
        server_name: section.scalar("server_name", server_name).flatten(),
        insecure_skip_verify: section.scalar("insecure_skip_verify", boolean).unwrap_or_default(),
    }
}

fn server_name(text: &str) -> Result<Option<String>, &'static str> {
    match ServerName::try_from(text) {
        _ if text.is_empty() => Ok(None),
        Ok(_) => Ok(Some(text.to_string())),
        Err(_) => Err("not a server name (expected a host name or an IP address, without a port)"),
    }
}

pub(crate) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
        _ if is_off(text) => Ok(false),
        _ => Err("expected true or false"),
    }
}

/// YAML's spellings of false, including `off`.
pub(super) fn is_off(text: &str) -> bool {
    matches!(text, "off" | "Off" | "OFF" | "false" | "False" | "FALSE" | "no" | "No" | "NO")
}

/// Reads `proxy_url`; an empty string is unset. It is never quoted, since it may contain credentials.
pub(super) fn proxy_url(text: &str) -> Result<Option<ProxyUrl>, &'static str> {
    const EXPECTED: &str = "not a proxy URL (expected http, https, socks5 or socks5h, such as http://proxy:3128)";
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") || !url.has_host() {
        return Err(EXPECTED);
    }
    Ok(Some(ProxyUrl(url)))
}

fn file(text: &str, folder: &Path) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("expected a file path, found an empty string") } else { Ok(folder.join(text)) }
}

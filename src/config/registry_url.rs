//! The URL of a registry.

use url::Url;

use super::text::shorten;

/// A valid URL, with host and port as written: [`Url`] drops the scheme's default port.
#[derive(Debug)]
pub(super) struct RegistryUrl {
    pub url: Url,
    pub authority: String,
}

/// A text that is not a registry's URL. It is not quoted if it may contain a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown} is not a valid registry URL: {reason} (example: https://registry.example.com:5050)")]
pub(super) struct RegistryUrlError {
    shown: String,
    reason: String,
}

impl RegistryUrl {
    /// Reads `http` and `https` URLs. A path is the prefix under which the registry is served.
    pub fn parse(text: &str) -> Result<Self, RegistryUrlError> {
        check(text).map_err(|reason| RegistryUrlError {
            shown: if text.contains('@') { "the value".to_string() } else { format!("\"{}\"", shorten(text)) },
            reason,
        })
    }

    /// A placeholder for a missing or invalid URL, so that the rest of the file is checked too.
    pub fn stand_in() -> Self {
        let url = Url::parse("https://registry.invalid").expect("this is a URL");
        Self { url, authority: String::new() }
    }

    /// Reads a URL, or a host with an optional port: local hosts use `http`, as in docker, and others `https`.
    pub fn parse_with_default_scheme(text: &str) -> Result<Self, RegistryUrlError> {
        if text.contains("://") {
            return Self::parse(text);
        }
        let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        Self::parse(&format!("{}://{text}", if local { "http" } else { "https" }))
    }
}

fn check(text: &str) -> Result<RegistryUrl, String> {
    // A WHATWG parser would silently drop these, or turn them into slashes.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("it contains a space, a control character or a backslash".to_string());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("it does not start with https:// or http://".to_string());
    };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err("its scheme is neither https nor http".to_string());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("it contains credentials; use basic_auth or authorization".to_string());
    }
    if rest.contains(['?', '#']) {
        return Err("it has a query or a fragment".to_string());
    }
    if authority.is_empty() {
        return Err("it has no host".to_string());
    }
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.path().trim_end_matches('/').ends_with("/v2") {
        return Err("it ends in /v2, which the probe adds itself".to_string());
    }
    Ok(RegistryUrl { url, authority: authority.trim_end_matches(':').to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_stay_as_written() {
        for (text, authority) in [
            ("https://registry.example.com", "registry.example.com"),
            ("https://registry.example.com:443/", "registry.example.com:443"),
            ("http://[::1]:5000", "[::1]:5000"),
            ("HTTPS://r.example:5050/prefix", "r.example:5050"),
            ("https://r.example:", "r.example"),
        ] {
            assert_eq!(RegistryUrl::parse(text).unwrap().authority, authority, "{text}");
        }
    }

    #[test]
    fn invalid_urls_are_explained() {
        for (text, reason) in [
            ("registry.example.com:5050", "it does not start with https:// or http://"),
            ("ftp://r.example", "its scheme is neither https nor http"),
            ("https://r.example/?n=1", "it has a query or a fragment"),
            ("https://r.example#x", "it has a query or a fragment"),
            ("https://", "it has no host"),
            ("https:///r.example", "it has no host"),
            ("https://r.example:99999", "invalid port number"),
            ("https://r.example/v2/", "it ends in /v2, which the probe adds itself"),
            ("https://r.exa mple", "it contains a space, a control character or a backslash"),
            ("https:\\\\r.example", "it contains a space, a control character or a backslash"),
        ] {
            assert_eq!(RegistryUrl::parse(text).unwrap_err().reason, reason, "{text}");
        }
    }

    #[test]
    fn passwords_in_urls_are_not_quoted() {
        for text in ["https://probe:hunter2@r.example", "probe:hunter2@r.example", "https://probe:hun/ter2@r.example"] {
            let error = RegistryUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hun"), "{error}");
        }
    }

    #[test]
    fn bare_hosts_use_https_unless_local() {
        for (text, url) in [
            ("registry.example.com:5050", "https://registry.example.com:5050/"),
            ("localhost:5000", "http://localhost:5000/"),
            ("localhost", "http://localhost/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("[::1]", "http://[::1]/"),
            ("localhost.example.com", "https://localhost.example.com/"),
            ("https://localhost:5000", "https://localhost:5000/"),
        ] {
            assert_eq!(RegistryUrl::parse_with_default_scheme(text).unwrap().url.as_str(), url, "{text}");
        }
    }
}

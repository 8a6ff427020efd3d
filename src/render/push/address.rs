//! URLs of Pushgateway groups.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use url::Url;

/// The URL of a Pushgateway. Its credentials are never displayed.
#[derive(Clone)]
pub struct Address {
    url: Url,
    shown: String,
}

/// An invalid Pushgateway URL. The text is not quoted, because it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid Pushgateway URL: {0} (expected one such as http://pushgateway:9091)")]
pub struct AddressError(&'static str);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(|_| AddressError("not a valid URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError("the scheme is not http or https"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError("query and fragment are not allowed"));
        }
        let mut shown = url.clone();
        shown
            .set_username("")
            .and_then(|()| shown.set_password(None))
            .map_err(|()| AddressError("the host is missing"))?;
        Ok(Self { url, shown: shown.to_string() })
    }
}

impl Address {
    /// The URL without credentials.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The URL of a group.
    pub(super) fn of_group(&self, job: &str, shard: Option<&str>, registry: Option<&str>) -> Url {
        let mut path = format!("{}/metrics", self.url.path().trim_end_matches('/'));
        path.push_str(&segments("job", job));
        path.extend(shard.map(|shard| segments("shard", shard)));
        path.extend(registry.map(|registry| segments("registry", registry)));
        let mut url = self.url.clone();
        url.set_path(&path);
        url
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

/// One label of a grouping key. A value that would need escaping in a path, which proxies may undo, is encoded in base64
/// (Pushgateway's README, "URL"); an empty one as `=`.
fn segments(label: &str, value: &str) -> String {
    let is_plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:".contains(&b));
    if is_plain && !matches!(value, "" | "." | "..") {
        return format!("/{label}/{value}");
    }
    let encoded = URL_SAFE.encode(value);
    format!("/{label}@base64/{}", if encoded.is_empty() { "=" } else { &encoded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(gateway: &str, job: &str, registry: Option<&str>) -> String {
        gateway.parse::<Address>().unwrap().of_group(job, None, registry).path().to_string()
    }

    #[test]
    fn grouping_key_contains_job_shard_and_registry() {
        let gateway = "http://gateway:9091";
        assert_eq!(path(gateway, "probe", Some("private")), "/metrics/job/probe/registry/private");
        assert_eq!(path(gateway, "probe", None), "/metrics/job/probe");
        let sharded = gateway.parse::<Address>().unwrap().of_group("probe", Some("2"), Some("private"));
        assert_eq!(sharded.path(), "/metrics/job/probe/shard/2/registry/private");
        assert_eq!(path("https://g.example/push/", "probe", Some("r:5000")), "/push/metrics/job/probe/registry/r:5000");
    }

    #[test]
    fn unsafe_label_values_are_base64() {
        for (value, segment) in [
            ("a/b", "registry@base64/YS9i"),
            ("über", "registry@base64/w7xiZXI="),
            ("a b", "registry@base64/YSBi"),
            ("??>", "registry@base64/Pz8-"),
            ("..", "registry@base64/Li4="),
            ("", "registry@base64/="),
        ] {
            assert_eq!(path("http://g", "j", Some(value)), format!("/metrics/job/j/{segment}"), "{value:?}");
        }
    }

    #[test]
    fn credentials_are_sent_but_not_displayed() {
        let address: Address = "https://probe:hunter2@g.example/x".parse().unwrap();
        assert_eq!(address.shown(), "https://g.example/x");
        assert_eq!(format!("{address:?}"), "Address(\"https://g.example/x\")");
        assert_eq!(address.of_group("j", None, None).password(), Some("hunter2"));
    }

    #[test]
    fn invalid_urls_are_rejected_without_quoting() {
        for text in ["g:9091", "ftp://u:hunter2@g", "http://", "http://u:hunter2@g?x", "http://u:hun#ter2@g", ""] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("hun"), "{text}: {error}");
        }
    }
}

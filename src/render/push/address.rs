//! Where groups of metrics are pushed to.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use url::Url;

/// The URL of a Pushgateway. Its credentials are sent, and shown nowhere.
#[derive(Clone)]
pub struct Address {
    url: Url,
    shown: String,
}

/// A text that is no Pushgateway's URL. It is not quoted, since it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no Pushgateway's URL: {0} (expected one such as http://pushgateway:9091)")]
pub struct AddressError(&'static str);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(|_| AddressError("it cannot be read as a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError("its scheme is neither http nor https"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError("it has a query or a fragment"));
        }
        let mut shown = url.clone();
        shown.set_username("").and_then(|()| shown.set_password(None)).map_err(|()| AddressError("it has no host"))?;
        Ok(Self { url, shown: shown.to_string() })
    }
}

impl Address {
    /// The URL without credentials.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The URL of the group with this grouping key.
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

/// One label of a grouping key. A value that a path cannot hold as it is, or only escaped, which proxies like to undo, is
/// written in base64 (Pushgateway's README, "URL"); an empty one as its padding alone.
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
    fn the_grouping_key_is_job_and_registry() {
        let gateway = "http://gateway:9091";
        assert_eq!(path(gateway, "probe", Some("private")), "/metrics/job/probe/registry/private");
        assert_eq!(path(gateway, "probe", None), "/metrics/job/probe");
        let sharded = gateway.parse::<Address>().unwrap().of_group("probe", Some("2"), Some("private"));
        assert_eq!(sharded.path(), "/metrics/job/probe/shard/2/registry/private");
        assert_eq!(path("https://g.example/push/", "probe", Some("r:5000")), "/push/metrics/job/probe/registry/r:5000");
    }

    #[test]
    fn what_a_path_cannot_hold_is_base64() {
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
    fn credentials_stay_in_what_is_sent_and_out_of_what_is_shown() {
        let address: Address = "https://probe:hunter2@g.example/x".parse().unwrap();
        assert_eq!(address.shown(), "https://g.example/x");
        assert_eq!(format!("{address:?}"), "Address(\"https://g.example/x\")");
        assert_eq!(address.of_group("j", None, None).password(), Some("hunter2"));
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_quoted() {
        for text in ["g:9091", "ftp://u:hunter2@g", "http://", "http://u:hunter2@g?x", "http://u:hun#ter2@g", ""] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("hun"), "{text}: {error}");
        }
    }
}

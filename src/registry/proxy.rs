//! Which proxy a request takes: the configured one for every host, or those of the environment as Go's clients read them.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

/// The proxies of one registry's client.
#[derive(Clone, Debug)]
pub enum Proxies {
    /// `proxy_url`, for every host.
    Configured(Url),
    /// `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, with `ALL_PROXY` for what the first two leave open.
    Environment(Environment),
}

/// The environment's proxies, read once (Go's `golang.org/x/net/http/httpproxy`).
#[derive(Clone, Debug, Default)]
pub struct Environment {
    http: Option<Url>,
    https: Option<Url>,
    exempt: Vec<Exemption>,
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exemption {
    /// `*`
    Everything,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    /// A name and those below it; only those below it if it is written with a leading dot.
    Domain {
        name: String,
        includes_itself: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    /// The configured proxy, or the environment's.
    ///
    /// # Errors
    ///
    /// The scheme, if the configured proxy has one that no proxy is reached by.
    pub fn new(configured: Option<&Url>) -> Result<Self, String> {
        match configured {
            Some(url) if is_supported(url) => Ok(Self::Configured(url.clone())),
            Some(url) => Err(url.scheme().to_string()),
            None => Ok(Self::Environment(Environment::read(|name| std::env::var(name).ok()))),
        }
    }

    /// The proxy for a URL; `None`: the connection is direct.
    pub fn of(&self, url: &Url) -> Option<&Url> {
        match self {
            Self::Configured(proxy) => Some(proxy),
            Self::Environment(environment) => environment.of(url),
        }
    }

    /// True if no request takes a proxy.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Environment(Environment { http: None, https: None, .. }))
    }
}

fn is_supported(url: &Url) -> bool {
    url.host().is_some() && matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h")
}

impl Environment {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_lowercase()));
        let proxy = |name: &str| either(name).and_then(|value| proxy_url(&value));
        let all = proxy("ALL_PROXY");
        // In a CGI process HTTP_PROXY is a request's `Proxy` header, so that a client could choose it.
        let http = if set("REQUEST_METHOD").is_some() { None } else { proxy("HTTP_PROXY") };
        let exempt = either("NO_PROXY").unwrap_or_default();
        Self {
            http: http.or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY").or(all),
            exempt: exempt.split(',').filter_map(Exemption::parse).collect(),
        }
    }

    fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = url.host()?;
        let port = url.port_or_known_default();
        let is_direct = is_loopback(&host) || self.exempt.iter().any(|exemption| exemption.covers(&host, port));
        (!is_direct).then_some(proxy)
    }
}

/// A proxy's URL; without a scheme it is an HTTP proxy.
fn proxy_url(text: &str) -> Option<Url> {
    let text = text.trim();
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok().filter(is_supported)
}

/// A registry on this machine is never reached through a proxy.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl Exemption {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = text.parse() {
            return Some(Self::Network(network));
        }
        let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if let Some(address) = bare(&text) {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) => (host, Some(port)),
            None => (text.as_str(), None),
        };
        if let Some(address) = bare(host) {
            return Some(Self::Address(address, port));
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let (name, includes_itself) = host.strip_prefix('.').map_or((host, true), |name| (name, false));
        (!name.is_empty()).then(|| Self::Domain { name: name.to_string(), includes_itself, port })
    }

    fn covers(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let address = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
            Host::Domain(_) => None,
        };
        let is_the_port = |wanted: &Option<u16>| wanted.is_none() || *wanted == port;
        match self {
            Self::Everything => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(exempt, wanted) => address == Some(*exempt) && is_the_port(wanted),
            Self::Domain { name, includes_itself, port: wanted } => {
                let Host::Domain(host) = host else { return false };
                let is_below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (is_below || *includes_itself && host == name) && is_the_port(wanted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string()))
    }

    fn proxy_of(environment: &Environment, url: &str) -> Option<String> {
        environment.of(&url.parse().unwrap()).map(Url::to_string)
    }

    #[test]
    fn the_scheme_chooses_the_variable() {
        let both = environment(&[("HTTP_PROXY", "a:3128"), ("https_proxy", "socks5h://b")]);
        assert_eq!(proxy_of(&both, "http://r.example/"), Some("http://a:3128/".to_string()));
        assert_eq!(proxy_of(&both, "https://r.example/"), Some("socks5h://b".to_string()));
        let all = environment(&[("ALL_PROXY", "http://c"), ("HTTPS_PROXY", "http://d")]);
        assert_eq!(proxy_of(&all, "http://r.example/"), Some("http://c/".to_string()));
        assert_eq!(proxy_of(&all, "https://r.example/"), Some("http://d/".to_string()));
        let cgi = environment(&[("HTTP_PROXY", "http://evil"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(proxy_of(&cgi, "http://r.example/"), None);
    }

    #[test]
    fn no_proxy_exempts_names_networks_and_ports() {
        for (no_proxy, url, is_direct) in [
            ("*", "http://r.example", true),
            ("r.example", "http://r.example", true),
            ("r.example", "http://sub.r.example", true),
            ("r.example", "http://other.example", false),
            ("r.example", "http://xr.example", false),
            (".example", "http://r.example", true),
            (".r.example", "http://r.example", false),
            ("*.r.example", "http://sub.r.example", true),
            ("R.Example", "http://r.example", true),
            ("r.example:5000", "http://r.example:5000", true),
            ("r.example:5000", "http://r.example", false),
            ("r.example:80", "http://r.example", true),
            ("10.0.0.0/8", "http://10.1.2.3", true),
            ("10.0.0.0/8", "http://11.1.2.3", false),
            ("10.1.2.3", "http://10.1.2.3:5000", true),
            ("10.1.2.3:80", "http://10.1.2.3:5000", false),
            ("fd00::/8", "http://[fd00::1]", true),
            ("[fd00::1]:5000", "http://[fd00::1]:5000", true),
            ("a, r.example ,b", "http://r.example", true),
            ("", "http://localhost:5000", true),
            ("", "http://127.0.0.1:5000", true),
            ("", "http://[::1]:5000", true),
            (" ,,", "http://r.example", false),
        ] {
            let environment = environment(&[("HTTP_PROXY", "http://p"), ("NO_PROXY", no_proxy)]);
            assert_eq!(proxy_of(&environment, url).is_none(), is_direct, "{no_proxy:?} {url}");
        }
    }

    #[test]
    fn a_configured_proxy_takes_every_host() {
        let proxies = Proxies::new(Some(&"http://p:3128".parse().unwrap())).unwrap();
        assert!(proxies.of(&"http://localhost/".parse().unwrap()).is_some());
        assert_eq!(Proxies::new(Some(&"ftp://p".parse().unwrap())).unwrap_err(), "ftp");
    }
}

//! Registries behind a proxy of SOCKS 5, which resolves names itself or is told addresses.

use registry_integrity_probe::demo::Registry;

use crate::testkit::front::{Front, Plan};
use crate::testkit::in_process::registry;
use crate::testkit::sweep_command::{assert_silent, assert_success, assert_trouble, sweep_of};
use crate::testkit::tls::PrivateCa;
use crate::testkit::tunnels::{Asked, Conduct, Destination, SocksProxy};

/// A registry by both schemes, under a name that only the proxy knows and one that every machine does.
struct Private {
    ca: PrivateCa,
    front: Front,
    registry: Registry,
}

impl Private {
    async fn start() -> Self {
        let (ca, registry) = (PrivateCa::new(), registry().await);
        let acceptor = ca.server(&["registry.invalid", "localhost"]).acceptor(&[b"h2", b"http/1.1"]);
        let front = Plan::before(registry.address()).with_tls(acceptor).start().await;
        Self { ca, front, registry }
    }

    async fn proxy(&self, scheme: &str, conduct: Conduct) -> SocksProxy {
        let server = if scheme == "https" { self.front.address() } else { self.registry.address() };
        SocksProxy::to(server, conduct).await
    }

    fn entry(&self, url: &str) -> String {
        format!("name: r, url: '{url}', tls_config: {{ca_file: '{}'}}", self.ca.ca_file().display())
    }
}

fn login() -> Option<(String, String)> {
    Some(("probe".to_string(), "hunter2".to_string()))
}

#[tokio::test]
async fn socks5h_resolves_remotely_and_socks5_locally() {
    let private = Private::start().await;
    for (scheme, host, destination) in [
        ("socks5h", "registry.invalid", Destination::Name("registry.invalid".to_string())),
        ("socks5h", "localhost", Destination::Name("localhost".to_string())),
        ("socks5", "localhost", Destination::Loopback),
        ("socks5", "127.0.0.1", Destination::Loopback),
    ] {
        for registry_scheme in ["http", "https"] {
            if registry_scheme == "https" && host == "127.0.0.1" {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let proxy = private.proxy(registry_scheme, Conduct::WantsLogin).await;
            let proxy_url = format!("{scheme}://probe:hunter2@{}", proxy.address());
            let entry = private.entry(&format!("{registry_scheme}://{host}:5050"));
            let outcome = sweep_of(folder.path(), &format!("{entry}, proxy_url: '{proxy_url}'")).run().await;
            assert_success(&outcome, &format!("{scheme} {registry_scheme}://{host}"));
            assert_silent(&outcome, folder.path(), &["hunter2"]);
            let asked = proxy.asked();
            let expected = Asked { login: login(), destination: destination.clone(), port: 5050 };
            assert!(!asked.is_empty() && asked.iter().all(|asked| *asked == expected), "{scheme} {host}: {asked:#?}");
        }
    }
    let heard = private.front.heard();
    assert!(heard.iter().all(|heard| heard.header("authorization").is_none()), "{heard:#?}");
}

#[tokio::test]
async fn socks_without_a_login_and_from_the_environment() {
    let private = Private::start().await;
    for (scheme, port, url) in [("http", 80, "http://registry.invalid"), ("https", 443, "https://registry.invalid")] {
        let folder = tempfile::tempdir().unwrap();
        let expected = Asked { login: None, destination: Destination::Name("registry.invalid".to_string()), port };
        let proxy = private.proxy(scheme, Conduct::Open).await;
        let proxy_url = format!("socks5h://{}", proxy.address());
        let entry = format!("{}, proxy_url: '{proxy_url}'", private.entry(url));
        assert_success(&sweep_of(folder.path(), &entry).run().await, url);
        assert!(proxy.asked().iter().all(|asked| *asked == expected), "{:#?}", proxy.asked());

        let proxy = private.proxy(scheme, Conduct::Open).await;
        let proxy_url = format!("socks5h://{}", proxy.address());
        let sweep = sweep_of(folder.path(), &private.entry(url)).env("ALL_PROXY", proxy_url);
        assert_success(&sweep.run().await, url);
        assert!(!proxy.asked().is_empty() && proxy.asked().iter().all(|asked| *asked == expected));
    }
}

#[tokio::test]
async fn a_socks_proxy_s_refusal_is_unreachable_and_shows_no_password() {
    let private = Private::start().await;
    for (conduct, login, word) in [
        (Conduct::Refuses, "", "refused"),
        (Conduct::RefusesLogin, "probe:hunter2@", "credentials"),
        (Conduct::WantsLogin, "", "auth"),
    ] {
        for scheme in ["http", "https"] {
            let folder = tempfile::tempdir().unwrap();
            let proxy = private.proxy(scheme, conduct).await;
            let proxy_url = format!("socks5h://{login}{}", proxy.address());
            let entry = private.entry(&format!("{scheme}://registry.invalid"));
            let outcome = sweep_of(folder.path(), &format!("{entry}, proxy_url: '{proxy_url}'")).run().await;
            assert_trouble(&outcome, "unreachable", word);
            assert_silent(&outcome, folder.path(), &["hunter2"]);
        }
    }
    assert_eq!(private.registry.request_count(), 0);
}

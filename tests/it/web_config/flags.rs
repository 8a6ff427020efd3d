//! The flags of the web, as users of Prometheus know them.

use std::net::SocketAddr;

use registry_integrity_probe::demo::Registry;

use crate::testkit::poll_until;
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::raw_http::ask;
use crate::testkit::web_service::BOUND;

async fn serve(registry: &Registry, flags: &[&str]) -> RunningProbe {
    let arguments = ["serve", "--registry", &registry.url()];
    probe(arguments.iter().chain(flags)).serve_unasked().await
}

/// Every address of the log's `listening` lines.
async fn listening(service: &RunningProbe, count: usize) -> Vec<SocketAddr> {
    poll_until(BOUND, async || {
        let log = service.stderr();
        let addresses: Vec<SocketAddr> = log
            .lines()
            .filter(|line| line.contains("listening"))
            .filter_map(|line| line.split("address=").nth(1)?.trim_matches('"').parse().ok())
            .collect();
        (addresses.len() == count).then_some(addresses)
    })
    .await
}

#[tokio::test]
async fn every_listen_address_is_served() {
    let registry = Registry::start().await.unwrap();
    let service = serve(&registry, &["--web.listen-address=127.0.0.1:0", "--web.listen-address=:0"]).await;
    let addresses = listening(&service, 3).await;
    let everywhere: Vec<_> = addresses.iter().filter(|address| address.ip().is_unspecified()).collect();
    assert_eq!(everywhere.len(), 1, "{addresses:?}");
    for address in &addresses {
        let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
        assert_eq!(ask(address, "GET", "/-/ready").send().await.status, Some(200), "{address}");
    }
    if everywhere[0].is_ipv6() {
        let address = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, everywhere[0].port()));
        assert_eq!(ask(address, "GET", "/-/ready").send().await.status, Some(200), "{address}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_said_and_ends_the_start() {
    let taken = tokio::net::TcpListener::bind("[::]:0").await.unwrap().local_addr().unwrap();
    let held = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], taken.port()))).await.unwrap();
    let address = held.local_addr().unwrap();
    let outcome =
        probe(["serve", "--registry", "http://127.0.0.1:1", &format!("--web.listen-address={address}")]).run().await;
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&address.to_string()), "{}", outcome.stderr);
}

#[tokio::test]
async fn empty_flags_are_flags_that_were_left_out() {
    let registry = Registry::start().await.unwrap();
    let service = serve(&registry, &["--web.config.file=", "--web.external-url="]).await;
    assert_eq!(ask(service.address(), "GET", "/-/ready").send().await.status, Some(200));
}

#[tokio::test]
async fn the_path_of_the_external_url_may_hold_anything() {
    let registry = Registry::start().await.unwrap();
    for path in ["/:port/*all/a(b)", "/a b/{name}", "/tools/probe/"] {
        let url = format!("https://tools.example.com{path}");
        let service = serve(&registry, &["--web.external-url", &url]).await;
        let prefix: url::Url = url.parse().unwrap();
        let prefix = prefix.path().trim_end_matches('/');
        for (path, status) in [("/metrics", 200), ("/-/healthy", 200), ("/", 200)] {
            let answer = ask(service.address(), "GET", &format!("{prefix}{path}")).send().await;
            assert_eq!(answer.status, Some(status), "{url} {path}");
        }
        assert_eq!(ask(service.address(), "GET", "/metrics").send().await.status, Some(404), "{url}");
        let home = ask(service.address(), "GET", "/").send().await;
        assert_eq!((home.status, home.header("location")), (Some(307), Some(&*format!("{prefix}/"))));
    }
}

#[tokio::test]
async fn lifecycle_needs_its_flag_and_a_page_of_this_place() {
    let registry = Registry::start().await.unwrap();
    let without = serve(&registry, &[]).await;
    let refused = ask(without.address(), "POST", "/-/reload").send().await;
    assert_eq!(refused.status, Some(403));
    assert!(refused.text().contains("--web.enable-lifecycle"), "{}", refused.text());
    without.signal("HUP");

    let flags = ["--web.enable-lifecycle", "--web.external-url=https://tools.example.com/probe"];
    let service = serve(&registry, &flags).await;
    for method in ["POST", "PUT"] {
        assert_eq!(ask(service.address(), method, "/probe/-/reload").send().await.status, Some(200), "{method}");
    }
    assert_eq!(ask(service.address(), "GET", "/probe/-/reload").send().await.status, Some(405));
    let here = format!("http://{}", service.address());
    for (origin, status) in [
        (here.as_str(), 200),
        ("https://tools.example.com", 200),
        ("http://tools.example.com", 403),
        ("https://elsewhere.example.com", 403),
        ("null", 403),
    ] {
        let reload = ask(service.address(), "POST", "/probe/-/reload").header("Origin", origin).send().await;
        assert_eq!(reload.status, Some(status), "{origin}");
    }
    // SIGHUP needs no flag.
    poll_until(BOUND, async || without.stderr().contains("configuration reloaded").then_some(())).await;
}

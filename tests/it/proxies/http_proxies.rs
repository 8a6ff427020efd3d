//! Registries behind a proxy of HTTP: what it hears, and what becomes of its refusals.

use std::collections::BTreeMap;
use std::path::Path;

use registry_integrity_probe::demo::{Auth, Registry};

use crate::testkit::front::{Front, Plan};
use crate::testkit::in_process::registry;
use crate::testkit::sweep_command::{
    USER_AGENT, assert_silent, assert_success, assert_trouble, sweep_of, sweep_within,
};
use crate::testkit::tls::PrivateCa;
use crate::testkit::tunnels::HttpProxy;

/// `probe:hunter2`, as both proxy and registry want it in these tests.
const PASSWORD: &str = "Basic cHJvYmU6aHVudGVyMg==";

/// A registry behind TLS that wants a password, under a name that only proxies know.
struct Private {
    ca: PrivateCa,
    front: Front,
    _registry: Registry,
}

impl Private {
    async fn start() -> Self {
        let (ca, registry) = (PrivateCa::new(), registry().await);
        registry.require(Auth::basic("probe", "secret-of-the-registry"));
        let acceptor = ca.server(&["registry.invalid"]).acceptor(&[b"h2", b"http/1.1"]);
        let front = Plan::before(registry.address()).with_tls(acceptor).start().await;
        Self { ca, front, _registry: registry }
    }

    /// What stands in the configuration.
    fn entry(&self, url: &str) -> String {
        let login = "basic_auth: {username: probe, password: secret-of-the-registry}";
        format!("name: r, url: '{url}', {login}, tls_config: {{ca_file: '{}'}}", self.ca.ca_file().display())
    }
}

/// Names in lower case; the first line is under an empty one.
fn headers(head: &str) -> BTreeMap<String, String> {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().map(|line| (String::new(), line.to_string()));
    let rest = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.into()));
    first.into_iter().chain(rest).collect()
}

fn expected(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect()
}

/// The proxy hears where to and its own password; the registry's is for the registry alone.
fn assert_tunnelled(proxy: &HttpProxy, private: &Private, to: &str, authorization: Option<&str>) {
    let heads = proxy.heard();
    assert!(!heads.is_empty());
    for head in &heads {
        let line = format!("CONNECT {to} HTTP/1.1");
        let mut entries = vec![("", line.as_str()), ("host", to), ("user-agent", USER_AGENT)];
        entries.extend(authorization.map(|value| ("proxy-authorization", value)));
        assert_eq!(headers(head), expected(&entries));
    }
    let heard = private.front.heard();
    assert!(heard.iter().any(|heard| heard.header("authorization").is_some()), "{heard:#?}");
    assert!(heard.iter().all(|heard| heard.header("proxy-authorization").is_none()), "{heard:#?}");
}

#[tokio::test]
async fn connect_proxy_never_sees_the_credentials() {
    for (url, to) in [
        ("https://registry.invalid:8443", "registry.invalid:8443"),
        ("https://registry.invalid", "registry.invalid:443"),
    ] {
        let (private, folder) = (Private::start().await, tempfile::tempdir().unwrap());
        let proxy = HttpProxy::to(private.front.address()).await;
        let entry = format!("{}, proxy_url: 'http://probe:hunter2@{}'", private.entry(url), proxy.address());
        let outcome = sweep_of(folder.path(), &entry).run().await;
        assert_success(&outcome, url);
        assert_tunnelled(&proxy, &private, to, Some(PASSWORD));
        assert_eq!(proxy.heard().len(), 1, "one tunnel is enough for HTTP/2");
        assert_silent(&outcome, folder.path(), &["hunter2", "cHJvYmU6aHVudGVy", "secret-of-the-registry"]);
        let authority = url.trim_start_matches("https://");
        assert!(private.front.heard().iter().all(|heard| heard.authority.as_deref() == Some(authority)), "{url}");
    }
}

#[tokio::test]
async fn proxy_password_is_decoded_and_optional() {
    // `user:p@ss:w/rd`
    for (login, authorization) in [("user:p%40ss%3Aw%2Frd@", Some("Basic dXNlcjpwQHNzOncvcmQ=")), ("", None)] {
        let (private, folder) = (Private::start().await, tempfile::tempdir().unwrap());
        let proxy = HttpProxy::to(private.front.address()).await;
        let entry = private.entry("https://registry.invalid:8443");
        let entry = format!("{entry}, proxy_url: 'http://{login}{}'", proxy.address());
        assert_success(&sweep_of(folder.path(), &entry).run().await, login);
        assert_tunnelled(&proxy, &private, "registry.invalid:8443", authorization);
    }
}

#[tokio::test]
async fn a_proxy_may_be_behind_tls_itself() {
    let (private, folder) = (Private::start().await, tempfile::tempdir().unwrap());
    let acceptor = private.ca.server(&["localhost"]).acceptor(&[b"http/1.1"]);
    let proxy = HttpProxy::behind_tls(private.front.address(), acceptor).await;
    let proxy_url = format!("https://probe:hunter2@localhost:{}", proxy.address().port());
    let entry = format!("{}, proxy_url: '{proxy_url}'", private.entry("https://registry.invalid:8443"));
    let outcome = sweep_of(folder.path(), &entry).run().await;
    assert_success(&outcome, "an https registry");
    assert_tunnelled(&proxy, &private, "registry.invalid:8443", Some(PASSWORD));

    let open = registry().await;
    let acceptor = private.ca.server(&["localhost"]).acceptor(&[b"http/1.1"]);
    let proxy = HttpProxy::behind_tls(open.address(), acceptor).await;
    let proxy_url = format!("https://probe:hunter2@localhost:{}", proxy.address().port());
    let tls = format!("tls_config: {{ca_file: '{}'}}", private.ca.ca_file().display());
    let entry = format!("url: 'http://registry.invalid', {tls}, proxy_url: '{proxy_url}'");
    let outcome = sweep_of(folder.path(), &entry).run().await;
    assert_success(&outcome, "an http registry");
    let heard = proxy.heard();
    assert!(heard.iter().all(|head| head.contains(" http://registry.invalid/v2/")), "{heard:#?}");
    assert!(heard.iter().all(|head| headers(head)["proxy-authorization"] == PASSWORD), "{heard:#?}");
}

#[tokio::test]
async fn a_proxy_that_nobody_vouches_for_is_told_nothing() {
    let (private, folder) = (Private::start().await, tempfile::tempdir().unwrap());
    let acceptor = PrivateCa::new().server(&["localhost"]).acceptor(&[b"http/1.1"]);
    let proxy = HttpProxy::behind_tls(private.front.address(), acceptor).await;
    let proxy_url = format!("https://probe:hunter2@localhost:{}", proxy.address().port());
    let entry = format!("{}, proxy_url: '{proxy_url}'", private.entry("https://registry.invalid:8443"));
    let outcome = sweep_of(folder.path(), &entry).run().await;
    assert_trouble(&outcome, "unreachable", "certificate");
    assert_eq!(proxy.heard(), [] as [String; 0]);
    assert_silent(&outcome, folder.path(), &["hunter2", "cHJvYmU6aHVudGVy", "secret-of-the-registry"]);
}

#[tokio::test]
async fn a_proxy_s_refusal_is_unreachable_and_shows_no_password() {
    for (status, word) in
        [("407 Proxy Authentication Required", "auth"), ("502 Bad Gateway", ""), ("403 Forbidden", "")]
    {
        let (private, folder) = (Private::start().await, tempfile::tempdir().unwrap());
        let proxy = HttpProxy::refusing(status).await;
        let entry = private.entry("https://registry.invalid:8443");
        let entry = format!("{entry}, proxy_url: 'http://probe:hunter2@{}'", proxy.address());
        let outcome = sweep_of(folder.path(), &entry).run().await;
        assert_trouble(&outcome, "unreachable", word);
        assert!(!proxy.heard().is_empty());
        assert_silent(&outcome, folder.path(), &["hunter2", "cHJvYmU6aHVudGVy", "secret-of-the-registry"]);
    }
}

#[tokio::test]
async fn a_proxy_that_never_answers_is_a_time_out() {
    let (private, folder) = (Private::start().await, tempfile::tempdir().unwrap());
    let proxy = HttpProxy::silent().await;
    for url in ["https://registry.invalid:8443", "http://registry.invalid"] {
        let entry = format!("{}, proxy_url: 'http://probe:hunter2@{}'", private.entry(url), proxy.address());
        let outcome = sweep_within("500ms", folder.path(), &entry).run().await;
        assert_trouble(&outcome, "timeout", "in");
        assert_silent(&outcome, folder.path(), &["hunter2", "cHJvYmU6aHVudGVy", "secret-of-the-registry"]);
    }
    assert!(!proxy.heard().is_empty());
}

#[tokio::test]
async fn what_a_proxy_hears_for_an_http_registry_to_the_letter() {
    let registry = registry().await;
    for authority in ["registry.invalid", "registry.invalid:5050"] {
        let (proxy, folder) = (HttpProxy::to(registry.address()).await, tempfile::tempdir().unwrap());
        let entry = format!("url: 'http://{authority}', proxy_url: 'http://probe:hunter2@{}'", proxy.address());
        assert_success(&sweep_of(folder.path(), &entry).run().await, authority);
        let heard = proxy.heard();
        let line = format!("GET http://{authority}/v2/_catalog?n=1000 HTTP/1.1");
        let entries = [
            ("", line.as_str()),
            ("accept", "application/json"),
            ("accept-encoding", "gzip"),
            ("host", authority),
            ("proxy-authorization", PASSWORD),
            ("user-agent", USER_AGENT),
        ];
        assert_eq!(headers(&heard[0]), expected(&entries));
        let begins_well = |head: &String| head.contains(&format!(" http://{authority}/v2/"));
        assert!(heard.len() > 4 && heard.iter().all(begins_well), "{heard:#?}");
        assert!(heard.iter().all(|head| headers(head)["proxy-authorization"] == PASSWORD), "{heard:#?}");
    }
}

/// What the environment says, the configuration left it open.
async fn sweep_with(folder: &Path, private: &Private, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut sweep = sweep_of(folder, &private.entry("https://registry.invalid:8443"));
    for (name, value) in variables {
        sweep = sweep.env(name, value);
    }
    let outcome = sweep.run().await;
    assert_silent(&outcome, folder, &["hunter2", "cHJvYmU6aHVudGVy", "secret-of-the-registry"]);
    (outcome.code, format!("{outcome:?}"))
}

#[tokio::test]
async fn the_environment_s_proxy_for_https_is_asked_for_https_alone() {
    let (private, folder) = (Private::start().await, tempfile::tempdir().unwrap());
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let proxy = HttpProxy::to(private.front.address()).await;
        let url = format!("http://probe:hunter2@{}", proxy.address());
        let (code, outcome) = sweep_with(folder.path(), &private, &[(variable, &url)]).await;
        assert_eq!(code, Some(0), "{variable}: {outcome}");
        assert_tunnelled(&proxy, &private, "registry.invalid:8443", Some(PASSWORD));
    }
    let proxy = HttpProxy::to(private.front.address()).await;
    let url = format!("http://probe:hunter2@{}", proxy.address());
    for variables in [
        &[("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "registry.invalid")][..],
        &[("https_proxy", url.as_str()), ("no_proxy", ".invalid")],
        &[("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "*")],
        &[("http_proxy", url.as_str())],
    ] {
        let (code, outcome) = sweep_with(folder.path(), &private, variables).await;
        assert_eq!((code, proxy.heard().len()), (Some(3), 0), "{variables:?}: {outcome}");
    }
}

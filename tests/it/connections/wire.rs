//! What the probe says of itself and of what it wants, to the letter.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use registry_integrity_probe::config::{ByteEvidence, Target};
use registry_integrity_probe::demo::{Auth, Image, Registry, TokenService};
use registry_integrity_probe::oci::MANIFEST_ACCEPT;
use tokio::net::TcpListener;

use crate::testkit::front::{Front, Heard, Plan};
use crate::testkit::in_process::{app, registry};
use crate::testkit::peers::skipped;
use crate::testkit::reports::assert_intact;
use crate::testkit::sweep_command::{USER_AGENT, as_probe};
use crate::testkit::sweeping::Sweeping;
use crate::testkit::tls::PrivateCa;

const PASSWORD: &str = "Basic cHJvYmU6aHVudGVyMg==";

async fn swept(front: &Front, change: impl FnOnce(&mut Target)) -> Vec<Heard> {
    let report = Sweeping::over(&format!("http://{}", front.address())).with(change).sweep().await;
    assert_intact(&report, "through the front");
    front.heard()
}

/// Sorts by name what is expected beside the host and the probe's own name.
fn headers(host: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = [("host", host), ("user-agent", USER_AGENT)];
    own.iter().chain(more).map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect()
}

#[track_caller]
fn assert_headers(heard: &[Heard], is_meant: impl Fn(&Heard) -> bool, expected: &BTreeMap<String, String>) {
    let meant: Vec<_> = heard.iter().filter(|heard| is_meant(heard)).collect();
    assert!(!meant.is_empty(), "nothing of the kind: {heard:#?}");
    for heard in meant {
        assert_eq!(heard.headers, *expected, "{} {}", heard.method, heard.target);
    }
}

/// What is asked for by GET, and by HEAD of which kind: each with its whole set of headers.
#[tokio::test]
async fn every_request_has_these_headers_and_no_others() {
    let registry = registry().await;
    registry.require(Auth::basic("probe", "hunter2"));
    for byte in [ByteEvidence::Off, ByteEvidence::Within(std::time::Duration::ZERO)] {
        // Nobody asked for a cookie, and nobody gets it back.
        let front = Plan::before(registry.address()).changing(|_, reply| reply.set("set-cookie", "a=b")).start().await;
        let host = front.address().to_string();
        let heard = swept(&front, |target| {
            as_probe(target);
            target.evidence.byte = byte;
        })
        .await;
        let list = [("accept", "application/json"), ("accept-encoding", "gzip")];
        assert_eq!(heard[0].headers, headers(&host, &list), "the first, before a challenge");
        let known = |more: &[(&str, &str)]| headers(&host, &[more, &[("authorization", PASSWORD)]].concat());
        let later = &heard[1..];
        assert_headers(later, Heard::is_of_list, &known(&list));
        let manifest = [("accept", MANIFEST_ACCEPT), ("accept-encoding", "identity")];
        assert_headers(later, |heard| heard.is_of_manifest(), &known(&manifest));
        if byte == ByteEvidence::Off {
            let blob = known(&[("accept", "*/*"), ("accept-encoding", "identity")]);
            assert_headers(later, |heard| heard.is_of_blob() && heard.method == "HEAD", &blob);
            assert!(later.iter().all(|heard| !heard.is_of_blob() || heard.method == "HEAD"), "{later:#?}");
        } else {
            for part in app().configs().chain(app().layers()) {
                let last = part.bytes.len() - 1;
                let range = format!("bytes={last}-{last}");
                let blob = known(&[("accept", "*/*"), ("accept-encoding", "identity"), ("range", &range)]);
                let digest = part.digest.to_string();
                assert_headers(later, |heard| heard.target.ends_with(&digest) && heard.is_of_blob(), &blob);
            }
        }
    }
}

#[tokio::test]
async fn http_2_requests_differ_only_in_host() {
    let (registry, ca) = (registry().await, PrivateCa::new());
    let acceptor = ca.server(&["localhost"]).acceptor(&[b"h2"]);
    let front = Plan::before(registry.address()).with_tls(acceptor).start().await;
    let url = format!("https://localhost:{}", front.address().port());
    let report = Sweeping::over(&url).with(|target| target.tls.ca_file = Some(ca.ca_file())).sweep().await;
    assert_intact(&report, "HTTP/2");
    let without_host = |more: &[(&str, &str)]| {
        let mut headers = headers("", more);
        headers.remove("host");
        headers
    };
    let heard = front.heard();
    let list = [("accept", "application/json"), ("accept-encoding", "gzip")];
    assert_headers(&heard, Heard::is_of_list, &without_host(&list));
    let manifest = [("accept", MANIFEST_ACCEPT), ("accept-encoding", "identity")];
    assert_headers(&heard, Heard::is_of_manifest, &without_host(&manifest));
}

#[tokio::test]
async fn a_token_service_is_asked_with_these_headers_and_no_others() {
    let registry = registry().await;
    let front = Plan::before(registry.address()).start().await;
    let tokens = TokenService::new().for_user("probe", "hunter2");
    registry.issue(&tokens);
    registry.require(Auth::bearer_from(&format!("http://{}/token", front.address()), &tokens));
    let heard = swept(&front, as_probe).await;
    let host = front.address().to_string();
    let token = [("accept", "application/json"), ("accept-encoding", "gzip"), ("authorization", PASSWORD)];
    assert_headers(&heard, |heard| heard.target.starts_with("/token?"), &headers(&host, &token));
    let targets: Vec<_> =
        heard.iter().filter(|heard| heard.target.starts_with("/token?")).map(|heard| heard.target.as_str()).collect();
    // The first one only checks the password.
    assert_eq!(targets[0], "/token?service=demo-registry");
    let scoped = &targets[1..];
    assert!(scoped.iter().all(|target| target.starts_with("/token?service=demo-registry&scope=r")), "{targets:?}");
    assert!(targets.iter().any(|target| target.ends_with("scope=repository%3Aapp%3Apull")), "{targets:?}");
    let bearer = |heard: &&Heard| heard.header("authorization").is_some_and(|value| value.starts_with("Bearer "));
    assert!(heard.iter().filter(bearer).count() >= 5, "{heard:#?}");
}

#[tokio::test]
async fn an_identity_token_is_posted_with_these_headers_and_no_others() {
    let registry = registry().await;
    let front = Plan::before(registry.address())
        .changing(|heard, reply| {
            if heard.target == "/token" {
                reply.status = 200;
                reply.set_body(r#"{"access_token":"not-the-registry's"}"#);
            }
        })
        .start()
        .await;
    registry.require(Auth::bearer_from(&format!("http://{}/token", front.address()), &TokenService::new()));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let host = front.address().to_string();
    std::fs::write(&config, format!(r#"{{"auths":{{"{host}":{{"identitytoken":"hunter2"}}}}}}"#)).unwrap();
    let entry = format!("url: 'http://{host}', docker_config: config.json");
    let outcome = crate::testkit::sweep_command::sweep_of(folder.path(), &entry).run().await;
    crate::testkit::sweep_command::assert_trouble(&outcome, "unauthorized", "");
    crate::testkit::sweep_command::assert_silent(&outcome, folder.path(), &["hunter2", "not-the-registry's"]);
    let heard = front.heard();
    let posted: Vec<_> = heard.iter().filter(|heard| heard.target == "/token").collect();
    assert!(!posted.is_empty());
    for posted in posted {
        assert_eq!(posted.method, "POST");
        let form = "grant_type=refresh_token&client_id=registry-integrity-probe&refresh_token=hunter2\
                    &scope=registry%3Acatalog%3A*&service=demo-registry";
        assert_eq!(posted.body, form);
        let length = form.len().to_string();
        let expected = [
            ("accept", "application/json"),
            ("accept-encoding", "gzip"),
            ("content-length", length.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        assert_eq!(posted.headers, headers(&host, &expected));
    }
}

#[tokio::test]
async fn an_ipv6_address_is_a_host_in_brackets() {
    let registry = registry().await;
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
        skipped("this machine has no IPv6");
        return;
    };
    let front = Plan::before(registry.address()).on(listener).start().await;
    let heard = swept(&front, |_| {}).await;
    let host = format!("[::1]:{}", front.address().port());
    assert!(heard.iter().all(|heard| heard.header("host") == Some(&host)), "{heard:#?}");
}

#[tokio::test]
async fn paths_are_the_prefix_and_the_names_as_they_are() {
    const NAME: &str = "a0/b.c_d__e-f---g/9z";
    const TAG: &str = "_A.b-C_9";
    let registry = Registry::start().await.unwrap();
    registry.push(&format!("{NAME}:{TAG}"), &app());
    for (prefix, written) in [("", ""), ("", "/"), ("/a/Prefix-1.0~x", "/a/Prefix-1.0~x"), ("/p", "/p/")] {
        let front = Plan::before(registry.address()).under(prefix).start().await;
        let url = format!("http://{}{written}", front.address());
        assert_intact(&Sweeping::over(&url).sweep().await, written);
        let heard: Vec<_> = front.heard().into_iter().map(|heard| heard.target).collect();
        let mut expected = vec![
            format!("{prefix}/v2/_catalog?n=1000"),
            format!("{prefix}/v2/{NAME}/tags/list?n=1000"),
            format!("{prefix}/v2/{NAME}/manifests/{TAG}"),
        ];
        expected.extend(
            app().configs().chain(app().layers()).map(|part| format!("{prefix}/v2/{NAME}/blobs/{}", part.digest)),
        );
        assert!(expected.iter().all(|target| heard.contains(target)), "{expected:#?} {heard:#?}");
        assert!(heard.iter().all(|target| target.starts_with(&format!("{prefix}/v2/"))), "{heard:#?}");
        assert!(heard.iter().all(|target| !target.split('?').next().unwrap().contains('%')), "{heard:#?}");
    }
}

#[tokio::test]
async fn names_of_one_character_are_asked_for_too() {
    let registry = Registry::start().await.unwrap();
    registry.push("a:b", &Image::manifest().named("short"));
    let front = Plan::before(registry.address()).start().await;
    let heard = swept(&front, |_| {}).await;
    assert!(heard.iter().any(|heard| heard.target == "/v2/a/manifests/b"), "{heard:#?}");
}

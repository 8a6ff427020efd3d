//! In which form answers come: what a client has already, compression, methods and paths.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;
use registry_integrity_probe::report::Reason;
use registry_integrity_probe::state::State;

use super::service::{Service, Watched};
use crate::testkit::raw_http::RawAnswer;
use crate::testkit::sample::{bad_layer, broken, intact, nine_o_clock, target};

const VIEWS: [&str; 5] = [
    "/api/v1/registries",
    "/api/v1/findings",
    "/api/v1/findings?state=resolved",
    "/api/v1/sweeps",
    "/api/v1/openapi.json",
];

/// With so many failures that every answer about them is worth compressing.
async fn service() -> Service {
    let state = State::new(&[target("a")]);
    let layers = (0..50).map(|n| bad_layer(&format!("{n}"), Reason::Missing, &["app:1"])).collect();
    let a = state.registry("a").unwrap();
    a.finish_sweep(broken("a", layers), nine_o_clock());
    a.finish_sweep(
        broken("a", vec![bad_layer("x", Reason::Missing, &["app:1"])]),
        nine_o_clock() + Duration::from_secs(900),
    );
    Service::of(state).await
}

#[tokio::test]
async fn a_client_that_has_an_answer_is_not_sent_it_again() {
    let service = service().await;
    for path in VIEWS {
        let answer = service.ask("GET", path, &[]).await;
        let etag = answer.header("etag").unwrap_or_else(|| panic!("{path}: {answer:?}")).to_string();
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"), "{path}");
        for sent in [etag.clone(), format!("\"x\", {etag}"), etag.replace("W/", ""), "*".to_string()] {
            let unchanged = service.ask("GET", path, &[("if-none-match", &sent), ("accept-encoding", "gzip")]).await;
            assert_eq!((unchanged.status, unchanged.body.len()), (Some(304), 0), "{path} {sent}");
            assert_eq!(unchanged.header("etag"), Some(etag.as_str()), "{path}");
            assert_eq!(unchanged.header("cache-control"), Some("private, no-cache"), "{path}");
        }
        let other = service.ask("GET", path, &[("if-none-match", "W/\"0\"")]).await;
        assert_eq!((other.status, &other.body), (Some(200), &answer.body), "{path}");
    }
    let etag = async || service.ask("GET", "/api/v1/findings", &[]).await.header("etag").unwrap().to_string();
    let before = etag().await;
    service.state.registry("a").unwrap().finish_sweep(intact("a"), nine_o_clock() + Duration::from_secs(1800));
    assert_ne!(etag().await, before);
    let refused = service.ask("GET", "/api/v1/findings?limit=0", &[("if-none-match", "*")]).await;
    assert_eq!((refused.status, refused.header("cache-control")), (Some(400), Some("no-store")));
    let page = service.ask("GET", "/", &[]).await;
    assert_eq!((page.status, page.header("cache-control")), (Some(200), Some("no-store")));
}

/// The body behind its transfer coding.
fn body(answer: &RawAnswer) -> Vec<u8> {
    if answer.header("transfer-encoding") != Some("chunked") {
        return answer.body.to_vec();
    }
    let (mut rest, mut body) = (&answer.body[..], Vec::new());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("the length of a chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 2 + length + 2..];
    }
}

#[tokio::test]
async fn answers_go_compressed_to_those_who_want_that() {
    let service = service().await;
    for path in
        ["/api/v1/findings?state=resolved", "/api/v1/findings?state=resolved", "/api/v1/openapi.json", "/", "/metrics"]
    {
        let plain = service.ask("GET", path, &[("accept-encoding", "gzip;q=0, deflate")]).await;
        let packed = service.ask("GET", path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (Some(200), None), "{path}");
        assert_eq!((packed.status, packed.header("content-encoding")), (Some(200), Some("gzip")), "{path}");
        assert_eq!(packed.header("content-type"), plain.header("content-type"), "{path}");
        for answer in [&plain, &packed] {
            let vary = answer.header("vary").unwrap_or_default().to_ascii_lowercase();
            assert!(vary.contains("accept-encoding"), "{path}: {answer:?}");
        }
        let compressed = body(&packed);
        assert!(compressed.len() * 2 < plain.body.len(), "{path}: {} of {}", compressed.len(), plain.body.len());
        let mut text = String::new();
        GzDecoder::new(&compressed[..]).read_to_string(&mut text).unwrap();
        // The page tells how long ago something was, the metrics what the process uses.
        let head = if path.starts_with("/api") { text.len() } else { 200 };
        assert_eq!(text[..head], plain.text()[..head], "{path}");
    }
    let short = service.ask("GET", "/-/healthy", &[("accept-encoding", "gzip")]).await;
    assert_eq!(short.header("content-encoding"), None);
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let service = service().await;
    for path in VIEWS {
        let (get, head) = (service.ask("GET", path, &[]).await, service.ask("HEAD", path, &[]).await);
        assert_eq!((head.status, head.body.len()), (Some(200), 0), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control", "vary"] {
            assert!(get.header(name).is_some(), "{path} {name}");
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_of_the_api_are_told_in_json() {
    let service = service().await;
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/findings",
        "/api/v1/findings/",
        "/api/%00/%FF",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = service.ask(method, path, &[]).await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (Some(404), Some("application/json")),
                "{method} {path}"
            );
        }
        let (status, why) = service.refused(path).await;
        assert_eq!((status, why.contains("openapi.json")), (404, true), "{path}");
    }
    for path in VIEWS.into_iter().chain(["/api/v1/images"]) {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            let answer = service.ask(method, path, &[]).await;
            assert_eq!((answer.status, answer.header("allow")), (Some(405), Some("GET,HEAD")), "{method} {path}");
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert!(body["error"].as_str().unwrap().contains(method), "{method} {path}");
        }
    }
    let sweep = service.ask("GET", "/api/v1/registries/a/sweep", &[]).await;
    assert_eq!((sweep.status, sweep.header("allow")), (Some(405), Some("POST")), "asking changes nothing");
    let elsewhere = service.ask("GET", "/nothing", &[]).await;
    assert_eq!((elsewhere.status, elsewhere.text().as_str()), (Some(404), "404 page not found\n"));
}

#[tokio::test]
async fn foreign_text_stays_text() {
    let watched = Watched::demo().await;
    let path = "/api/v1/images?registry=%3Cscript%3Ealert(1)%3C%2Fscript%3E%0D%0Ax:1&reference=a:1";
    let answer = watched.service.ask("GET", path, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (Some(404), Some("application/json")));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    assert!(answer.header("x").is_none() && !answer.text().contains('\n'), "{answer:?}");
}

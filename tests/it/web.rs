//! The web interface over real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::report::{Cause, Reason, Report};
use registry_integrity_probe::state::State;
use registry_integrity_probe::web::{Control, Limits, SweepRefused, Web, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::testkit::sample::{
    bad_layer, broken, failed, intact, nine_o_clock, orphan_child, partial, target, unjudged_layer,
};

const A_WHILE: Duration = Duration::from_secs(10);

struct Service {
    addresses: Vec<SocketAddr>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Service {
    async fn start(web: Web) -> Self {
        Self::start_within(web, Limits::default(), 1).await
    }

    async fn start_within(web: Web, limits: Limits, count: usize) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..count {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listeners, web.into_router(), limits, shutdown.clone()));
        Self { addresses, shutdown, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = self.connect().await;
        let request = format!("{method} {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        answer(stream).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    async fn post(&self, path: &str) -> Answer {
        self.ask("POST", path, "").await
    }
}

async fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    timeout(A_WHILE, stream.read_to_string(&mut text)).await.expect("an answer in time").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_string(), body: body.to_string() }
}

fn web_of(state: State) -> Web {
    Web { state: Arc::new(state), lifecycle: None, external_url: None }
}

fn state_of(reports: Vec<Report>) -> State {
    let targets: Vec<_> = reports.iter().map(|report| target(&report.registry)).collect();
    let state = State::new(&targets);
    for report in reports {
        state.registry(&report.registry.clone()).unwrap().finish_sweep(report, nine_o_clock());
    }
    state
}

#[tokio::test]
async fn metrics_and_health() {
    let service = Service::start(web_of(state_of(vec![intact("a")]))).await;
    let metrics = service.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.body.contains("registry_integrity_catalog_accessible{registry=\"a\"} 1\n"), "{}", metrics.body);
    assert!(metrics.body.contains("\nprocess_open_fds "), "{}", metrics.body);
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
    assert_eq!(service.ask("HEAD", "/metrics", "").await.body, "");
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let service = Service::start(web_of(State::default())).await;
    for path in ["/nothing", "/api/v1/", "/api/v2/registries", "/metrics/"] {
        assert_eq!(service.get(path).await.status, 404, "{path}");
    }
    for path in ["/", "/metrics", "/api/v1/findings"] {
        let answer = service.post(path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")), "{path}");
    }
    for path in ["/-/reload", "/api/v1/registries/a/sweep"] {
        assert_eq!(service.get(path).await.status, 405, "{path}");
    }
}

#[derive(Default)]
struct Recorder {
    swept: Mutex<Vec<String>>,
    refuse_reload: bool,
    /// Told when a reload began, and awaited before it ends.
    held: Option<(Notify, Notify)>,
}

impl Control for Recorder {
    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if let Some((began, release)) = &self.held {
                began.notify_one();
                release.notified().await;
            }
            if self.refuse_reload { Err("line 3: no such key".to_string()) } else { Ok(()) }
        })
    }

    fn sweep(&self, registry: &str) -> Result<(), SweepRefused> {
        match registry {
            "unknown" => Err(SweepRefused::UnknownRegistry),
            "busy" => Err(SweepRefused::AlreadySweeping),
            _ => {
                self.swept.lock().unwrap().push(registry.to_string());
                Ok(())
            }
        }
    }
}

fn controlled_by(recorder: &Arc<Recorder>) -> Web {
    let lifecycle: Arc<dyn Control> = Arc::clone(recorder) as _;
    Web { lifecycle: Some(lifecycle), ..web_of(State::default()) }
}

#[tokio::test]
async fn lifecycle_is_refused_unless_it_is_enabled() {
    let service = Service::start(web_of(state_of(vec![intact("a")]))).await;
    let reload = service.post("/-/reload").await;
    assert_eq!(reload.status, 403);
    assert!(reload.body.contains("--web.enable-lifecycle"), "{}", reload.body);
    let sweep = service.post("/api/v1/registries/a/sweep").await;
    assert_eq!(sweep.status, 403);
    assert!(sweep.json()["error"].as_str().unwrap().contains("--web.enable-lifecycle"));
}

#[tokio::test]
async fn lifecycle_reloads_and_sweeps() {
    let recorder = Arc::new(Recorder::default());
    let service = Service::start(controlled_by(&recorder)).await;
    assert_eq!(service.post("/-/reload").await.status, 200);
    assert_eq!(service.post("/api/v1/registries/registry.example.com:5050/sweep").await.status, 202);
    assert_eq!(service.post("/api/v1/registries/a%2Fb%20c/sweep").await.status, 202);
    assert_eq!(*recorder.swept.lock().unwrap(), ["registry.example.com:5050", "a/b c"]);
    for (name, status) in [("unknown", 404), ("busy", 409)] {
        let answer = service.post(&format!("/api/v1/registries/{name}/sweep")).await;
        assert_eq!(answer.status, status, "{name}");
        assert!(answer.json()["error"].is_string());
    }

    let service =
        Service::start(controlled_by(&Arc::new(Recorder { refuse_reload: true, ..Recorder::default() }))).await;
    let refused = service.post("/-/reload").await;
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("line 3: no such key"), "{}", refused.body);
}

#[tokio::test]
async fn another_sites_form_cannot_start_a_sweep() {
    let recorder = Arc::new(Recorder::default());
    let service = Service::start(controlled_by(&recorder)).await;
    let path = "/api/v1/registries/a/sweep";
    assert_eq!(service.ask("POST", path, "sec-fetch-site: cross-site\r\n").await.status, 403);
    assert!(recorder.swept.lock().unwrap().is_empty());
    assert_eq!(service.ask("POST", path, "sec-fetch-site: same-origin\r\n").await.status, 202);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_waited_for() {
    let service = Service::start(controlled_by(&Arc::new(Recorder::default()))).await;
    let answer = service.ask("POST", "/-/reload", "content-length: 1000000000000\r\n").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn registries_say_null_for_what_is_not_known() {
    let state = State::new(&[target("a"), target("b")]);
    let a = state.registry("a").unwrap();
    a.finish_sweep(intact("a"), nine_o_clock() + Duration::from_secs(2));
    a.begin_sweep(nine_o_clock() + Duration::from_secs(900), Arc::default());
    let service = Service::start(web_of(state)).await;
    let answer = service.get("/api/v1/registries").await.json();
    assert_eq!(
        answer,
        json!({"registries": [
            {
                "name": "a", "url": "https://registry.example.com:5050", "mode": "authoritative",
                "interval_seconds": 900.0, "sweeping_since": "2026-04-19T09:15:00Z",
                "last_sweep": "2026-04-19T09:00:02Z", "last_success": "2026-04-19T09:00:02Z",
                "started_at": "2026-04-19T09:00:00Z", "duration_seconds": 1.9, "outcome": "complete",
                "catalog_accessible": true, "empty": false, "repositories": 22,
                "images": {"intact": 62, "broken": 0, "unverified": 0},
                "objects": {"manifest": 63, "child": 118, "config": 120, "layer": 840},
                "requests": 1210, "received_bytes": 340_112, "failures": 0, "unverified": 0,
            },
            {
                "name": "b", "url": "https://registry.example.com:5050", "mode": "authoritative",
                "interval_seconds": 900.0, "sweeping_since": null, "last_sweep": null, "last_success": null,
                "started_at": null, "duration_seconds": null, "outcome": null, "catalog_accessible": null, "empty": null,
                "repositories": null, "images": null, "objects": null, "requests": null, "received_bytes": null,
                "failures": null, "unverified": null,
            },
        ]})
    );
}

#[tokio::test]
async fn findings_are_the_reports_own_and_filters_narrow_them() {
    let layer = bad_layer("x", Reason::Unreadable, &["tools/make:1"]);
    let state = state_of(vec![
        broken("a", vec![orphan_child(), layer]),
        partial("b", vec![unjudged_layer("y", Cause::Timeout, &["app:1"])]),
        failed("c"),
    ]);
    let service = Service::start(web_of(state)).await;
    let all = service.get("/api/v1/findings").await.json();
    let (index, child) = (Digest::sha256(b"index").to_string(), Digest::sha256(b"child").to_string());
    assert_eq!(
        all["failures"][0],
        json!({
            "registry": "a", "repository": "infra-ci", "digest": child, "kind": "child", "reason": "missing",
            "media_type": "application/vnd.oci.image.manifest.v1+json", "platform": "linux/amd64",
            "attestation": false, "images": ["infra-ci:5319f03e", "infra-ci:latest"],
            "path": ["infra-ci:5319f03e", index, child],
            "detail": "HEAD 404 MANIFEST_UNKNOWN, confirmed 3 times in 4.1s",
            "first_seen": "2026-04-19T09:00:01Z", "last_seen": "2026-04-19T09:00:05Z",
        })
    );
    assert_eq!(
        all["unverified"],
        json!([
            {
                "registry": "b", "repository": "app", "reference": Digest::sha256(b"y").to_string(), "kind": "layer",
                "cause": "timeout", "images": ["app:1"], "detail": "HEAD timed out after 30s, 4 times",
            },
            {
                "registry": "c", "repository": null, "reference": "_catalog", "kind": null, "cause": "unreachable",
                "images": [], "detail": "GET /v2/_catalog: connection refused",
            },
        ])
    );
    for (query, failures, unverified) in [
        ("", 2, 2),
        ("?registry=&repository=&reason=", 2, 2),
        ("?registry=a", 2, 0),
        ("?registry=b", 0, 1),
        ("?registry=nobody", 0, 0),
        ("?repository=tools%2Fmake", 1, 0),
        ("?repository=app", 0, 1),
        ("?reason=missing", 1, 0),
        ("?reason=malformed", 0, 0),
        ("?registry=a&repository=infra-ci&reason=unreadable", 0, 0),
    ] {
        let found = service.get(&format!("/api/v1/findings{query}")).await.json();
        let counts = (found["failures"].as_array().unwrap().len(), found["unverified"].as_array().unwrap().len());
        assert_eq!(counts, (failures, unverified), "{query}");
    }
    for query in ["?reason=gone", "?reasons=missing", "?registry=a&registry=b"] {
        let answer = service.get(&format!("/api/v1/findings{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["error"].is_string(), "{query}");
    }
}

fn headline(page: &Answer) -> &str {
    let (_, rest) = page.body.split_once("<h1>").expect("a headline");
    rest.split_once("</h1>").unwrap().0
}

#[tokio::test]
async fn the_page_answers_for_every_state() {
    let fresh = |state: &State, report: Report| {
        state.registry(&report.registry.clone()).unwrap().finish_sweep(report, SystemTime::now());
    };
    let nothing = State::default();
    let unknown = State::new(&[target("a"), target("b")]);
    fresh(&unknown, intact("a"));
    let whole = State::new(&[target("a")]);
    fresh(&whole, intact("a"));
    let old = state_of(vec![intact("a")]);
    let unjudged = State::new(&[target("a")]);
    fresh(&unjudged, partial("a", vec![unjudged_layer("y", Cause::Timeout, &["app:1"])]));
    let down = State::new(&[target("a")]);
    fresh(&down, failed("a"));
    let bad = State::new(&[target("a"), target("b")]);
    fresh(&bad, broken("a", vec![orphan_child()]));
    for (state, expected, word) in [
        (nothing, "No registry is configured", "unknown"),
        (unknown, "First sweep in progress", "unknown"),
        (whole, "Everything is intact", "intact"),
        (old, "Everything was intact, but the result is out of date", "stale"),
        (unjudged, "Not everything could be verified", "unverified"),
        (down, "Not everything could be verified", "unverified"),
        (bad, "2 images broken", "broken"),
    ] {
        let page = Service::start(web_of(state)).await.get("/").await;
        assert_eq!(page.status, 200);
        assert_eq!(headline(&page), expected, "{}", page.body);
        assert!(page.body.contains(&format!("<header class=\"{word}\">")), "{expected}: {}", page.body);
    }
}

#[tokio::test]
async fn the_page_shows_what_is_broken_and_what_is_unknown() {
    let mut report = broken("a", vec![orphan_child()]);
    report.unverified = partial("a", vec![unjudged_layer("y", Cause::RateLimited, &["app:1"])]).unverified;
    let state = State::new(&[target("a"), target("never asked")]);
    state.registry("a").unwrap().finish_sweep(report, SystemTime::now());
    let page = Service::start(web_of(state)).await.get("/").await;
    let child = Digest::sha256(b"child").to_string();
    for part in [
        "Waiting for first results from: never asked.",
        child.as_str(),
        "infra-ci:latest",
        "linux/amd64",
        "HEAD 404 MANIFEST_UNKNOWN",
        "2026-04-19T09:00:01Z",
        "rate_limited",
        "62 intact, 2 broken, 0 unverified",
        "1141 in 22 repositories",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
}

#[tokio::test]
async fn an_unread_registry_is_not_shown_as_an_empty_one() {
    let page = Service::start(web_of(state_of(vec![failed("a")]))).await.get("/").await;
    assert!(!page.body.contains("0 intact"), "{}", page.body);
    assert!(!page.body.contains("0 repositories"), "{}", page.body);
    assert!(page.body.contains("unreachable"), "{}", page.body);
}

#[tokio::test]
async fn foreign_text_cannot_become_markup() {
    let mut failure = orphan_child();
    failure.detail = "<script>alert(1)</script>".to_string();
    failure.platform = Some("<img src=x>".to_string());
    let mut report = broken("a", vec![failure]);
    report.unverified = partial("a", vec![unjudged_layer("y", Cause::Protocol, &[])]).unverified;
    report.unverified[0].repository = Some("\"><b>bold".to_string());
    let page = Service::start(web_of(state_of(vec![report]))).await.get("/").await;
    for markup in ["<script>", "<img", "<b>"] {
        assert!(!page.body.contains(markup), "{markup}: {}", page.body);
    }
}

#[tokio::test]
async fn content_security_policy_allows_own_content_only() {
    let service = Service::start(web_of(State::default())).await;
    let page = service.get("/").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    for active in ["<script>", "<style", "style=", "onclick", "http://", "https://", "@import", "url("] {
        assert!(!page.body.contains(active), "{active}");
    }
    for (name, kind) in [("page.css?", "text/css"), ("page.js?", "text/javascript"), ("icon.svg?", "image/svg+xml")] {
        let address = page.body.split('"').find(|part| part.starts_with(name)).unwrap();
        let answer = service.get(&format!("/{address}")).await;
        assert_eq!(answer.status, 200, "{address}");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{address}: {}", answer.head);
        assert!(answer.header("cache-control").unwrap().contains("immutable"), "{}", answer.head);
    }
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn long_list_is_truncated_only_on_the_page() {
    let entries: Vec<_> = (0..507).map(|n| unjudged_layer(&n.to_string(), Cause::ServerError, &["app:1"])).collect();
    let service = Service::start(web_of(state_of(vec![partial("a", entries)]))).await;
    let page = service.get("/").await;
    assert_eq!(page.body.matches(">server_error<").count(), 8);
    assert!(page.body.contains("499 more. <a href=\"search?show=unverified\">"), "{}", page.body);
    let last = service.get("/search?show=unverified&page=11").await;
    assert_eq!(last.body.matches(">server_error<").count(), 7);
    assert!(last.body.contains("501 to 507 of 507"), "{}", last.body);
    assert_eq!(service.get("/api/v1/findings").await.json()["unverified"].as_array().unwrap().len(), 507);
}

#[tokio::test]
async fn routes_lie_below_the_external_url() {
    let external_url = Some("https://tools.example.com/probe/".parse().unwrap());
    let service = Service::start(Web { external_url, ..web_of(State::default()) }).await;
    for path in ["/probe/", "/probe/metrics", "/probe/-/healthy", "/probe/api/v1/findings"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
    for path in ["/", "/probe"] {
        let answer = service.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some("/probe/")), "{path}");
    }
    assert_eq!(service.get("/metrics").await.status, 404);
}

#[tokio::test]
async fn every_listener_serves_the_same() {
    let service = Service::start_within(web_of(State::default()), Limits::default(), 2).await;
    for address in &service.addresses {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n").await.unwrap();
        assert_eq!(answer(stream).await.status, 200);
    }
}

/// Sends a request whose answer is held back, and returns once it is under way.
async fn begin_held_reload(service: &Service, held: &(Notify, Notify)) -> TcpStream {
    let mut stream = service.connect().await;
    stream.write_all(b"POST /-/reload HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    timeout(A_WHILE, held.0.notified()).await.expect("the reload begins");
    stream
}

#[tokio::test]
async fn shutdown_waits_for_no_idle_and_no_slow_client() {
    let recorder = Arc::new(Recorder { held: Some(Default::default()), ..Recorder::default() });
    let limits = Limits { shutdown: Duration::from_millis(200), ..Limits::default() };
    let service = Service::start_within(controlled_by(&recorder), limits, 1).await;
    let mut idle = service.connect().await;
    idle.write_all(b"GET /-/ready HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    idle.read_u8().await.unwrap();
    let mut half = service.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    let _stuck = begin_held_reload(&service, recorder.held.as_ref().unwrap()).await;
    let begun = Instant::now();
    service.shutdown.cancel();
    timeout(A_WHILE, service.task).await.expect("an end in time").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(service.addresses[0]).await.is_err());
}

#[tokio::test]
async fn shutdown_lets_an_answer_under_way_end() {
    let recorder = Arc::new(Recorder { held: Some(Default::default()), ..Recorder::default() });
    let held = recorder.held.as_ref().unwrap();
    let limits = Limits { shutdown: A_WHILE, ..Limits::default() };
    let service = Service::start_within(controlled_by(&recorder), limits, 1).await;
    let stream = begin_held_reload(&service, held).await;
    service.shutdown.cancel();
    held.1.notify_one();
    assert_eq!(answer(stream).await.status, 200);
    timeout(A_WHILE, service.task).await.expect("an end in time").unwrap();
}

#[tokio::test]
async fn slow_and_idle_clients_are_dropped() {
    let limits = Limits { header_read: Duration::from_millis(200), ..Limits::default() };
    let service = Service::start_within(web_of(State::default()), limits, 1).await;
    let silent = service.connect().await;
    let mut dripping = service.connect().await;
    dripping.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await.unwrap();
    for mut stream in [silent, dripping] {
        let mut rest = Vec::new();
        timeout(A_WHILE, stream.read_to_end(&mut rest)).await.expect("the connection is closed").unwrap();
    }
}

#[tokio::test]
async fn a_connection_too_many_waits_for_room() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let service = Service::start_within(web_of(State::default()), limits, 1).await;
    let mut first = service.connect().await;
    first.write_all(b"GET /-/ready HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    first.read_u8().await.unwrap();
    let mut second = std::pin::pin!(service.get("/-/ready"));
    assert!(timeout(Duration::from_millis(100), second.as_mut()).await.is_err(), "answered without room");
    drop(first);
    assert_eq!(timeout(A_WHILE, second).await.expect("room").status, 200);
}

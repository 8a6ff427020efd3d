//! Over how many connections a sweep asks, by which version of HTTP, and what becomes of it when they end.

mod identity;
mod reuse;
mod unreachable;
mod wire;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Version;
use registry_integrity_probe::config::Target;
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::report::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::testkit::front::{Front, Heard, Plan, Reply};
use crate::testkit::reports::assert_intact;
use crate::testkit::sweep_command::without_retries;
use crate::testkit::sweeping::Sweeping;
use crate::testkit::tls::PrivateCa;

/// A registry of twenty images, so that everything is asked for at once.
async fn large() -> Registry {
    let registry = Registry::start().await.unwrap();
    for tag in 0..20 {
        registry.push(&format!("app:{tag}"), &Image::manifest().named(&tag.to_string()));
    }
    registry
}

fn through(front: &Front, ca: &PrivateCa) -> Sweeping {
    let ca_file = ca.ca_file();
    Sweeping::over(&format!("https://localhost:{}", front.address().port()))
        .with(move |target| target.tls.ca_file = Some(ca_file))
}

/// How many requests came by each connection.
fn by_connection(front: &Front) -> BTreeMap<usize, usize> {
    let mut by_connection = BTreeMap::new();
    for heard in front.heard() {
        *by_connection.entry(heard.connection).or_default() += 1;
    }
    by_connection
}

#[tokio::test]
async fn a_whole_sweep_goes_over_one_connection_of_http_2() {
    let (registry, ca) = (large().await, PrivateCa::new());
    let acceptor = ca.server(&["localhost"]).acceptor(&[b"h2", b"http/1.1"]);
    let front = Plan::before(registry.address()).with_tls(acceptor).start().await;
    let report = through(&front, &ca).with(without_retries).sweep().await;
    assert_intact(&report, "HTTP/2");
    let heard = front.heard();
    assert!(heard.len() > 80, "{} requests", heard.len());
    assert_eq!(report.requests, heard.len() as u64);
    assert_eq!(front.connections(), 1);
    assert!(heard.iter().all(|heard| heard.version == Version::HTTP_2));
    let authority = format!("localhost:{}", front.address().port());
    assert!(heard.iter().all(|heard| heard.authority.as_ref() == Some(&authority)), "{:?}", heard[0]);
    assert!(heard.iter().all(|heard| heard.header("host").is_none()), "{:?}", heard[0]);
}

#[tokio::test]
async fn connections_of_http_1_behind_tls_are_used_again() {
    let (registry, ca) = (large().await, PrivateCa::new());
    for protocols in [&[b"http/1.1".as_slice()][..], &[]] {
        let acceptor = ca.server(&["localhost"]).acceptor(protocols);
        let front = Plan::before(registry.address()).with_tls(acceptor).start().await;
        let report = through(&front, &ca).with(without_retries).with(|target| target.concurrency = 4).sweep().await;
        assert_intact(&report, "HTTP/1.1");
        let heard = front.heard();
        assert!(heard.len() > 80 && heard.iter().all(|heard| heard.version == Version::HTTP_11), "{heard:#?}");
        assert!(front.connections() <= 4, "{:?}", by_connection(&front));
    }
}

#[tokio::test]
async fn connections_that_are_said_to_be_closed_are_not_used_again() {
    let registry = large().await;
    let front = Plan::before(registry.address()).changing(|_, reply| reply.set("connection", "close")).start().await;
    let report = Sweeping::over(&format!("http://{}", front.address())).with(without_retries).sweep().await;
    assert_intact(&report, "Connection: close");
    assert!(by_connection(&front).values().all(|&requests| requests == 1), "{:?}", by_connection(&front));
    assert_eq!(report.requests, front.heard().len() as u64);
}

/// Answers one request a connection and ends it without a word.
async fn ends_after_each_answer(registry: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer_once(client, registry));
        }
    });
    (address, connections)
}

async fn answer_once(mut client: TcpStream, registry: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(client.read_buf(&mut head).await, Ok(read) if read > 0) {
            return;
        }
    }
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    let mut server = TcpStream::connect(registry).await.unwrap();
    server.write_all(&head).await.unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.unwrap();
    // A client that has gone is no matter of the test.
    let _ = client.write_all(&answer).await;
}

#[tokio::test]
async fn connections_that_end_between_two_requests_are_no_trouble() {
    let registry = crate::testkit::in_process::registry().await;
    let (address, connections) = ends_after_each_answer(registry.address()).await;
    // Far enough apart for the end of a connection to be seen before the next request.
    let slowly = |target: &mut Target| (target.rate_limit, target.concurrency) = (Some(20.0), 1);
    let report = Sweeping::over(&format!("http://{address}")).with(without_retries).with(slowly).sweep().await;
    assert_intact(&report, "closed while idle");
    assert_eq!(connections.load(Ordering::SeqCst) as u64, report.requests);
}

#[tokio::test]
async fn connections_that_end_while_many_requests_wait_cost_no_verdict() {
    let registry = large().await;
    let (address, _) = ends_after_each_answer(registry.address()).await;
    let report = Sweeping::over(&format!("http://{address}")).sweep().await;
    assert_intact(&report, "closed at once");
}

#[tokio::test]
async fn http_2_goaway_opens_another_connection() {
    let (registry, ca) = (large().await, PrivateCa::new());
    let acceptor = ca.server(&["localhost"]).acceptor(&[b"h2"]);
    let front = Plan::before(registry.address()).with_tls(acceptor).going_away_after(10).start().await;
    let report = through(&front, &ca).sweep().await;
    assert_intact(&report, "GOAWAY");
    assert!(front.connections() > 1, "{:?}", by_connection(&front));
    assert!(front.heard().iter().all(|heard| heard.version == Version::HTTP_2));
}

/// HTTP/2's way to say that nothing more is going to come, also in the middle of a body.
#[tokio::test]
async fn http_2_reset_without_error_is_unreadable() {
    let (registry, ca) = (large().await, PrivateCa::new());
    for (declares_length, of_manifests) in [(true, true), (false, true), (true, false), (false, false)] {
        let acceptor = ca.server(&["localhost"]).acceptor(&[b"h2"]);
        let front = Plan::before(registry.address())
            .with_tls(acceptor)
            .changing(move |heard, reply| {
                let digest = Image::manifest().named("7");
                let meant = if of_manifests { digest.root() } else { digest.layers().next().unwrap() };
                if heard.method == "GET" && heard.target.ends_with(&meant.digest.to_string()) && reply.status < 300 {
                    let body = reply.body();
                    reply.pieces = vec![body[..body.len() / 2].to_vec().into()];
                    reply.is_reset_without_error = true;
                    if !declares_length {
                        reply.remove("content-length");
                    }
                }
            })
            .start()
            .await;
        let hashed = |target: &mut Target| target.evidence.content = Some(Duration::ZERO);
        let report = through(&front, &ca).with(hashed).sweep().await;
        let reasons: Vec<_> = report.failures.iter().map(|failure| failure.reason).collect();
        assert_eq!(reasons, [Reason::Unreadable], "{declares_length} {of_manifests}: {report:#?}");
        assert_eq!(report.unverified, []);
    }
}

/// A balancer that hands on connections leads each of them to one replica, of which every other lacks a layer.
fn lacks_a_layer(heard: &Heard, reply: &mut Reply) {
    let layer = Image::manifest().named("7").layers().next().unwrap().digest.clone();
    if heard.connection.is_multiple_of(2) && heard.target.ends_with(&layer.to_string()) {
        reply.status = 404;
        reply.remove("content-range");
        reply.set("content-type", "application/json");
        reply.set_body(r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#);
    }
}

#[tokio::test]
async fn a_replica_behind_one_connection_is_not_asked_for_all_answers() {
    let (registry, ca) = (large().await, PrivateCa::new());
    for protocol in [b"http/1.1".as_slice(), b"h2"] {
        let acceptor = ca.server(&["localhost"]).acceptor(&[protocol]);
        let front = Plan::before(registry.address()).with_tls(acceptor).changing(lacks_a_layer).start().await;
        let mut sweeping = through(&front, &ca).with(|target| target.concurrency = 1);
        let report = sweeping.sweep().await;
        assert_intact(&report, "one replica is stale");
        assert_eq!(sweeping.contradictions.total(), 1, "{:?}", by_connection(&front));
        assert_eq!(front.connections(), 2, "the suspicion, and what was asked after it");
    }
}

#[tokio::test]
async fn what_is_confirmed_of_many_objects_opens_few_connections() {
    let registry = large().await;
    for tag in 0..20 {
        let image = Image::manifest().named(&tag.to_string());
        image.layers().for_each(|layer| registry.remove_blob("app", &layer.digest));
    }
    let report = Sweeping::of(&registry).with(|target| target.confirm.delay = Duration::from_millis(200)).sweep().await;
    assert!(report.failures.len() >= 20, "{}", report.failures.len());
    // As many as are in flight, for the questions and for each round of confirmation.
    assert!(registry.connection_count() <= 3 * 32, "{}", registry.connection_count());
}

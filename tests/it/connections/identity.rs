//! The probe's TLS identity belongs to the registry's own host, and connections survive what comes over them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::config::Target;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::{by_connection, large, through};
use crate::testkit::front::{Front, Plan};
use crate::testkit::reports::assert_intact;
use crate::testkit::sweep_command::without_retries;
use crate::testkit::sweeping::Sweeping;
use crate::testkit::tls::{PrivateCa, TlsFront};

const NAME: &str = "registry.internal";

fn named(target: &mut Target) {
    target.tls.server_name = Some(NAME.to_string());
}

#[tokio::test]
async fn server_name_is_sent_and_verified() {
    let (registry, ca) = (large().await, PrivateCa::new());
    let acceptor = ca.server(&[NAME]).acceptor(&[b"h2", b"http/1.1"]);
    let front = Plan::before(registry.address()).with_tls(acceptor).start().await;
    let report = through(&front, &ca).with(named).with(without_retries).sweep().await;
    assert_intact(&report, "the certificate is for the server name");
    let host = format!("localhost:{}", front.address().port());
    for heard in front.heard() {
        assert_eq!(heard.server_name.as_deref(), Some(NAME), "{heard:?}");
        assert_eq!(heard.header("host").or(heard.authority.as_deref()), Some(host.as_str()), "{heard:?}");
    }
    let report = through(&front, &ca).with(without_retries).sweep().await;
    assert_eq!(report.images.intact, 0, "the certificate is not for the URL's host");
}

#[tokio::test]
async fn server_name_and_client_certificate_stay_with_own_host() {
    let (registry, ca) = (large().await, PrivateCa::new());
    let client = ca.client("probe");
    // The storage is under another name, asks every client for a certificate and serves none that shows one.
    let storage =
        Plan::before(registry.address()).with_tls(ca.server(&["127.0.0.1"]).acceptor(&[b"http/1.1"])).start().await;
    let location = format!("https://127.0.0.1:{}", storage.address().port());
    let front = redirecting_blobs(&registry, &ca, &location).await;
    let report = through(&front, &ca)
        .with(named)
        .with(without_retries)
        .with(move |target| {
            target.tls.cert_file = Some(client.cert_file);
            target.tls.key_file = Some(client.key_file);
        })
        .sweep()
        .await;
    assert_intact(&report, "blobs lie on another host");
    let heard = storage.heard();
    assert!(!heard.is_empty());
    assert!(heard.iter().all(|heard| heard.server_name.as_deref() != Some(NAME)), "{heard:#?}");

    let (ca, other) = (PrivateCa::new(), registry);
    let (own, foreign) = (ca.client("probe"), ca.server(&["127.0.0.1"]));
    let storage = TlsFront::start_for_clients_of(&ca, other.address(), &foreign).await;
    let front = redirecting_blobs(&other, &ca, &storage.url("127.0.0.1")).await;
    let report = through(&front, &ca)
        .with(named)
        .with(without_retries)
        .with(move |target| {
            target.tls.cert_file = Some(own.cert_file);
            target.tls.key_file = Some(own.key_file);
        })
        .sweep()
        .await;
    assert_eq!(report.images.intact, 0, "a storage on another host was shown the client certificate");
}

/// A front for the server name that redirects every blob to another host.
async fn redirecting_blobs(
    registry: &registry_integrity_probe::demo::Registry,
    ca: &PrivateCa,
    location: &str,
) -> Front {
    let location = location.to_string();
    Plan::before(registry.address())
        .with_tls(ca.server(&[NAME]).acceptor(&[b"http/1.1"]))
        .changing(move |heard, reply| {
            if heard.is_of_blob() {
                reply.status = 307;
                reply.set("location", format!("{location}{}", heard.target));
                reply.set_body("<a>elsewhere</a>");
            }
        })
        .start()
        .await
}

#[tokio::test]
async fn the_body_of_a_redirect_is_drained() {
    let (registry, storage) = (large().await, large().await);
    let location = storage.url().to_string();
    let front = Plan::before(registry.address())
        .changing(move |heard, reply| {
            if heard.is_of_blob() {
                reply.status = 307;
                reply.set("location", format!("{}{}", location.trim_end_matches('/'), heard.target));
                reply.set_body("<a>elsewhere</a>");
            }
        })
        .start()
        .await;
    let sweeping = Sweeping::over(&format!("http://{}", front.address()));
    let report = sweeping.with(without_retries).with(|target| target.concurrency = 1).sweep().await;
    assert_intact(&report, "blobs are redirected");
    assert_eq!(front.connections(), 1, "{:?}", by_connection(&front));
}

#[tokio::test]
async fn a_hanging_http_2_connection_is_not_reused() {
    const BEFORE_IT_HANGS: usize = 5;
    let (registry, ca) = (large().await, PrivateCa::new());
    let acceptor = ca.server(&["localhost"]).acceptor(&[b"h2"]);
    let front = Arc::new(Plan::before(registry.address()).with_tls(acceptor).start().await);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = Arc::clone(&front);
    let proxy = tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((mut client, _)) = listener.accept().await {
            let (behind, hangs) = (Arc::clone(&behind), std::mem::replace(&mut is_first, false));
            tokio::spawn(async move {
                let mut server = TcpStream::connect(behind.address()).await.unwrap();
                let hanging = async {
                    while !hangs || behind.heard().len() < BEFORE_IT_HANGS {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => return,
                    () = hanging => {}
                }
                // Neither bytes nor an end.
                std::future::pending::<()>().await;
            });
        }
    });
    let ca_file = ca.ca_file();
    let report = Sweeping::over(&format!("https://localhost:{port}"))
        .with(move |target| target.tls.ca_file = Some(ca_file))
        .with(|target| {
            (target.request_timeout, target.limits.retries) = (Duration::from_millis(700), 16);
        })
        .sweep()
        .await;
    proxy.abort();
    assert_intact(&report, "the first connection hangs");
    assert!(front.connections() > 1, "{:?}", by_connection(&front));
}

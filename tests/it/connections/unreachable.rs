//! Registries to which no connection comes about: what is said of that.

use std::net::Ipv4Addr;
use std::time::Duration;

use registry_integrity_probe::config::Target;
use registry_integrity_probe::report::{Cause, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::testkit::free_address;
use crate::testkit::front::Plan;
use crate::testkit::in_process::registry;
use crate::testkit::sweep_command::{as_probe, without_retries};
use crate::testkit::sweeping::Sweeping;
use crate::testkit::tls::PrivateCa;

/// Sweeps in vain, and gives the detail of the one thing that could not be judged.
async fn sweep_in_vain(url: &str, cause: Cause, change: impl FnOnce(&mut Target)) -> String {
    let sweeping = Sweeping::over(url).with(without_retries).with(as_probe).with(change);
    let report = sweeping.with(|target| target.confirm.attempts = 1).sweep().await;
    assert_eq!((report.outcome, report.catalog_accessible), (Outcome::Failed, false), "{url}");
    let [entry] = &report.unverified[..] else { panic!("{url}: {:#?}", report.unverified) };
    assert_eq!((entry.reference.as_str(), entry.cause), ("_catalog", cause), "{url}: {}", entry.detail);
    // `cHJvYmU6` is the beginning of the user's name and password in base64.
    for secret in ["hunter2", "cHJvYmU6", "n=1000", "://"] {
        assert!(!entry.detail.contains(secret), "{}", entry.detail);
    }
    entry.detail.clone()
}

#[track_caller]
fn assert_says(detail: &str, words: &[&str]) {
    let lower = detail.to_lowercase();
    assert!(words.iter().all(|word| lower.contains(word)), "{words:?}: {detail}");
}

/// What is done with each connection, until it is dropped.
struct Peer {
    port: u16,
    task: JoinHandle<()>,
}

impl Peer {
    /// Accepts, sends these bytes once something has come, and nothing more; closes if it is told to.
    async fn sending(bytes: &'static [u8], closes: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut client, _)) = listener.accept().await {
                if !bytes.is_empty() || closes {
                    let mut asked = [0; 4096];
                    let _ = client.read(&mut asked).await;
                    let _ = client.write_all(bytes).await;
                }
                if !closes {
                    held.push(client);
                }
            }
        });
        Self { port, task }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_unreachable() {
    for scheme in ["http", "https"] {
        let detail = sweep_in_vain(&format!("{scheme}://registry.invalid"), Cause::Unreachable, |_| {}).await;
        assert_says(&detail, &["no connection", "name"]);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    for scheme in ["http", "https"] {
        let detail = sweep_in_vain(&format!("{scheme}://{}", free_address()), Cause::Unreachable, |_| {}).await;
        assert_says(&detail, &["no connection", "refused"]);
    }
}

#[tokio::test]
async fn one_that_never_answers_is_a_time_out_in_time() {
    let silent = Peer::sending(b"", false).await;
    for scheme in ["http", "https"] {
        let began = std::time::Instant::now();
        let url = format!("{scheme}://127.0.0.1:{}", silent.port);
        let detail =
            sweep_in_vain(&url, Cause::Timeout, |target| target.request_timeout = Duration::from_millis(300)).await;
        assert_says(&detail, &["in"]);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn one_that_closes_without_a_word_is_unreachable() {
    let closing = Peer::sending(b"", true).await;
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://127.0.0.1:{}", closing.port);
        let detail = sweep_in_vain(&url, Cause::Unreachable, |_| {}).await;
        assert_says(&detail, &["connection"]);
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_unreachable_and_says_why() {
    let (registry, ca, other) = (registry().await, PrivateCa::new(), PrivateCa::new());
    for (names, trusted, reason) in [
        (&["localhost"][..], None, "unknownissuer"),
        (&["localhost"], Some(other.ca_file()), "badsignature"),
        (&["elsewhere.invalid"], Some(ca.ca_file()), "not valid for name"),
    ] {
        let front = Plan::before(registry.address()).with_tls(ca.server(names).acceptor(&[b"h2"])).start().await;
        let url = format!("https://localhost:{}", front.address().port());
        let detail = sweep_in_vain(&url, Cause::Unreachable, |target| target.tls.ca_file = trusted).await;
        assert_says(&detail, &["no connection", "certificate", reason]);
        assert!(front.heard().is_empty());
    }
}

#[tokio::test]
async fn one_that_speaks_plain_http_where_tls_was_expected_is_unreachable() {
    let peer = Peer::sending(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", true).await;
    let detail = sweep_in_vain(&format!("https://127.0.0.1:{}", peer.port), Cause::Unreachable, |_| {}).await;
    assert_says(&detail, &["no connection", "corrupt message"]);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_protocol() {
    for banner in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"220 mail ready\r\n\r\n", b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"]
    {
        let peer = Peer::sending(banner, true).await;
        let detail = sweep_in_vain(&format!("http://127.0.0.1:{}", peer.port), Cause::Protocol, |_| {}).await;
        assert_says(&detail, &["not http"]);
    }
}

#[tokio::test]
async fn one_that_speaks_tls_where_plain_http_was_expected_is_protocol() {
    let (registry, ca) = (registry().await, PrivateCa::new());
    let front = Plan::before(registry.address()).with_tls(ca.server(&["localhost"]).acceptor(&[])).start().await;
    let url = format!("http://localhost:{}", front.address().port());
    let detail = sweep_in_vain(&url, Cause::Protocol, |_| {}).await;
    assert_says(&detail, &["not http"]);
}

//! What pages cost, whatever a registry does; and what they refuse.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::service::Service;
use crate::states::{self, HOSTILE, NAME};
use crate::testkit::probe::probe;
use crate::testkit::{free_address, poll_until};

const A_WHILE: Duration = Duration::from_secs(20);

/// An open stream of events that has said something.
async fn watch(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut seen = String::new();
    while !seen.contains("data: {") {
        let mut part = [0; 4096];
        let count = timeout(A_WHILE, stream.read(&mut part)).await.expect("an event in time").unwrap();
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&part[..count]));
    }
    assert!(seen.contains("content-type: text/event-stream"), "{seen}");
    stream
}

#[tokio::test]
async fn thousands_of_findings_are_small_counted_pages() {
    let service = Service::start(states::a_thousand_failures()).await;
    for path in ["/", "/search", "/search?show=unverified", "/search?q=team-3", "/search?show=images"] {
        let (status, page) = service.get(path).await;
        assert_eq!(status, Some(200), "{path}");
        assert!(page.len() < 150_000, "{path}: {} bytes", page.len());
    }
    let (_, overview) = service.get("/").await;
    assert!(
        overview.contains("Showing the 8 most recent of 1000 problems. <a href=\"search\">Show all 1000 failures</a>"),
        "{overview}"
    );
    let mut digests = std::collections::BTreeSet::new();
    for number in 1..=20 {
        let (_, page) = service.get(&format!("/search?page={number}")).await;
        digests.extend(page.split("<code title=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_string()));
    }
    assert_eq!(digests.len(), 1000, "every failure is on one of the pages");
    assert!(service.get("/search?page=20").await.1.contains("951 to 1000 of 1000"));
    assert!(service.get("/search?page=21").await.1.contains("This page does not exist"));
}

#[tokio::test]
async fn any_past_is_a_small_chart() {
    let (status, page) = Service::start(states::restless()).await.get("/?days=90").await;
    assert_eq!(status, Some(200));
    assert!(page.len() < 60_000, "{} bytes", page.len());
    assert!(page.contains("600 sweeps since"), "{page}");
}

#[tokio::test]
async fn a_search_narrows_by_repository_tag_digest_and_reason() {
    let service = Service::start(states::broken_between_two_sweeps()).await;
    let (_, all) = service.get("/search").await;
    assert!(all.contains("1 to 2 of 2"), "{all}");
    let digest = registry_integrity_probe::oci::Digest::sha256(b"child").to_string();
    for (query, finds, not) in [
        ("q=tools", "tools/make:1", "infra-ci:latest"),
        ("q=5319f03e", "infra-ci:latest", "tools/make:1"),
        (&format!("q={}", &digest[..20]), "infra-ci:latest", "tools/make:1"),
        ("q=registry.example.com:5050%2Finfra-ci:latest", "infra-ci:latest", "tools/make:1"),
        ("q=LINUX%2Famd64+missing", "infra-ci:latest", "cannot be read completely"),
        ("reason=unreadable", "tools/make:1", "infra-ci:latest</bdi>"),
    ] {
        let (status, page) = service.get(&format!("/search?{query}")).await;
        let (_, main) = page.split_once("<main").unwrap();
        assert_eq!(status, Some(200), "{query}");
        assert!(main.contains(&format!("<bdi>{finds}</bdi>")), "{query}: {main}");
        assert!(!main.contains(&format!("<bdi>{not}")), "{query}: {main}");
    }
    assert!(service.get("/search?q=nothing-like-it").await.1.contains("Nothing matches."));
    assert!(service.get(&format!("/search?show=images&registry={NAME}")).await.1.contains("infra-ci:5319f03e"));
    for wrong in ["reason=gone", "show=all", "page=0", "page=x", "words=a", "q=a&q=b"] {
        let (status, page) = service.get(&format!("/search?{wrong}")).await;
        assert_eq!(status, Some(400), "{wrong}");
        assert!(page.contains("Invalid search"), "{page}");
    }
}

#[tokio::test]
async fn image_page_has_its_tree_and_remedy() {
    let service = Service::start(states::broken_between_two_sweeps()).await;
    let (status, page) = service.get(&format!("/image?registry={NAME}&image=infra-ci:latest")).await;
    assert_eq!(status, Some(200));
    for part in [
        "linux/arm64",
        "shared with",
        "-X PUT",
        "registry-integrity-probe verify registry.example.com:5050/infra-ci:latest",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(page.matches("<ul").count(), page.matches("</ul>").count());
    assert_eq!(page.matches("<li>").count() + page.matches("<li ").count(), page.matches("</li>").count());
    for (path, status) in [("image=infra-ci:gone", 404), ("image=nonsense", 400), ("image=infra-ci:latest&x=1", 400)] {
        let (answered, page) = service.get(&format!("/image?registry={NAME}&{path}")).await;
        assert_eq!(answered, Some(status), "{path}");
        assert!(page.contains("href=\"./\">Overview"), "{page}");
    }
    assert_eq!(service.get("/image?registry=nobody&image=infra-ci:latest").await.0, Some(404));
}

#[tokio::test]
async fn large_image_tree_is_split_into_pages() {
    let service = Service::start(states::a_large_image()).await;
    let first = format!("image?registry={NAME}&image=large:1");
    let (mut path, mut digests, mut parts) = (first.clone(), Vec::new(), 0);
    loop {
        let (status, page) = service.get(&format!("/{path}")).await;
        assert_eq!(status, Some(200), "{path}");
        assert!(page.len() < 400_000, "{path}: {} bytes", page.len());
        assert_eq!(page.matches("<ul").count(), page.matches("</ul>").count(), "{path}");
        let (_, tree) = page.split_once("<ul class=\"tree\">").unwrap();
        let (tree, rest) = tree.split_once("<section").unwrap();
        assert_eq!(tree.matches("<li ").count(), tree.matches("</li>").count(), "{path}");
        let (own, repeated): (Vec<&str>, Vec<&str>) =
            tree.split("<li ").skip(1).partition(|item| !item.contains("from a previous page"));
        assert!(repeated.len() <= 2, "what leads to the first object, and nothing else: {repeated:?}");
        digests.extend(own.iter().map(|item| {
            let (_, digest) = item.split_once("<code title=\"").unwrap();
            digest.split_once('"').unwrap().0.to_string()
        }));
        parts += 1;
        assert!(page.contains(&format!("to {} of 2081 objects", digests.len())), "{path}");
        assert_eq!(tree.contains("rel=\"prev\""), parts > 1, "{path}");
        let Some((before, _)) = tree.split_once("\" rel=\"next\"") else {
            assert!(rest.contains("Check this image now"));
            break;
        };
        let address = before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&");
        path = address.strip_suffix("#tree-title").expect("a way to the tree itself").to_string();
    }
    let (platforms, layers) = states::LARGE;
    assert_eq!((parts, digests.len()), (4, 1 + platforms * (2 + layers)));
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 1 + platforms * (2 + layers), "every object is in one of the parts");

    let (_, last) = service.get(&format!("/{first}&part=4")).await;
    assert!(service.get(&format!("/{first}&part=99")).await.1.contains("1801 to 2081 of 2081 objects"), "{last}");
    for wrong in ["0", "x", "-1"] {
        assert_eq!(service.get(&format!("/{first}&part={wrong}")).await.0, Some(400), "{wrong}");
    }
    let (_, small) = Service::start(states::broken_between_two_sweeps())
        .await
        .get(&format!("/image?registry={NAME}&image=infra-ci:latest"))
        .await;
    assert!(!small.contains("aria-label=\"Objects\""), "{small}");
}

#[tokio::test]
async fn foreign_text_is_text_everywhere() {
    let service = Service::start(states::hostile()).await;
    let registry: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    for path in [
        "/".to_string(),
        "/search".to_string(),
        "/search?show=unverified".to_string(),
        format!("/search?q={registry}&registry={registry}"),
        format!("/search?reason={registry}"),
        format!("/image?registry={registry}&image=infra-ci:latest"),
        format!("/image?registry={registry}&image={registry}"),
        format!("/image?registry={registry}&image=a:b"),
    ] {
        let (_, page) = service.get(&path).await;
        for markup in ["<script>", "<img", "\u{202e}", "\u{1b}"] {
            assert!(!page.contains(markup), "{path}: {markup:?}: {page}");
        }
        for command in page.split("<pre class=\"command\">").skip(1).map(|rest| rest.split("</pre>").next().unwrap()) {
            assert!(!command.contains("reboot"), "{path}: {command}");
        }
    }
}

#[tokio::test]
async fn so_many_may_watch_and_no_more() {
    let service = Service::start(states::healthy()).await;
    let mut watching = Vec::new();
    for _ in 0..64 {
        watching.push(watch(service.address).await);
    }
    assert_eq!(service.get("/events").await.0, Some(503));
    assert_eq!(service.get("/").await.0, Some(200));
    watching.pop();
    let address = service.address;
    poll_until(A_WHILE, async || {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        (&head == b"HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_open_stream_does_not_hold_up_the_end() {
    let service = Service::start(states::healthy()).await;
    let mut stream = watch(service.address).await;
    service.shutdown.cancel();
    let mut rest = Vec::new();
    timeout(A_WHILE, stream.read_to_end(&mut rest)).await.expect("an end of the stream").unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream was cut instead of ended: {}", String::from_utf8_lossy(&rest));
    timeout(A_WHILE, service.task).await.expect("an end of the service").unwrap();

    let nobody = format!("http://{}", free_address());
    let running = probe(["serve", "--registry", &nobody]).serve().await;
    let _stream = watch(running.address()).await;
    let asked = Instant::now();
    assert_eq!(running.terminate().await.code, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

//! Nothing that the probe writes, serves or logs holds a credential, at any level.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use registry_integrity_probe::demo::fault::{
    answers, at, cuts_body_after, drops_connection, everything, on, redirects_signed, stalls_body_after,
};
use registry_integrity_probe::demo::{Auth, Endpoint, Image, Registry, TokenService};

use crate::testkit::poll_until;
use crate::testkit::probe::probe;
use crate::testkit::raw_http::ask;

/// Parts of every secret in play. `cHJvYmU6c2VjcmV0` is the beginning of `probe:secret…` in base64.
const SECRETS: [&str; 6] =
    ["secret-password", "cHJvYmU6c2VjcmV0", "token-", "secret-signature", "secret-proxy", "secret-bearer"];

fn assert_silent(what: &str, text: &str) {
    for secret in SECRETS {
        if let Some(at) = text.find(secret) {
            let shown: String = text[..at].chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what} holds {secret}…, after {shown:?}");
        }
    }
}

async fn write_config(directory: &Path, registry: &Registry) -> std::path::PathBuf {
    std::fs::write(directory.join("password"), "secret-password").unwrap();
    std::fs::write(directory.join("bearer"), "secret-bearer").unwrap();
    let url = registry.url();
    let config = format!(
        "global: {{interval: 1s, request_timeout: 500ms, limits: {{retries: 1}}}}\n\
         registries:\n\
         - {{name: by-password, url: '{url}', basic_auth: {{username: probe, password_file: password}}, \
              confirm: {{attempts: 1, delay: 10ms}}, evidence: {{byte: 0s}}}}\n\
         - {{name: by-header, url: '{url}', authorization: {{type: Bearer, credentials_file: bearer}}, \
              confirm: {{attempts: 1, delay: 10ms}}}}\n\
         - {{name: by-proxy, url: '{url}', proxy_url: 'http://probe:secret-proxy@127.0.0.1:9'}}\n"
    );
    let file = directory.join("config.yml");
    std::fs::write(&file, config).unwrap();
    file
}

#[tokio::test]
async fn no_secret_is_shown_by_logs_reports_metrics_or_pages() {
    let (registry, storage) = (Registry::start().await.unwrap(), Registry::start().await.unwrap());
    let images: Vec<Image> = (0..5).map(|n| Image::manifest().named(&format!("app {n}"))).collect();
    for (n, image) in images.iter().enumerate() {
        registry.push(&format!("app:{n}"), image);
        storage.push(&format!("app:{n}"), image);
    }
    registry.require(Auth::bearer(&TokenService::new().for_user("probe", "secret-password")));
    registry.fault(at(Endpoint::Blob), redirects_signed(storage.url(), "?X-Amz-Signature=secret-signature"));
    let layer = |n: usize| &images[n].layers().next().unwrap().digest;
    storage.fault(on(layer(0)), answers(403));
    storage.fault(on(layer(1)), drops_connection());
    storage.fault(on(layer(2)), cuts_body_after(0));
    storage.fault(on(layer(3)), stalls_body_after(0));
    storage.fault(everything().at_rate(0.1, 7), answers(500));

    let directory = tempfile::tempdir().unwrap();
    let config = write_config(directory.path(), &registry).await;
    let config = format!("--config.file={}", config.display());
    for format in ["text", "json"] {
        let run = probe(["sweep", &config, "--log.level=trace", "--output", format]).run().await;
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stdout.contains("by-password"));
        assert_silent("standard output", &run.stdout);
        assert_silent("the log", &run.stderr);
    }
    assert!(registry.requests().iter().any(|request| request.authorization.is_some()), "no credential was in play");
    assert!(storage.requests().iter().any(|request| request.query.contains("secret-signature")));

    let image = &format!("{}/app:0", registry.address());
    join_all(["text", "json", "junit", "github"].map(|output| async move {
        let flags = ["verify", image, "--username=probe", "--password-stdin", "--plain-http", "--log.level=trace"];
        let run = probe(flags.into_iter().chain(["--output", output])).stdin("secret-password").run().await;
        assert_ne!(run.code, Some(2), "{}", run.stderr);
        assert_silent("the standard output of verify", &run.stdout);
        assert_silent("the log of verify", &run.stderr);
    }))
    .await;

    let serving = probe(["serve", &config, "--log.level=trace", "--log.format=json"]).serve().await;
    poll_until(Duration::from_secs(50), async || {
        serving.get("/api/v1/findings").await.contains("\"reason\":\"unreadable\"").then_some(())
    })
    .await;
    for path in [
        "/",
        "/search?registry=by-password",
        "/image?registry=by-password&image=app:0",
        "/metrics",
        "/api/v1/registries",
        "/api/v1/findings",
        "/api/v1/images?registry=by-password&reference=app:0",
        "/api/v1/sweeps?registry=by-password",
    ] {
        let body = serving.get(path).await;
        assert!(body.contains("by-password"), "{path}");
        assert_silent(path, &body);
    }
    for path in
        ["/api/v1/openapi.json", "/api/v1/images", "/image?registry=none&image=a:b", "/search?page=x", "/nothing"]
    {
        let body = serving.get(path).await;
        assert!(!body.is_empty(), "{path}");
        assert_silent(path, &body);
    }
    let events = ask(serving.address(), "GET", "/events").patience(Duration::from_millis(1500)).send().await.text();
    assert!(events.contains("data:"), "{events}");
    assert_silent("/events", &events);
    let ended = serving.terminate().await;
    assert_silent("the log", &ended.stderr);
}

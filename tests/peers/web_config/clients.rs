//! TLS and client certificates, by curl; and clients that are slow or silent.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::curl::Curl;
use crate::testkit::web_service::{BOUND, Setup, display};

#[tokio::test]
async fn configured_tls_versions_alpn_and_headers_are_served() {
    let Some(curl) = Curl::find() else { return };
    let setup = Setup::new().await;
    let headers =
        "http_server_config: {headers: {Strict-Transport-Security: max-age=60, X-Frame-Options: sameorigin}}\n";
    let service = setup.serve(&(setup.tls(&["min_version: TLS13"]) + headers)).await;

    let answer = curl.over_tls(&setup, &service, "/metrics", &[]).await;
    assert_eq!((answer.version.as_str(), answer.status), ("2", 200), "{}", answer.text);
    assert!(answer.text.contains("strict-transport-security: max-age=60"), "{}", answer.text);
    assert!(answer.text.contains("x-frame-options: sameorigin"), "{}", answer.text);
    assert!(!answer.text.contains("x-frame-options: DENY"), "{}", answer.text);
    assert!(answer.text.contains("registry_integrity_config_last_reload_successful 1"), "{}", answer.text);
    let answer = curl.over_tls(&setup, &service, "/-/healthy", &["--http1.1"]).await;
    assert_eq!((answer.version.as_str(), answer.status), ("1.1", 200), "{}", answer.text);
    let old = curl.over_tls(&setup, &service, "/metrics", &["--tls-max", "1.2"]).await;
    assert_eq!((old.code, old.status), (Some(35), 0), "{}", old.text);
    let plain = curl.ask(&service, "http", "/metrics", &["--http1.0"]).await;
    assert_eq!(plain.status, 400, "{}", plain.text);
    assert!(plain.text.contains("HTTP request to an HTTPS server"), "{}", plain.text);

    setup.write(
        &(setup.tls(&["max_version: TLS12", "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]"])
            + "http_server_config: {http2: false}\n"),
    );
    let answer = curl.over_tls(&setup, &service, "/metrics", &["-v"]).await;
    assert_eq!((answer.version.as_str(), answer.status), ("1.1", 200), "{}", answer.text);
    assert!(answer.text.contains("TLSv1.2 / ECDHE-ECDSA-AES256-GCM-SHA384"), "{}", answer.text);
    let other = curl.over_tls(&setup, &service, "/metrics", &["--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"]).await;
    assert_eq!(other.code, Some(35), "{}", other.text);
}

/// Go's five policies against no certificate, one of the authority, one of another authority, and one of another name.
#[tokio::test]
async fn certificates_of_clients_are_judged_by_the_policy() {
    let Some(curl) = Curl::find() else { return };
    let setup = Setup::new().await;
    let elsewhere = crate::testkit::tls::PrivateCa::new();
    let (scraper, other) = (setup.ca.client("scraper"), setup.ca.client("other"));
    let stranger = elsewhere.client("scraper");
    let expired = setup.ca.expired_client("scraper-of-old");
    let ca = setup.client_ca();
    let only_scraper = "client_allowed_sans: [monitor.example.com, scraper]";
    let service = setup.serve(&setup.tls(&[])).await;
    // (policy, further key, without a certificate, the authority's, the authority's of another name, a stranger's, expired)
    let policies = [
        ("NoClientCert", None, [true, true, true, true, true]),
        ("RequestClientCert", None, [true, true, true, true, true]),
        ("RequireAnyClientCert", None, [false, true, true, true, true]),
        ("VerifyClientCertIfGiven", Some(&ca), [true, true, true, false, false]),
        ("RequireAndVerifyClientCert", Some(&ca), [false, true, true, false, false]),
        ("RequireAndVerifyClientCert", Some(&format!("{ca}\n  {only_scraper}")), [false, true, false, false, false]),
    ];
    for (policy, further, admitted) in policies {
        let policy_line = format!("client_auth_type: {policy}");
        let lines: Vec<&str> = [policy_line.as_str()].into_iter().chain(further.map(String::as_str)).collect();
        setup.write(&setup.tls(&lines));
        let clients = [None, Some(&scraper), Some(&other), Some(&stranger), Some(&expired)];
        for (client, admitted) in clients.into_iter().zip(admitted) {
            let paths = client.map(|issued| [display(&issued.cert_file), display(&issued.key_file)]);
            let arguments: Vec<&str> =
                paths.iter().flat_map(|[cert, key]| ["--cert", cert.as_str(), "--key", key.as_str()]).collect();
            let answer = curl.over_tls(&setup, &service, "/metrics", &arguments).await;
            assert_eq!(answer.status == 200, admitted, "{policy} {further:?} {arguments:?}: {}", answer.text);
        }
    }

    // A self-signed certificate that the file of authorities names.
    let own = elsewhere.ca_with_key();
    setup.write(&setup.tls(&[
        "client_auth_type: RequireAndVerifyClientCert",
        &format!("client_ca_file: {}", display(&own.cert_file)),
    ]));
    let arguments = ["--cert", &display(&own.cert_file), "--key", &display(&own.key_file)];
    let answer = curl.over_tls(&setup, &service, "/metrics", &arguments).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn handshakes_that_never_end_hold_nobody_up() {
    let Some(curl) = Curl::find() else { return };
    let setup = Setup::new().await;
    let service = setup.serve(&setup.tls(&[])).await;
    let mut stuck = Vec::new();
    for nth in 0..100 {
        let mut stream = TcpStream::connect(service.address()).await.unwrap();
        // Every other one begins a record of 512 bytes and leaves it at that.
        if nth % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        }
        stuck.push(stream);
    }
    let begun = Instant::now();
    let answer = curl.over_tls(&setup, &service, "/metrics", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for mut stream in stuck {
        let mut rest = Vec::new();
        timeout(BOUND, stream.read_to_end(&mut rest)).await.expect("the service gives up").ok();
    }
}

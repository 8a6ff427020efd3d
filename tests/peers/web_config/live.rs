//! Files that change under a running service.

use std::fs;

use super::curl::Curl;
use crate::testkit::tls::PrivateCa;
use crate::testkit::web_service::{Setup, alice, hash, until_logged};

#[tokio::test]
async fn certificates_and_users_are_taken_up_and_invalid_files_are_not() {
    let Some(curl) = Curl::find() else { return };
    let setup = Setup::new().await;
    let service = setup.serve(&(setup.tls(&[]) + &alice())).await;
    let asked_as = async |user: &str| curl.over_tls(&setup, &service, "/metrics", &["-u", user]).await;
    assert_eq!(asked_as("alice:wonderland").await.status, 200);

    setup.write(&(setup.tls(&[]) + &format!("basic_auth_users: {{alice: '{}'}}\n", hash("looking-glass"))));
    assert_eq!(asked_as("alice:wonderland").await.status, 401, "the old password is forgotten");
    assert_eq!(asked_as("alice:looking-glass").await.status, 200);

    setup.write(&(setup.tls(&[]) + "basic_auth_users: {alice: plain}\n"));
    for _ in 0..3 {
        assert_eq!(asked_as("alice:looking-glass").await.status, 200, "the last good one stays in use");
    }
    until_logged(&service, "the web configuration is invalid").await;
    assert_eq!(service.stderr().matches("the web configuration is invalid").count(), 1, "{}", service.stderr());
    setup.write(&alice());
    assert_eq!(asked_as("alice:looking-glass").await.status, 200, "TLS is not switched off");
    until_logged(&service, "TLS cannot be disabled without a restart").await;
    fs::remove_file(setup.path("web.yaml")).unwrap();
    assert_eq!(asked_as("alice:looking-glass").await.status, 200);
    setup.write(&(setup.tls(&[]) + &alice()));
    assert_eq!(asked_as("alice:wonderland").await.status, 200);

    // A certificate is renewed in two steps, between which it does not fit its key.
    let renewed = PrivateCa::new();
    let next = renewed.server(&["localhost"]);
    fs::copy(&next.cert_file, &setup.server.cert_file).unwrap();
    assert_eq!(asked_as("alice:wonderland").await.status, 200, "the old certificate stays in use");
    fs::copy(&next.key_file, &setup.server.key_file).unwrap();
    let old_authority = asked_as("alice:wonderland").await;
    assert_eq!((old_authority.status, old_authority.code == Some(0)), (0, false), "{}", old_authority.text);
    let ca = renewed.ca_file().display().to_string();
    let arguments = ["--cacert", &ca, "-u", "alice:wonderland"];
    assert_eq!(curl.ask(&service, "https", "/metrics", &arguments).await.status, 200);
}

#[tokio::test]
async fn tls_can_be_switched_on() {
    let Some(curl) = Curl::find() else { return };
    let setup = Setup::new().await;
    let service = setup.serve("").await;
    assert_eq!(curl.ask(&service, "http", "/metrics", &[]).await.status, 200);
    let inline = |path: &std::path::Path| {
        fs::read_to_string(path).unwrap().lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    setup.write(&format!(
        "tls_server_config:\n  cert: |\n{}  key: |\n{}",
        inline(&setup.server.cert_file),
        inline(&setup.server.key_file)
    ));
    assert_eq!(curl.over_tls(&setup, &service, "/metrics", &[]).await.status, 200);
}

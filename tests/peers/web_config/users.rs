//! Users and their passwords, by curl.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::curl::Curl;
use crate::testkit::raw_http::ask;
use crate::testkit::web_service::{Setup, alice, until_logged};

#[tokio::test]
async fn nothing_is_answered_without_the_password_and_no_log_has_it() {
    let Some(curl) = Curl::find() else { return };
    let setup = Setup::new().await;
    let service = setup.serve(&alice()).await;
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/findings", "/nothing"] {
        let answer = curl.ask(&service, "http", path, &[]).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.text.to_lowercase().contains("www-authenticate: basic"), "{}", answer.text);
    }
    let reload = curl.ask(&service, "http", "/-/reload", &["-X", "POST"]).await;
    assert_eq!(reload.status, 401);
    for wrong in ["alice:Wonderland", "alice:", "bob:wonderland", ":wonderland"] {
        assert_eq!(curl.ask(&service, "http", "/metrics", &["-u", wrong]).await.status, 401, "{wrong}");
    }
    for header in ["Authorization: Bearer wonderland", "Authorization: Basic !", "Authorization: Basic YWxpY2U="] {
        assert_eq!(curl.ask(&service, "http", "/metrics", &["-H", header]).await.status, 401, "{header}");
    }
    for path in ["/metrics", "/-/healthy", "/"] {
        assert_eq!(curl.ask(&service, "http", path, &["-u", "alice:wonderland"]).await.status, 200, "{path}");
    }
    until_logged(&service, "sent unencrypted").await;
    let log = service.stderr();
    let encoded = "YWxpY2U6d29uZGVybGFuZA";
    assert!(!log.contains("onderland") && !log.contains("$2b$") && !log.contains(encoded), "{log}");
}

#[tokio::test]
async fn a_rate_limit_holds_for_all_together() {
    let setup = Setup::new().await;
    let service = setup.serve("rate_limit: {interval: 1h, burst: 3}\n").await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(ask(service.address(), "GET", "/-/healthy").send().await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429].map(Some));
    setup.write("rate_limit: {interval: 0, burst: 0}\n");
    for _ in 0..5 {
        assert_eq!(ask(service.address(), "GET", "/-/healthy").send().await.status, Some(200));
    }
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_does_not_stall_the_service() {
    let Some(curl) = Curl::find() else { return };
    let setup = Setup::new().await;
    let users = format!("basic_auth_users: {{alice: '{}'}}\n", bcrypt::hash("wonderland", 10).unwrap());
    let service = setup.serve(&users).await;
    assert_eq!(curl.ask(&service, "http", "/metrics", &["-u", "alice:wonderland"]).await.status, 200);
    let address = service.address();
    let mut flood = JoinSet::new();
    for guess in 0..200 {
        flood.spawn(async move {
            let credentials =
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("alice:{guess}"));
            let request = ask(address, "GET", "/metrics").header("Authorization", &format!("Basic {credentials}"));
            request.patience(Duration::from_secs(60)).send().await.status
        });
    }
    let begun = Instant::now();
    let answer = curl.ask(&service, "http", "/metrics", &["-u", "alice:wonderland"]).await;
    let took = begun.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(took < Duration::from_secs(8), "{took:?}");
    let statuses = flood.join_all().await;
    assert!(statuses.iter().all(|status| matches!(status, Some(401 | 429))), "{statuses:?}");
    assert!(statuses.contains(&Some(401)) && statuses.contains(&Some(429)), "{statuses:?}");
}

//! Credentials: refused, rotated, expired, and a token service in trouble.

use std::time::Duration;

use futures_util::future::join_all;
use registry_integrity_probe::config::{Credentials, Secret, Target};
use registry_integrity_probe::demo::fault::{answers, answers_json, at, hangs, in_repository, slow_body};
use registry_integrity_probe::demo::{Auth, Endpoint, Image, Registry, TokenService};
use registry_integrity_probe::report::{Cause, Outcome};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

fn with_password(password: &str) -> impl FnOnce(&mut Target) {
    let password = Secret::Inline(password.into());
    move |target| target.credentials = Credentials::Basic { username: Secret::Inline("probe".into()), password }
}

/// As many repositories, of one small image each.
async fn many(repositories: usize) -> Registry {
    let registry = Registry::start().await.unwrap();
    for n in 0..repositories {
        registry.push(&format!("r{n:04}:1"), &Image::manifest().named("small").with_layers(1));
    }
    registry
}

#[tokio::test]
async fn a_wrong_password_is_one_unauthorized_and_few_requests() {
    for auth in [Auth::basic("probe", "right"), Auth::bearer(&TokenService::new().for_user("probe", "right"))] {
        let registry = many(500).await;
        registry.require(auth);
        let report = Sweeping::of(&registry).with(with_password("wrong")).sweep().await;
        assert_eq!((causes(&report), report.outcome), (vec![Cause::Unauthorized], Outcome::Failed));
        assert!(registry.request_count() < 10, "{}", registry.request_count());
    }
}

#[tokio::test]
async fn wrong_password_costs_few_requests_with_many_images() {
    let registry = registry_with(&app()).await;
    registry.require(Auth::bearer(&TokenService::new().for_user("probe", "right")));
    let report = Sweeping::of(&registry)
        .with(with_password("wrong"))
        .with(|target| {
            target.images = (0..10_000)
                .map(|n| registry_integrity_probe::config::ImageSelector::Repository(format!("r{n}").parse().unwrap()))
                .collect();
        })
        .sweep()
        .await;
    assert_eq!(reasons(&report), []);
    assert!(causes(&report).iter().all(|&cause| cause == Cause::Unauthorized));
    assert!(registry.request_count() < 500, "{}", registry.request_count());
}

#[tokio::test]
async fn unauthorized_repositories_do_not_hide_the_others() {
    let registry = many(400).await;
    for n in 100..200 {
        registry.fault(in_repository(&format!("r{n:04}")), answers(403));
    }
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(reasons(&report), []);
    assert_eq!(report.images.intact, 300);
    assert_eq!(causes(&report), [Cause::Unauthorized; 100]);
}

#[tokio::test]
async fn one_repository_in_trouble_does_not_hide_the_others() {
    let registry = many(40).await;
    registry.push("r0000:big", &Image::manifest().named("big").with_layers(200));
    registry.fault(in_repository("r0000").at(Endpoint::Blob), answers(403));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(reasons(&report), []);
    assert_eq!(report.images.intact, 39, "{:#?}", report.unverified.last());
}

#[tokio::test]
async fn tokens_of_a_second_are_renewed_during_the_sweep() {
    let registry = many(150).await;
    let tokens = TokenService::new().for_user("probe", "right").expiring_in(Duration::from_secs(1));
    registry.require(Auth::bearer(&tokens));
    let report = Sweeping::of(&registry)
        .with(with_password("right"))
        .with(|target| target.rate_limit = Some(300.0))
        .sweep()
        .await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 150), "{:#?}", report.unverified.first());
    assert!(report.duration_seconds > 2.0, "no token can have expired");
}

#[tokio::test]
async fn tokens_that_are_revoked_are_asked_for_again() {
    let registry = std::sync::Arc::new(many(100).await);
    let tokens = TokenService::new();
    registry.require(Auth::bearer(&tokens));
    let revoker = tokio::spawn(async move {
        loop {
            tokens.revoke_all();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let report = Sweeping::of(&registry).with(|target| target.rate_limit = Some(400.0)).sweep().await;
    revoker.abort();
    assert_eq!(reasons(&report), []);
    assert!(report.images.intact >= 95, "{:#?}", report.unverified.first());
}

#[tokio::test]
async fn a_token_service_in_trouble_is_said_as_what_it_is() {
    let cases = [
        ("down", answers(503), Cause::ServerError),
        ("slow", hangs(), Cause::Timeout),
        ("drips", slow_body(Duration::from_secs(1)), Cause::Timeout),
        ("throttles", answers(429), Cause::RateLimited),
        ("rubbish", answers_json("<html>"), Cause::Protocol),
        ("no token", answers_json("{}"), Cause::Protocol),
        ("an empty one", answers_json(r#"{"token":""}"#), Cause::Protocol),
        ("not a header's text", answers_json("{\"token\":\"a\\nb\"}"), Cause::Protocol),
        ("a list", answers_json("[]"), Cause::Protocol),
        ("refuses", answers(401), Cause::Unauthorized),
    ];
    // They mostly wait.
    join_all(cases.map(|(name, effect, cause)| async move {
        let registry = registry_with(&app()).await;
        registry.require(Auth::bearer(&TokenService::new()));
        registry.fault(at(Endpoint::Token), effect);
        let impatient = |target: &mut Target| {
            target.request_timeout = Duration::from_millis(300);
            target.limits.retries = 1;
        };
        let report = Sweeping::of(&registry).with(impatient).sweep().await;
        assert_eq!((causes(&report), reasons(&report)), (vec![cause], vec![]), "{name}: {:#?}", report.unverified);
    }))
    .await;
}

#[tokio::test]
async fn a_credentials_file_is_read_again_when_it_changes() {
    let registry = registry_with(&app()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old\n").unwrap();
    registry.require(Auth::basic("probe", "new"));
    let path = file.path().to_path_buf();
    let mut sweeping = Sweeping::of(&registry).with(|target| {
        target.credentials =
            Credentials::Authorization { scheme: "Basic".to_string(), credentials: Secret::File(path) };
    });
    assert_eq!(causes(&sweeping.sweep().await), [Cause::Unauthorized]);
    std::fs::write(file.path(), "cHJvYmU6bmV3").unwrap();
    assert_eq!(sweeping.sweep().await.outcome, Outcome::Complete);
}

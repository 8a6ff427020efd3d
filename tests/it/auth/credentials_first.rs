//! Configured credentials are used from the first request on: a registry that shows anonymous clients a public part must
//! not be taken for that part.

use std::path::Path;

use registry_integrity_probe::config::{Credentials, ImageSelector, Secret, Target};
use registry_integrity_probe::demo::fault::{answers, at, hangs, redirects_to};
use registry_integrity_probe::demo::{Auth, Endpoint, Image, LoggedRequest, Registry, TokenService};
use registry_integrity_probe::report::{Cause, Outcome, Reason};

use crate::testkit::in_process::registry_with;
use crate::testkit::probe::{Probe, probe};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

fn with_password(password: &str) -> impl FnOnce(&mut Target) {
    let password = Secret::Inline(password.into());
    move |target| target.credentials = Credentials::Basic { username: Secret::Inline("probe".into()), password }
}

/// Both ways in which the private part may be protected.
fn protections() -> [Auth; 2] {
    [Auth::basic("probe", "right"), Auth::bearer(&TokenService::new().for_user("probe", "right"))]
}

/// `public:1` is intact, `private:1` lacks a layer.
async fn registry_with_private_damage() -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("public:1", &Image::manifest().named("public"));
    let private = Image::manifest().named("private");
    registry.push("private:1", &private);
    registry.remove_blob("private", &private.layers().next().unwrap().digest);
    registry
}

fn requests_to(registry: &Registry, endpoint: Endpoint) -> Vec<LoggedRequest> {
    registry.requests().into_iter().filter(|request| request.endpoint == endpoint).collect()
}

/// Every request but the first, which shows what the registry asks for, and those for tokens.
fn assert_never_anonymous_again(registry: &Registry) {
    let requests = registry.requests();
    assert_eq!(requests.first().map(|first| first.endpoint), Some(Endpoint::Ping), "{requests:#?}");
    let mut rest = requests.iter().skip(1).filter(|request| request.endpoint != Endpoint::Token);
    assert!(rest.all(|request| request.authorization.is_some()), "{requests:#?}");
}

#[tokio::test]
async fn a_private_image_is_checked_although_anonymous_clients_get_a_catalog() {
    for auth in protections() {
        let registry = registry_with_private_damage().await;
        registry.require(Auth::partly_public(&["public"], auth.clone()));
        let anonymous = Sweeping::of(&registry).sweep().await;
        assert_eq!((anonymous.images.intact, anonymous.images.broken), (1, 0), "the private part is hidden");
        registry.clear_requests();
        let report = Sweeping::of(&registry).with(with_password("right")).sweep().await;
        assert_eq!((report.images.intact, report.images.broken), (1, 1), "{auth:?}: {report:#?}");
        assert_eq!(reasons(&report), [Reason::Missing]);
        let mut after = registry.requests().into_iter().skip_while(|request| request.endpoint != Endpoint::Catalog);
        assert!(after.all(|request| request.endpoint == Endpoint::Token || request.authorization.is_some()));
    }
}

#[tokio::test]
async fn a_private_image_is_checked_where_only_the_base_challenges() {
    for auth in protections() {
        let registry = registry_with_private_damage().await;
        registry.require(Auth::challenging_at_base(&["public"], auth.clone()));
        let report = Sweeping::of(&registry).with(with_password("right")).sweep().await;
        assert_eq!((report.images.intact, report.images.broken), (1, 1), "{auth:?}: {report:#?}");
        assert_never_anonymous_again(&registry);
    }
}

fn verify(registry: &Registry, flags: &[&str]) -> Probe {
    let image = format!("{}/app:1", registry.address());
    probe(["verify", "--plain-http", &image].into_iter().chain(flags.iter().copied()))
}

fn write_docker_config(folder: &Path, host: &str) -> String {
    let file = folder.join("config.json");
    // printf probe:right | base64
    std::fs::write(&file, format!(r#"{{"auths":{{"{host}":{{"auth":"cHJvYmU6cmlnaHQ="}}}}}}"#)).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn verify_logs_in_where_anonymous_clients_get_404() {
    let folder = tempfile::tempdir().unwrap();
    for auth in protections() {
        for auth in [Auth::challenging_at_base(&[], auth.clone()), Auth::partly_public(&[], auth)] {
            let registry = registry_with(&crate::testkit::in_process::app()).await;
            registry.require(auth.clone());
            let outcome = verify(&registry, &["--username=probe", "--password-stdin"]).stdin("right").run().await;
            assert_eq!(outcome.code, Some(0), "{auth:?}: {outcome:?}");
            let config = write_docker_config(folder.path(), &registry.address().to_string());
            let outcome = verify(&registry, &["--registry.config", &config]).run().await;
            assert_eq!(outcome.code, Some(0), "{auth:?}: {outcome:?}");
            registry.clear_requests();
            let config = write_docker_config(folder.path(), "other.example");
            let outcome = verify(&registry, &["--registry.config", &config]).run().await;
            assert_eq!(outcome.code, Some(1), "hidden without credentials: {outcome:?}");
            assert_eq!(requests_to(&registry, Endpoint::Ping).len(), 0, "no credentials for this host");
        }
    }
}

#[tokio::test]
async fn harbor_s_repositories_get_tokens_and_its_catalog_the_password() {
    let registry = Registry::start().await.unwrap();
    for n in 0..20 {
        registry.push(&format!("team/r{n:02}:1"), &Image::manifest().named(&format!("r{n}")).with_layers(1));
    }
    registry.require(Auth::harbor("probe", "right", TokenService::new()));
    let report = Sweeping::of(&registry).with(with_password("right")).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 20), "{report:#?}");
    let is_basic = |request: &&LoggedRequest| {
        request.authorization.as_ref().is_some_and(|authorization| authorization.starts_with("Basic "))
    };
    for endpoint in [Endpoint::Tags, Endpoint::Manifest, Endpoint::Blob] {
        let requests = requests_to(&registry, endpoint);
        assert!(!requests.is_empty() && !requests.iter().any(|request| is_basic(&request)), "{requests:#?}");
    }
    assert!(requests_to(&registry, Endpoint::Catalog).iter().any(|request| is_basic(&request)));
    assert_never_anonymous_again(&registry);
}

#[tokio::test]
async fn credentials_are_checked_once_and_without_them_nothing_is_asked() {
    let registry = Registry::start().await.unwrap();
    for n in 0..100 {
        registry.push(&format!("r{n:03}:1"), &Image::manifest().named("small").with_layers(1));
    }
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, requests_to(&registry, Endpoint::Ping).len()), (Outcome::Complete, 0));
    for auth in protections() {
        registry.require(auth);
        registry.clear_requests();
        let report = Sweeping::of(&registry).with(with_password("right")).sweep().await;
        assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 100), "{report:#?}");
        let first = requests_to(&registry, Endpoint::Ping);
        assert!((1..=2).contains(&first.len()), "{first:#?}");
        assert_never_anonymous_again(&registry);
        assert_eq!(registry.requests().iter().filter(|request| request.status == Some(401)).count(), 1);
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_however_many_images_are_named() {
    let wrong = |auth: Auth| {
        [auth.clone(), Auth::partly_public(&["app"], auth.clone()), Auth::challenging_at_base(&["app"], auth)]
    };
    let tokens = TokenService::new();
    let all = protections().into_iter().flat_map(wrong).chain([Auth::harbor("probe", "right", tokens)]);
    for auth in all {
        let registry = registry_with(&crate::testkit::in_process::app()).await;
        registry.require(auth.clone());
        let named = (0..2_000).map(|n| ImageSelector::Repository(format!("r{n}").parse().unwrap()));
        let report = Sweeping::of(&registry)
            .with(with_password("wrong"))
            .with(|target| target.images = named.collect())
            .sweep()
            .await;
        assert_eq!(reasons(&report), [], "{auth:?}");
        assert!(causes(&report).iter().all(|&cause| cause == Cause::Unauthorized), "{auth:?}");
        let tried = registry.requests().into_iter().filter(|request| request.authorization.is_some()).count();
        assert!((1..=2).contains(&tried) && registry.request_count() <= 3, "{auth:?}: {:#?}", registry.requests());
    }
}

#[tokio::test]
async fn after_an_odd_base_response_requests_answer_challenges() {
    for status in [400, 403, 404, 405, 501] {
        for auth in protections() {
            let registry = registry_with(&crate::testkit::in_process::app()).await;
            registry.require(auth);
            registry.fault(at(Endpoint::Ping), answers(status));
            let report = Sweeping::of(&registry).with(with_password("right")).sweep().await;
            assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{status}: {report:#?}");
        }
    }
}

#[tokio::test]
async fn outage_of_the_base_is_reported_not_remembered() {
    let impatient = |target: &mut Target| {
        target.request_timeout = std::time::Duration::from_millis(300);
        target.limits.retries = 1;
    };
    for (effect, cause) in
        [(answers(503), Cause::ServerError), (answers(429), Cause::RateLimited), (hangs(), Cause::Timeout)]
    {
        let registry = registry_with(&crate::testkit::in_process::app()).await;
        registry.require(Auth::partly_public(&["app"], Auth::basic("probe", "right")));
        let fault = registry.fault(at(Endpoint::Ping), effect.clone());
        let report = Sweeping::of(&registry).with(with_password("right")).with(impatient).sweep().await;
        assert_eq!((causes(&report), report.outcome), (vec![cause], Outcome::Failed), "{report:#?}");
        assert!(report.unverified[0].detail.contains("GET /v2/"), "{:#?}", report.unverified);
        assert!(fault.strikes() <= 4, "{}", fault.strikes());
    }
    let registry = registry_with(&crate::testkit::in_process::app()).await;
    registry.require(Auth::basic("probe", "right"));
    registry.fault(at(Endpoint::Ping).times(1), answers(503));
    let report = Sweeping::of(&registry).with(with_password("right")).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{report:#?}");
}

#[tokio::test]
async fn a_base_on_another_host_gets_no_credentials() {
    let (registry, other) = (registry_with(&crate::testkit::in_process::app()).await, Registry::start().await.unwrap());
    registry.require(Auth::basic("probe", "right"));
    other.require(Auth::basic("probe", "right"));
    registry.fault(at(Endpoint::Ping), redirects_to(other.url()));
    let report = Sweeping::of(&registry).with(with_password("right")).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{report:#?}");
    assert!(other.request_count() > 0);
    assert!(other.requests().iter().all(|request| request.authorization.is_none()), "{:#?}", other.requests());
}

#[tokio::test]
async fn an_identity_token_is_sent_by_get_to_services_without_post() {
    for status in [404, 405] {
        let registry = registry_with(&crate::testkit::in_process::app()).await;
        registry.require(Auth::bearer(&TokenService::new().for_user("x", "hunter2").refusing_post(status)));
        let file = tempfile::NamedTempFile::new().unwrap();
        // printf x: | base64
        let entry = r#"{"auth":"eDo=","identitytoken":"hunter2"}"#;
        std::fs::write(file.path(), format!(r#"{{"auths":{{"{}":{entry}}}}}"#, registry.address())).unwrap();
        let path = file.path().to_path_buf();
        let report =
            Sweeping::of(&registry).with(|target| target.credentials = Credentials::DockerConfig(path)).sweep().await;
        assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{status}: {report:#?}");
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_read_leave_everything_unverified() {
    let registry = registry_with(&crate::testkit::in_process::app()).await;
    registry.require(Auth::partly_public(&["app"], Auth::basic("probe", "right")));
    let missing = Secret::File("/nonexistent/password".into());
    let unreadable = Credentials::Basic { username: Secret::Inline("probe".into()), password: missing };
    let report = Sweeping::of(&registry).with(|target| target.credentials = unreadable).sweep().await;
    assert_eq!((causes(&report), report.images.intact), (vec![Cause::Unauthorized], 0), "{report:#?}");
    assert!(report.unverified[0].detail.contains("/nonexistent/password"));
    assert_eq!(registry.request_count(), 0);
}

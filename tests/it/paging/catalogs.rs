//! Lists that mislead: what is not the whole is never passed off as it.

use std::time::Duration;

use futures_util::future::join_all;
use registry_integrity_probe::config::ByteEvidence;
use registry_integrity_probe::demo::fault::{
    Effect, answers, answers_html, answers_json, at, cuts_body_after, drops_connection, ignores_last, links_to_itself,
    links_with, lists_endlessly, many_headers, pads_body_to,
};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::report::{Cause, Outcome, Reason, Report};

use crate::testkit::docker_registry::DockerRegistry;
use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

fn small() -> Image {
    Image::manifest().named("small").with_layers(1)
}

async fn many(repositories: usize) -> Registry {
    let registry = Registry::start().await.unwrap();
    for n in 0..repositories {
        registry.push(&format!("r{n:05}:1"), &small());
    }
    registry
}

async fn with_catalog(registry: &Registry, effect: Effect) -> Report {
    let fault = registry.fault(at(Endpoint::Catalog), effect);
    let report = Sweeping::of(registry).sweep().await;
    fault.lift();
    report
}

#[tokio::test]
async fn catalog_not_read_completely_fails_the_sweep() {
    let cases = [
        ("a link to itself", links_to_itself(), Cause::Incomplete),
        ("cut", cuts_body_after(40), Cause::Unreachable),
        ("dropped", drops_connection(), Cause::Unreachable),
        ("no list", answers_json("{}"), Cause::Protocol),
        ("an array", answers_json("[]"), Cause::Protocol),
        ("numbers", answers_json(r#"{"repositories":[1,2]}"#), Cause::Protocol),
        ("a tag list", answers_json(r#"{"name":"x","tags":["1"]}"#), Cause::Protocol),
        ("too many headers", many_headers(200), Cause::Protocol),
        ("no catalog", answers(404), Cause::Protocol),
        ("not for us", answers(403), Cause::Unauthorized),
        ("too long", pads_body_to(17 * 1024 * 1024), Cause::Protocol),
    ];
    // They mostly wait.
    join_all(cases.map(|(name, effect, cause)| async move {
        let registry = many(120).await;
        registry.fault(at(Endpoint::Catalog), effect);
        let report = Sweeping::of(&registry).with(|target| target.limits.retries = 1).sweep().await;
        assert_eq!((report.outcome, report.catalog_accessible), (Outcome::Failed, false), "{name}");
        assert_eq!(causes(&report), [cause], "{name}: {:#?}", report.unverified);
        assert!(report.unverified[0].detail.len() < 600, "{name}");
    }))
    .await;
}

#[tokio::test]
async fn html_list_is_named_as_such() {
    let cases = [
        (answers_html(200), "returned HTML instead of JSON; is this a registry?"),
        (answers_html(404), "returned HTML instead of JSON (status 404); is this a registry?"),
        (answers_json("\n<!DOCTYPE html>"), "returned HTML instead of JSON; is this a registry?"),
    ];
    for (effect, expected) in cases {
        for (endpoint, path) in [(Endpoint::Catalog, "_catalog"), (Endpoint::Tags, "app/tags/list")] {
            let registry = registry_with(&app()).await;
            let fault = if endpoint == Endpoint::Tags { at(endpoint).in_repository("app") } else { at(endpoint) };
            registry.fault(fault, effect.clone());
            let report = Sweeping::of(&registry).with(|target| target.limits.retries = 1).sweep().await;
            let detail = &report.unverified[0].detail;
            assert!(detail.ends_with(&format!("GET /v2/{path} {expected}")), "{detail}");
            assert_eq!(report.unverified[0].cause, Cause::Protocol);
        }
    }
}

#[tokio::test]
async fn an_endless_list_is_given_up() {
    let only_one = &regex::Regex::new("^1$").unwrap();
    let growing = links_with(|request, target| format!("<{target}&{}>; rel=\"next\"", request.query));
    let long = links_with(|_, target| format!("<{target}&x={}>; rel=\"next\"", "x".repeat(9_000)));
    join_all(
        [
            ("new names for ever", lists_endlessly(), Cause::Protocol, "more than 250000 names"),
            (
                "the same page under ever longer links",
                ignores_last().and(growing),
                Cause::Incomplete,
                "brought no new name",
            ),
            ("a link that is too long", long, Cause::Protocol, "a link is longer than 8192 bytes"),
        ]
        .map(|(name, effect, cause, why)| async move {
            let registry = registry_with(&app()).await;
            registry.page_tags_by(1);
            registry.push("app:2", &app());
            registry.fault(at(Endpoint::Tags).in_repository("app"), effect);
            let report =
                Sweeping::of(&registry).with(|target| target.tags.include = vec![only_one.clone()]).sweep().await;
            assert_eq!((reasons(&report), causes(&report)), (vec![], vec![cause]), "{name}");
            assert!(report.unverified[0].detail.contains(why), "{name}: {:?}", report.unverified);
            assert!(report.duration_seconds < 60.0, "{name}: {}", report.duration_seconds);
        }),
    )
    .await;
}

#[tokio::test]
async fn empty_lists_are_empty_and_nothing_more() {
    let registry = registry_with(&app()).await;
    for list in [r#"{"repositories":[]}"#, r#"{"repositories":null}"#] {
        let report = with_catalog(&registry, answers_json(list)).await;
        assert_eq!((report.outcome, report.repositories), (Outcome::Complete, 0), "{list}");
    }
    registry.fault(at(Endpoint::Tags).in_repository("app"), answers_json(r#"{"name":"app","tags":null}"#));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 1));
}

#[tokio::test]
async fn a_known_failure_survives_a_catalog_that_forgets_its_repository() {
    let registry = registry_with(&app()).await;
    registry.remove_blob("app", &app().layers().next().unwrap().digest);
    let mut sweeping = Sweeping::of(&registry);
    let before = sweeping.sweep().await.failures;
    assert_eq!(before.len(), 1);
    let cut = registry.fault(at(Endpoint::Catalog), answers_json(r#"{"repositories":["whole"]}"#));
    let during = sweeping.sweep().await;
    assert_eq!(during.failures.len(), 1, "the registry still serves the repository");
    assert_ne!(during.outcome, Outcome::Complete, "the catalog is not everything");
    cut.lift();
    registry.delete_tag("app:1");
    assert_eq!(reasons(&sweeping.sweep().await), []);
}

#[tokio::test]
async fn names_that_nobody_may_use_are_said_and_not_asked_for() {
    let registry = registry_with(&app()).await;
    let names = r#"{"repositories":["app","a/0-_b","../../etc/passwd","Upper","a//b","","a b","\u0000","é","_catalog",
        "a/tags/list","x?y","%2e%2e","a..b","whole"]}"#;
    let report = with_catalog(&registry, answers_json(names)).await;
    assert_eq!(reasons(&report), []);
    assert_eq!(report.images.intact, 2);
    assert!(causes(&report).iter().all(|&cause| cause == Cause::Protocol));
    let asked: Vec<_> = registry.requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().all(|path| path.starts_with("/v2/") && !path.contains("..")), "{asked:#?}");
}

/// distribution 2.x walks its directories in order, finds `a` by `a/_layers`, and so lists it behind `a/0x`; but what is
/// asked for behind `a/0x` has to be greater than that, and `a` is not.
#[tokio::test]
async fn a_repository_that_distribution_loses_between_two_pages_is_found() {
    let Some(registry) = DockerRegistry::start().await else { return };
    registry.push("zz:1", &small()).await;
    // A thousand names, of which `a/0999` is the last of the first page.
    for n in 0..1_000 {
        std::fs::create_dir_all(registry.repository(&format!("a/{n:04}/_layers"))).unwrap();
    }
    registry.push("a:1", &small()).await;
    let report = Sweeping::over(&registry.url()).sweep().await;
    assert_eq!(reasons(&report), []);
    assert_eq!(report.repositories, 1_002);
    assert_eq!(report.images.intact, 2, "{:?}", report.unverified);
}

/// A sweep that does with HEAD of blobs, and may take its time.
async fn walked_whole(registry: &Registry) -> Report {
    let mut sweeping = Sweeping::of(registry).with(|target| {
        target.evidence.byte = ByteEvidence::Off;
        target.confirm.attempts = 1;
    });
    tokio::time::timeout(Duration::from_secs(400), sweeping.sweep()).await.expect("a sweep that ends")
}

/// One image that everybody shares, and one that is named last and has lost its layer.
fn shared_and_lost() -> (Image, Image) {
    (small(), Image::manifest().named("lost").with_layers(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_repositories_are_walked_to_the_last() {
    let registry = Registry::start().await.unwrap();
    let (_, lost) = shared_and_lost();
    // It needs nothing else, so that the names are what the time goes to.
    let shared = Image::raw("application/vnd.oci.image.index.v1+json", r#"{"schemaVersion":2,"manifests":[]}"#);
    for n in 0..9_999 {
        registry.push(&format!("r{n:05}:1"), &shared);
    }
    registry.push("r09999:1", &lost);
    registry.remove_blob("r09999", &lost.layers().next().unwrap().digest);
    let report = walked_whole(&registry).await;
    assert_eq!((report.repositories, report.outcome), (10_000, Outcome::Complete), "{:?}", report.unverified.first());
    assert_eq!((report.images.intact, reasons(&report)), (9_999, vec![Reason::Missing]));
    assert_eq!(report.failures[0].repository.to_string(), "r09999");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_tags_are_walked_to_the_last() {
    let registry = Registry::start().await.unwrap();
    registry.page_tags_by(1_000);
    let (shared, lost) = shared_and_lost();
    registry.push("app:t00000", &shared);
    for n in 1..19_999 {
        registry.retag(&format!("app:t{n:05}"), &shared.root().digest);
    }
    registry.push("app:t19999", &lost);
    registry.remove_blob("app", &lost.layers().next().unwrap().digest);
    let report = walked_whole(&registry).await;
    assert_eq!((report.repositories, report.outcome), (1, Outcome::Complete), "{:?}", report.unverified.first());
    assert_eq!((report.images.intact, reasons(&report)), (19_999, vec![Reason::Missing]));
}

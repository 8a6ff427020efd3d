//! Lists are read completely for every kind of paging. A list whose end cannot be proved is incomplete.

mod catalogs;
mod empty;
mod names;

use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::config::Target;
use registry_integrity_probe::demo::fault::{
    Effect, answers, at, caps_pages_at, drops_connection, ignores_last, ignores_page_size, links_absolutely,
    links_among_others, links_by_token, links_to_itself, links_unquoted, links_with, links_without_brackets,
    lists_unordered, loses_link, refuses_pages_over, rejects_unusable_last, repeats_entries, takes_any_page_size,
    takes_last_as_offset,
};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::registry::{HttpRegistry, List, ListEnd, Registry as _, Traffic};
use registry_integrity_probe::report::{Cause, Outcome};

use crate::testkit::docker_registry::{DockerRegistry, Options};
use crate::testkit::reports::causes;
use crate::testkit::sweeping::Sweeping;

fn small() -> Image {
    Image::manifest().named("small").with_layers(1)
}

async fn with_repositories(count: usize) -> Registry {
    let registry = Registry::start().await.unwrap();
    (0..count).for_each(|n| registry.add_empty_repository(&format!("r{n:05}")));
    registry
}

/// One repository, `app`, whose tag list honours `n` and `last`.
async fn with_tags(count: usize) -> Registry {
    let registry = Registry::start().await.unwrap();
    (0..count).for_each(|n| registry.add_dangling_tag(&format!("app:t{n:05}")));
    registry.page_tags_by(100_000);
    registry
}

fn client(registry: &Registry) -> HttpRegistry {
    let mut target = Target::with_defaults(registry.url().parse().unwrap());
    target.limits.retries = 1;
    target.request_timeout = Duration::from_secs(20);
    HttpRegistry::new(&target, Arc::new(Traffic::default())).unwrap()
}

fn tags_of(repository: &str) -> List {
    List::Tags(repository.parse().unwrap())
}

/// Number of names, how the list ended, and number of requests.
async fn read(registry: &Registry, list: &List) -> (usize, Result<(), (Cause, String)>, usize) {
    registry.clear_requests();
    let listing = client(registry).list(list).await;
    let end = match listing.end {
        ListEnd::Complete => Ok(()),
        ListEnd::Absent => panic!("the list is there"),
        ListEnd::Incomplete(trouble) => Err((trouble.cause, trouble.detail)),
    };
    (listing.names.len(), end, registry.request_count())
}

/// Both kinds of lists.
fn lists() -> [(Endpoint, List); 2] {
    [(Endpoint::Catalog, List::Catalog), (Endpoint::Tags, tags_of("app"))]
}

async fn with_names(list: &List, count: usize) -> Registry {
    match list {
        List::Catalog => with_repositories(count).await,
        List::Tags(_) => with_tags(count).await,
    }
}

/// The paging of go-containerregistry's registry.
fn unordered_without_last() -> Effect {
    lists_unordered().and(ignores_last()).and(takes_any_page_size()).and(loses_link())
}

#[tokio::test]
async fn every_kind_of_paging_is_read_completely() {
    let elsewhere = |prefix: &'static str| links_with(move |_, target| format!("<{prefix}{target}>; rel=\"next\""));
    let cases: Vec<(&str, usize, Effect)> = vec![
        ("absolute links", 1_100, links_absolutely()),
        ("links unquoted", 1_100, links_unquoted()),
        ("links without brackets", 1_100, links_without_brackets()),
        ("links among others", 1_100, links_among_others()),
        ("links to another host", 1_100, elsewhere("https://internal.example")),
        ("links under another prefix", 1_100, elsewhere("http://internal.example:8081/repository/docker")),
        (
            "the query alone",
            1_100,
            links_with(|_, target| format!("<?{}>; rel=next", target.split_once('?').unwrap().1)),
        ),
        ("repeated entries", 1_100, repeats_entries()),
        ("large pages rejected", 1_100, refuses_pages_over(500)),
        ("small pages only", 1_100, refuses_pages_over(50).and(caps_pages_at(50))),
        ("links lost", 2_300, loses_link()),
        ("capped pages, with links", 1_100, caps_pages_at(100)),
        ("capped pages, links lost", 1_100, caps_pages_at(100).and(loses_link())),
        ("a token as `next_page`", 250, caps_pages_at(100).and(links_by_token("next_page"))),
        ("a token as `last`", 1_100, links_by_token("last").and(rejects_unusable_last(400))),
        ("a token, one page", 100, links_by_token("last").and(rejects_unusable_last(405))),
        ("an offset as `last`", 1_100, takes_last_as_offset().and(rejects_unusable_last(400))),
        (
            "an offset as `last`, links lost",
            1_100,
            takes_last_as_offset().and(rejects_unusable_last(400)).and(takes_any_page_size()).and(loses_link()),
        ),
        ("all at once", 1_500, ignores_page_size()),
        ("all at once, `last` ignored", 1_000, ignores_page_size().and(ignores_last())),
        ("no `last`, any `n`", 1_501, ignores_last().and(takes_any_page_size()).and(loses_link())),
        ("no order, no `last`, any `n`", 1_501, unordered_without_last()),
        ("no order", 1_501, lists_unordered()),
        ("no order, links lost", 1_501, lists_unordered().and(loses_link())),
        ("`last` rejected, few names", 120, ignores_last().and(rejects_unusable_last(404))),
        ("`last` fails, few names", 120, ignores_last().and(rejects_unusable_last(500))),
        ("`last` ignored, few names", 7, ignores_last().and(loses_link())),
    ];
    for (endpoint, list) in lists() {
        for (name, count, effect) in &cases {
            let registry = with_names(&list, *count).await;
            registry.fault(at(endpoint), effect.clone());
            let (names, end, requests) = read(&registry, &list).await;
            assert_eq!((names, end), (*count, Ok(())), "{name}, {list:?}");
            assert!(requests <= count / 50 + 9, "{name}, {list:?}: {requests}");
        }
    }
}

#[tokio::test]
async fn list_without_a_proved_end_is_incomplete() {
    let limited = || refuses_pages_over(1_000);
    let again = "repeats known names";
    let cases: Vec<(&str, usize, usize, Effect, &str)> = vec![
        ("`n` honoured, `last` ignored", 1_500, 1_000, ignores_last().and(loses_link()).and(limited()), again),
        ("capped pages, `last` ignored", 1_500, 100, caps_pages_at(100).and(ignores_last()).and(loses_link()), again),
        (
            "`last` rejected",
            1_500,
            1_000,
            ignores_last().and(rejects_unusable_last(400)).and(loses_link()).and(limited()),
            "rejects the request for the names after the last one (GET 400 UNSUPPORTED)",
        ),
        (
            "`last` fails",
            1_500,
            1_000,
            ignores_last().and(rejects_unusable_last(500)).and(loses_link()).and(limited()),
            "(GET 500 UNSUPPORTED)",
        ),
        ("a page repeated by its link", 1_500, 1_000, ignores_last().and(limited()), "form a circle"),
        ("links to themselves", 120, 120, links_to_itself(), "form a circle"),
    ];
    for (endpoint, list) in lists() {
        for (name, count, seen, effect, why) in &cases {
            let registry = with_names(&list, *count).await;
            registry.fault(at(endpoint), effect.clone());
            let (names, end, requests) = read(&registry, &list).await;
            let (cause, detail) = end.expect_err(name);
            assert_eq!((names, cause), (*seen, Cause::Incomplete), "{name}, {list:?}: {detail}");
            assert!(detail.contains(why), "{name}: {detail}");
            assert!(requests <= 12, "{name}, {list:?}: {requests}");
        }
    }
}

#[tokio::test]
async fn an_outage_between_two_pages_keeps_its_cause() {
    for (effect, cause) in [
        (drops_connection(), Cause::Unreachable),
        (answers(503), Cause::ServerError),
        (answers(401), Cause::Unauthorized),
        (answers(429), Cause::RateLimited),
    ] {
        let registry = with_repositories(1_500).await;
        registry.fault(at(Endpoint::Catalog).after(1), effect);
        let (names, end, _) = read(&registry, &List::Catalog).await;
        assert_eq!((names, end.map_err(|(cause, _)| cause)), (1_000, Err(cause)));
    }
}

#[tokio::test]
async fn ordinary_list_costs_one_request_truncated_list_two() {
    for (count, requests) in
        [(1, 1), (10, 1), (12, 1), (49, 1), (99, 1), (999, 1), (50, 2), (100, 2), (256, 2), (1_000, 2)]
    {
        let registry = with_tags(count).await;
        assert_eq!(read(&registry, &tags_of("app")).await, (count, Ok(()), requests), "{count} tags");
    }
    // distribution 2.x sends all tags for any `n` and `last`.
    for (count, requests) in [(12, 1), (1_201, 1), (100, 3), (1_000, 3)] {
        let registry = Registry::start().await.unwrap();
        (0..count).for_each(|n| registry.add_dangling_tag(&format!("app:t{n:05}")));
        assert_eq!(
            read(&registry, &tags_of("app")).await,
            (count, Ok(()), requests),
            "{count} tags of distribution 2.x"
        );
    }
    // The catalog is read once per sweep.
    let registry = with_repositories(12).await;
    assert_eq!(read(&registry, &List::Catalog).await, (12, Ok(()), 2));
    let registry = with_repositories(0).await;
    assert_eq!(read(&registry, &List::Catalog).await, (0, Ok(()), 1));
}

#[tokio::test]
async fn a_cap_seen_in_one_list_is_expected_in_the_others() {
    let registry = with_repositories(80).await;
    registry.page_tags_by(100_000);
    for n in 0..80 {
        registry.add_dangling_tag(&format!("r00000:t{n:05}"));
    }
    registry.fault(at(Endpoint::Catalog), caps_pages_at(37));
    registry.fault(at(Endpoint::Tags), caps_pages_at(37).and(loses_link()));
    let client = client(&registry);
    assert_eq!(client.list(&List::Catalog).await.names.len(), 80);
    let tags = client.list(&tags_of("r00000")).await;
    assert_eq!((tags.names.len(), tags.end), (80, ListEnd::Complete));
}

#[tokio::test]
async fn a_rejected_page_size_is_not_tried_again_for_every_list() {
    let registry = with_tags(12).await;
    registry.fault(at(Endpoint::Tags), refuses_pages_over(500));
    let client = client(&registry);
    client.list(&tags_of("app")).await;
    registry.clear_requests();
    assert_eq!(client.list(&tags_of("app")).await.names.len(), 12);
    let asked: Vec<_> = registry.requests().into_iter().map(|request| request.query).collect();
    assert_eq!(asked, ["n=100"]);
}

#[tokio::test]
async fn a_link_is_never_followed_to_another_host() {
    let (registry, other) = (with_repositories(1_100).await, with_repositories(5).await);
    let url = other.url();
    registry.fault(at(Endpoint::Catalog), links_with(move |_, target| format!("<{url}{target}>; rel=\"next\"")));
    let (names, end, _) = read(&registry, &List::Catalog).await;
    assert_eq!((names, end, other.request_count()), (1_100, Ok(()), 0));
}

#[tokio::test]
async fn a_sweep_of_an_incomplete_catalog_walks_its_names_and_fails() {
    let registry = Registry::start().await.unwrap();
    for n in 0..120 {
        registry.push(&format!("r{n:05}:1"), &small());
    }
    registry.fault(at(Endpoint::Catalog), caps_pages_at(100).and(ignores_last()).and(loses_link()));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Failed, 100));
    assert_eq!(causes(&report), [Cause::Incomplete], "{:?}", report.unverified);
}

/// distribution 2.x fills a page of three with `a/1`, `a/2` and `a/9`, skips `a`, and omits the link.
#[tokio::test]
async fn no_repository_is_lost_with_distribution_s_link() {
    for maxentries in 1..=8 {
        let options = Options { catalog_page: Some(maxentries), ..Options::default() };
        let Some(registry) = DockerRegistry::start_with(options).await else { return };
        for name in ["a/1", "a/2", "a/9", "a", "b", "c", "d"] {
            registry.push(&format!("{name}:1"), &small()).await;
        }
        let report = Sweeping::over(&registry.url()).sweep().await;
        assert_eq!(
            (report.repositories, report.images.intact, report.outcome),
            (7, 7, Outcome::Complete),
            "maxentries {maxentries}: {:?}",
            report.unverified
        );
    }
}

//! What was not checked is not intact: empty registries, lists that lost most of their entries, filters that match nothing
//! and repositories that do not exist.

use std::path::Path;
use std::time::Duration;

use registry_integrity_probe::config::shard::Shard;
use registry_integrity_probe::config::{ImageSelector, Mode};
use registry_integrity_probe::demo::fault::{answers, everything};
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::report::{Cause, Outcome, Report};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::testkit::poll_until;
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::sweeping::Sweeping;

const BOUND: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn app() -> Image {
    Image::index().named("app").platforms(["linux/amd64", "linux/arm64"])
}

/// A registry of `app:1`, which has lost a child, and of more repositories, all in all `count`.
async fn damaged(count: usize) -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &app());
    registry.remove_manifest("app", &app().child("linux/arm64").unwrap().digest);
    for n in 1..count {
        registry.push(&format!("r{n}:1"), &Image::manifest().named(&n.to_string()));
    }
    registry
}

/// The registry is restarted on an empty volume.
async fn emptied(registry: Registry) -> Registry {
    registry.go_down().await;
    Registry::start_on(TcpListener::bind(registry.address()).await.unwrap()).unwrap()
}

fn filter(pattern: &str) -> Vec<regex::Regex> {
    vec![regex::Regex::new(&format!("^(?:{pattern})$")).unwrap()]
}

/// The details of what is incomplete; nothing else is unverified.
fn incomplete(report: &Report) -> Vec<&str> {
    report.unverified.iter().inspect(|entry| assert_eq!(entry.cause, Cause::Incomplete)).map(|it| &*it.detail).collect()
}

fn summary(report: &Report) -> (Outcome, bool, usize, usize) {
    (report.outcome, report.empty, report.failures.len(), report.unverified.len())
}

#[tokio::test]
async fn a_catalog_that_lost_most_repositories_is_incomplete_and_resolves_nothing() {
    let registry = damaged(6).await;
    let mut sweeping = Sweeping::of(&registry);
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 1, 0));

    let registry = emptied(registry).await;
    let report = sweeping.sweep().await;
    assert_eq!(summary(&report), (Outcome::Failed, true, 1, 1));
    assert!(!report.catalog_accessible && report.catalog_reached);
    assert_eq!((report.unverified[0].reference.as_str(), report.unverified[0].kind), ("_catalog", None));
    assert!(incomplete(&report)[0].contains("names 0 repositories, fewer than half of the 6 before"), "{report:?}");

    // Some are back, one of them repaired.
    registry.push("app:1", &app());
    registry.push("r1:1", &Image::manifest().named("1"));
    let report = sweeping.sweep().await;
    assert_eq!(summary(&report), (Outcome::Failed, false, 1, 1), "{report:?}");
    registry.push("r2:1", &Image::manifest().named("2"));
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 0, 0), "half of them is enough");
}

#[tokio::test]
async fn shorter_catalog_is_accepted_after_a_day_unchanged() {
    let registry = damaged(6).await;
    let mut sweeping = Sweeping::of(&registry);
    sweeping.sweep().await;
    let registry = emptied(registry).await;
    registry.push("r1:1", &Image::manifest().named("1"));
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Failed, false, 1, 1));
    let outage = registry.fault(everything(), answers(403));
    sweeping.sweep().await;
    outage.lift();

    sweeping.catalog.shorter.as_mut().unwrap().since -= DAY;
    registry.push("r2:1", &Image::manifest().named("2"));
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Failed, false, 1, 1), "it has changed");
    sweeping.catalog.shorter.as_mut().unwrap().since -= DAY;
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 0, 0));
    assert_eq!(sweeping.changes.gone.len(), 1);
}

#[tokio::test]
async fn empty_catalog_resolves_nothing_for_a_day() {
    let registry = damaged(1).await;
    let mut sweeping = Sweeping::of(&registry);
    sweeping.sweep().await;
    let _empty = emptied(registry).await;
    for _ in 0..2 {
        assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, true, 1, 0));
    }
    sweeping.catalog.shorter.as_mut().unwrap().since -= DAY;
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, true, 0, 0));
}

#[tokio::test]
async fn a_single_deleted_repository_resolves_its_failures() {
    let registry = damaged(6).await;
    let mut sweeping = Sweeping::of(&registry);
    sweeping.sweep().await;
    let registry = emptied(registry).await;
    for n in 1..6 {
        registry.push(&format!("r{n}:1"), &Image::manifest().named(&n.to_string()));
    }
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 0, 0));
}

#[tokio::test]
async fn each_pattern_that_matches_nothing_is_named_and_resolves_nothing() {
    let registry = damaged(3).await;
    let mut sweeping = Sweeping::of(&registry);
    sweeping.sweep().await;

    let mut sweeping = sweeping.with(|target| target.repositories.include = filter("team/*"));
    let report = sweeping.sweep().await;
    assert_eq!(summary(&report), (Outcome::Partial, true, 1, 1));
    assert!(
        incomplete(&report)[0].contains("repositories.include: the pattern \"team/*\" matches none of 3 repositories")
    );
    assert_eq!(report.unverified[0].reference, "repositories.include: team/*");

    let mut sweeping = sweeping.with(|target| target.repositories.include.extend(filter("r.*")));
    let report = sweeping.sweep().await;
    assert_eq!(summary(&report), (Outcome::Partial, false, 1, 1), "one of two patterns: {report:?}");

    let mut sweeping = sweeping.with(|target| {
        target.repositories.include.clear();
        target.tags.include = filter("v[0-9]+");
    });
    let report = sweeping.sweep().await;
    assert_eq!(summary(&report), (Outcome::Partial, true, 1, 1));
    assert!(incomplete(&report)[0].contains("tags.include: the pattern \"v[0-9]+\" matches no tag in 3 repositories"));

    // A repaired image is resolved all the same, and an image that is left out on purpose too.
    registry.push("app:1", &app());
    let mut sweeping = sweeping.with(|target| target.tags.include.extend(filter("1")));
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Partial, false, 0, 1));
    registry.remove_manifest("app", &app().child("linux/arm64").unwrap().digest);
    registry.push("app:v1", &Image::manifest().named("v1"));
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 1, 0));
    let mut sweeping = sweeping.with(|target| target.tags.include = filter("v.*"));
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 0, 0));

    let mut sweeping = sweeping.with(|target| {
        target.tags.include.clear();
        (target.repositories.exclude, target.tags.exclude) = (filter("none"), filter("none"));
    });
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 1, 0), "such excludes are harmless");
}

#[tokio::test]
async fn a_list_that_is_incomplete_is_not_held_against_a_filter() {
    let registry = damaged(3).await;
    let none =
        |pattern| move |target: &mut registry_integrity_probe::config::Target| target.tags.include = filter(pattern);
    let tags = registry_integrity_probe::demo::fault::at(registry_integrity_probe::demo::Endpoint::Tags);
    let fault = registry.fault(tags.in_repository("r1"), answers(403));
    let report = Sweeping::of(&registry).with(none("v.*")).sweep().await;
    let [entry] = &report.unverified[..] else { panic!("{report:?}") };
    assert_eq!((entry.reference.as_str(), entry.cause), ("r1", Cause::Unauthorized));
    fault.lift();
    let fault = registry.fault(everything(), answers(403));
    let report = Sweeping::of(&registry).with(|target| target.repositories.include = filter("x")).sweep().await;
    assert_eq!(report.unverified.len(), 1, "{report:?}");
    fault.lift();
}

#[tokio::test]
async fn shards_match_patterns_globally_and_may_be_empty() {
    let registry = damaged(2).await;
    let (mut empty, mut images) = (0, 0);
    for index in 0..7 {
        let report = Sweeping::of(&registry)
            .with(|target| {
                target.shard = Some(Shard::new(index, 7).unwrap());
                target.repositories.include = [filter("app"), filter("r1")].concat();
                target.tags.include = [filter("1"), filter("other")].concat();
            })
            .sweep()
            .await;
        assert_eq!(report.unverified, [], "another shard may have the tag");
        empty += u32::from(report.empty);
        images += report.images.total();
    }
    assert!(empty >= 5, "{empty}");
    assert_eq!(images, 2);
}

fn repository(name: &str) -> ImageSelector {
    ImageSelector::Repository(name.parse().unwrap())
}

#[tokio::test]
async fn absent_repository_in_images_leaves_the_others_checked() {
    let registry = damaged(2).await;
    let mut sweeping = Sweeping::of(&registry).with(|target| target.images = vec![repository("app"), repository("r1")]);
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 1, 0));

    let registry = emptied(registry).await;
    registry.push("r1:1", &Image::manifest().named("1"));
    let report = sweeping.sweep().await;
    assert_eq!(summary(&report), (Outcome::Partial, false, 1, 1));
    assert_eq!((report.unverified[0].reference.as_str(), report.images.intact), ("app", 1));
    assert!(incomplete(&report)[0].contains("`images` names the repository"), "{report:?}");

    let mut alone = Sweeping::of(&registry).with(|target| target.images = vec![repository("app")]);
    let report = alone.sweep().await;
    assert_eq!(summary(&report), (Outcome::Partial, true, 0, 1));
    registry.push("app:1", &app());
    registry.delete_tag("app:1");
    assert_eq!(summary(&alone.sweep().await), (Outcome::Complete, true, 0, 0), "it exists without tags");
}

#[tokio::test]
async fn a_cache_of_which_nothing_was_checked_is_empty() {
    let registry = damaged(6).await;
    let image = |name: &str| ImageSelector::Image(name.parse().unwrap());
    let mut sweeping = Sweeping::of(&registry).with(|target| target.mode = Mode::PullThrough);
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, true, 0, 0));
    let mut sweeping = sweeping.with(|target| target.images = vec![image("r1:1")]);
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, false, 0, 0));
    let _empty = emptied(registry).await;
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Partial, false, 0, 1), "eviction is no failure");
    let mut sweeping = sweeping.with(|target| target.images.clear());
    assert_eq!(summary(&sweeping.sweep().await), (Outcome::Complete, true, 0, 0), "nothing is named");
}

/// Absence is normal in a cache: it is no failure, but proves nothing about the images that the configuration names.
#[tokio::test]
async fn images_absent_from_a_cache_are_incomplete() {
    let registry = damaged(6).await;
    let image = |name: &str| ImageSelector::Image(name.parse().unwrap());
    let images = vec![
        image("r1:1"),
        image("r1:absent"),
        image("absent:1"),
        image(&format!("absent@{}", app().root().digest)),
        repository("gone"),
        repository("r2"),
    ];
    registry.clear_requests();
    let mut sweeping = Sweeping::of(&registry).with(|target| {
        target.mode = Mode::PullThrough;
        target.images = images;
    });
    let report = sweeping.sweep().await;
    assert_eq!(summary(&report), (Outcome::Partial, false, 0, 4), "{report:#?}");
    assert_eq!((report.images.intact, report.images.unverified), (1, 3), "{report:#?}");
    let named: Vec<_> = report.unverified.iter().map(|it| (it.repository.as_deref(), &*it.reference)).collect();
    for expected in [("r1", "absent"), ("absent", "1"), ("gone", "gone")] {
        assert!(named.contains(&(Some(expected.0), expected.1)), "{named:?}");
    }
    assert!(incomplete(&report).iter().all(|detail| detail.contains("`images` names the")), "{report:#?}");
    let asked = registry.requests();
    let of_images: Vec<_> = asked.iter().filter(|it| it.path.contains("/manifests/")).collect();
    assert_eq!(of_images.iter().map(|it| &*it.method).collect::<Vec<_>>(), ["HEAD", "HEAD"], "{asked:#?}");
    assert!(!asked.iter().any(|it| it.path.contains("absent/") || it.path.contains("gone")), "{asked:#?}");

    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &registry.url(), ", mode: pull_through, images: ['zz:1']");
    let outcome = probe(["sweep", "--config.file", &config]).run().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stdout.contains("`images` names the repository zz"), "{outcome:?}");
}

/// A configuration of one registry, `r`, that is swept every half second.
fn config(folder: &Path, url: &str, keys: &str) -> String {
    let path = folder.join("probe.yaml");
    let confirm = "confirm: {attempts: 1, delay: 10ms}, limits: {retries: 1}";
    let text = format!(
        "global: {{interval: 500ms}}\nregistries:\n  - {{name: r, url: '{url}', spread: 0s, {confirm}{keys}}}\n"
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn sample(service: &RunningProbe, series: &str) -> Option<f64> {
    let metrics = service.get("/metrics").await;
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

const EMPTY: &str = r#"registry_integrity_empty{registry="r"}"#;
const LAST_SUCCESS: &str = r#"registry_integrity_last_success_timestamp_seconds{registry="r"}"#;
const MISSING: &str = r#"registry_integrity_failures{registry="r",kind="child",reason="missing"}"#;
const INCOMPLETE: &str = r#"registry_integrity_unverified{registry="r",cause="incomplete"}"#;

/// Waits for a page, and that is not green.
async fn is_not_green(service: &RunningProbe, standing: &str) {
    let page = poll_until(BOUND, async || {
        let page = service.get("/").await;
        page.contains(&format!("<header class=\"{standing}\">")).then_some(page)
    })
    .await;
    assert!(page.contains("EMPTY"), "{page}");
    assert!(!page.contains("Everything is intact") && !page.contains("state intact"), "{page}");
}

#[tokio::test]
async fn registry_restarted_empty_keeps_known_failures() {
    let registry = damaged(6).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &registry.url(), "");
    let state = folder.path().join("state").display().to_string();
    let serve = async || probe(["serve", "--config.file", &config, "--storage.path", &state]).serve().await;
    let service = serve().await;
    poll_until(BOUND, async || (sample(&service, MISSING).await == Some(1.0)).then_some(())).await;
    assert_eq!(sample(&service, EMPTY).await, Some(0.0));
    let _empty = emptied(registry).await;
    poll_until(BOUND, async || (sample(&service, EMPTY).await == Some(1.0)).then_some(())).await;
    service.terminate().await;

    // Another process knows how many there were.
    let service = serve().await;
    assert_eq!(sample(&service, EMPTY).await, Some(1.0), "known from before");
    let swept = r#"registry_integrity_sweeps_total{registry="r",outcome="failed"}"#;
    poll_until(BOUND, async || (sample(&service, swept).await >= Some(2.0)).then_some(())).await;
    assert_eq!(sample(&service, MISSING).await, Some(1.0), "an empty registry resolves nothing");
    assert_eq!(sample(&service, INCOMPLETE).await, Some(1.0));
    assert_eq!(sample(&service, LAST_SUCCESS).await, None);
    is_not_green(&service, "broken").await;
}

#[tokio::test]
async fn empty_registry_is_reported_empty_and_exits_0() {
    let registry = Registry::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for keys in ["", ", mode: pull_through"] {
        let config = config(folder.path(), &registry.url(), keys);
        let sweep = async |format: &str| probe(["sweep", "--config.file", &config, "--output", format]).run().await;
        let text = sweep("text").await;
        assert_eq!(text.code, Some(0), "{text:?}");
        assert!(text.stdout.contains("if it has images"), "{text:?}");
        assert!(text.stdout.starts_with("EMPTY  r: no image was checked"), "{text:?}");
        assert!(sweep("junit").await.stdout.contains("<skipped message=\"EMPTY: no image was checked"));
        assert!(sweep("github").await.stdout.contains("::warning title=EMPTY registry::no image was checked"));
        let json: Value = serde_json::from_str(&sweep("json").await.stdout).unwrap();
        assert_eq!(
            (&json["registries"][0]["empty"], &json["registries"][0]["outcome"]),
            (&true.into(), &"complete".into())
        );

        let service = probe(["serve", "--config.file", &config]).serve().await;
        is_not_green(&service, "empty").await;
        assert_eq!((sample(&service, EMPTY).await, sample(&service, LAST_SUCCESS).await), (Some(1.0), None));
        let known: Value = serde_json::from_str(&service.get("/api/v1/registries").await).unwrap();
        let known = &known["registries"][0];
        assert_eq!((&known["empty"], &known["last_success"]), (&true.into(), &Value::Null));
        let swept = r#"registry_integrity_sweeps_total{registry="r",outcome="complete"}"#;
        poll_until(BOUND, async || (sample(&service, swept).await >= Some(2.0)).then_some(())).await;
        assert_eq!(service.stderr().matches("no image was checked").count(), 1, "once, not in every sweep");
    }
    registry.push("app:1", &app());
    let config = config(folder.path(), &registry.url(), "");
    let service = probe(["serve", "--config.file", &config]).serve().await;
    poll_until(BOUND, async || sample(&service, LAST_SUCCESS).await).await;
    assert_eq!(sample(&service, EMPTY).await, Some(0.0));
}

#[tokio::test]
async fn the_metric_is_absent_until_a_sweep_has_reached_the_registry() {
    let registry = Registry::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &registry.url(), "");
    registry.go_down().await;
    let service = probe(["serve", "--config.file", &config]).serve().await;
    let swept = r#"registry_integrity_sweeps_total{registry="r",outcome="failed"}"#;
    poll_until(BOUND, async || (sample(&service, swept).await >= Some(1.0)).then_some(())).await;
    assert_eq!(sample(&service, EMPTY).await, None);
}

#[tokio::test]
async fn filters_that_match_nothing_exit_with_3() {
    let registry = Registry::start().await.unwrap();
    registry.push("team/app:1", &app());
    let folder = tempfile::tempdir().unwrap();
    for (keys, named) in [
        ("repositories: {include: ['team/*']}", "repositories.include: the pattern \"team/*\""),
        ("tags: {include: ['v[0-9]+']}", "tags.include: the pattern \"v[0-9]+\""),
        ("images: [team/absent]", "team/absent"),
    ] {
        let config = config(folder.path(), &registry.url(), &format!(", {keys}"));
        let text = probe(["sweep", "--config.file", &config]).run().await;
        assert_eq!(text.code, Some(3), "{text:?}");
        let said = text.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [named, "INCOMPLETE", "UNVERIFIED r: EMPTY, no image was checked"] {
            assert!(said.contains(part), "{keys}: {said}");
        }
        let service = probe(["serve", "--config.file", &config]).serve().await;
        is_not_green(&service, "unverified").await;
        assert_eq!(sample(&service, EMPTY).await, Some(1.0));
        assert_eq!(sample(&service, INCOMPLETE).await, Some(1.0));
        assert_eq!(sample(&service, LAST_SUCCESS).await, None);
    }
}

#[tokio::test]
async fn one_shot_sweep_with_state_keeps_catalog_size() {
    let registry = Registry::start().await.unwrap();
    for n in 0..5 {
        registry.push(&format!("r{n}:1"), &Image::manifest().named(&n.to_string()));
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &registry.url(), "");
    let state = folder.path().join("state").display().to_string();
    let sweep = async || probe(["sweep", "--config.file", &config, "--storage.path", &state]).run().await;
    assert_eq!(sweep().await.code, Some(0));
    let registry = emptied(registry).await;
    registry.push("r0:1", &Image::manifest().named("0"));
    for _ in 0..2 {
        let outcome = sweep().await;
        assert_eq!(outcome.code, Some(3), "{outcome:?}");
        let said = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains("fewer than half of the 5 before") && said.contains("the catalog is incomplete"),
            "{said}"
        );
    }
}

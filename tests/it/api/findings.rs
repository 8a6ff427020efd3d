//! What is broken, and what was.

use std::time::Duration;

use registry_integrity_probe::demo::Image;
use registry_integrity_probe::report::{Cause, Reason};
use registry_integrity_probe::state::State;
use serde_json::Value;

use super::service::{Service, Watched};
use crate::testkit::sample::{bad_layer, broken, intact, nine_o_clock, orphan_child, partial, target, unjudged_layer};

fn list<'a>(answer: &'a Value, name: &str) -> &'a Vec<Value> {
    answer[name].as_array().unwrap_or_else(|| panic!("{name}: {answer}"))
}

#[tokio::test]
async fn a_failure_that_is_over_tells_its_life() {
    let watched = Watched::after_the_incident().await;
    let resolved = watched.service.found("/api/v1/findings?state=resolved").await;
    assert_eq!(resolved["unverified"], Value::Array(Vec::new()));
    let index = Image::index().named("infra-ci 5319f03e").based_on("debian 12").with_attestation();
    let child = index.child("linux/amd64").unwrap().digest.to_string();
    let over = list(&resolved, "failures").iter().find(|failure| failure["digest"] == child.as_str()).unwrap();
    assert_eq!(
        (&over["registry"], &over["repository"], &over["reason"]),
        (&"private".into(), &"infra-ci".into(), &"missing".into())
    );
    assert_eq!(over["images"], Value::from(vec!["infra-ci:5319f03e"]), "as it was last");
    let [change] = &list(over, "changes")[..] else { panic!("{over}") };
    assert_eq!(change["reason"], Value::Null);
    assert_eq!(change["images"]["removed"], Value::from(vec!["infra-ci:latest"]));
    assert_eq!((&change["images"]["removed_count"], &change["images"]["added_count"]), (&1.into(), &0.into()));
    let time = |name: &str| humantime::parse_rfc3339(over[name].as_str().unwrap()).unwrap();
    assert!(time("first_seen") <= time("last_seen") && time("last_seen") <= time("disproved_at"), "{over}");

    let open = watched.service.found("/api/v1/findings").await;
    let [other] = &list(&open, "failures")[..] else { panic!("{open}") };
    assert_eq!(other["repository"], "postgres-backup");
    assert!(other.get("disproved_at").is_none() && other.get("changes").is_none(), "{other}");
    assert_eq!(open, watched.service.found("/api/v1/findings?state=open").await);
    let none = watched.service.found("/api/v1/findings?state=resolved&repository=postgres-backup").await;
    assert_eq!(none, serde_json::json!({"failures": [], "unverified": []}));
}

/// A layer of `a` was bad from nine to ten past, one of `b` from five past to a quarter past, one of `b` still is.
async fn three_failures() -> Service {
    let minutes = |minutes: u64| nine_o_clock() + Duration::from_secs(60 * minutes);
    let at = |name: &str, reason, image: &str, minute| {
        let seen = minutes(minute);
        registry_integrity_probe::report::Failure {
            first_seen: seen,
            last_seen: seen,
            ..bad_layer(name, reason, &[image])
        }
    };
    let state = State::new(&[target("a"), target("b")]);
    let (a, b) = (state.registry("a").unwrap(), state.registry("b").unwrap());
    a.finish_sweep(broken("a", vec![at("x", Reason::Missing, "app:1", 0)]), minutes(0));
    a.finish_sweep(intact("a"), minutes(10));
    let still = at("z", Reason::Missing, "app:3", 6);
    b.finish_sweep(broken("b", vec![at("y", Reason::SizeMismatch, "tools:2", 5), still.clone()]), minutes(6));
    let mut report = broken("b", vec![still]);
    report.unverified = partial("b", vec![unjudged_layer("u", Cause::Timeout, &["app:1"])]).unverified;
    b.finish_sweep(report, minutes(15));
    Service::of(state).await
}

#[tokio::test]
async fn filters_narrow_what_is_over_and_since_narrows_both() {
    let service = three_failures().await;
    for (query, repositories) in [
        ("", &["tools", "app"][..]),
        ("&registry=a", &["app"]),
        ("&registry=nobody", &[]),
        ("&repository=tools", &["tools"]),
        ("&reason=size_mismatch", &["tools"]),
        ("&reason=malformed", &[]),
        ("&since=2026-04-19T09:10:00Z", &["tools", "app"]),
        ("&since=2026-04-19T09:10:01Z", &["tools"]),
        ("&since=2026-04-19T11:15:00%2B02:00", &["tools"]),
        ("&since=1776590101", &[]),
    ] {
        let answer = service.found(&format!("/api/v1/findings?state=resolved{query}")).await;
        let found: Vec<&str> = list(&answer, "failures").iter().map(|it| it["repository"].as_str().unwrap()).collect();
        assert_eq!(found, repositories, "{query}");
        assert!(list(&answer, "unverified").is_empty(), "{query}");
    }
    for (query, failures, unverified) in
        [("", 1, 1), ("?since=2026-04-19T09:06:00Z", 1, 0), ("?since=2026-04-19T09:06:01Z", 0, 0)]
    {
        let answer = service.found(&format!("/api/v1/findings{query}")).await;
        assert_eq!(
            (list(&answer, "failures").len(), list(&answer, "unverified").len()),
            (failures, unverified),
            "{query}"
        );
    }
}

#[tokio::test]
async fn queries_that_make_no_sense_are_refused() {
    let service = three_failures().await;
    let long = "x".repeat(20_000);
    for query in [
        "state=closed",
        "state=",
        "state=open&state=open",
        "since=",
        "since=yesterday",
        "since=2026-04-19T11:15:00+02:00",
        "since=-1",
        "since=1&since=1",
        "limit=0",
        "limit=10001",
        "limit=-1",
        "limit=",
        "limit=1e3",
        "limit=1&limit=1",
        "reason=%3Cscript%3E",
        "registry=a&registry=a",
        "State=open",
        "registry[]=a",
        "%00=1",
        "a",
        &format!("reason={long}"),
        &format!("since={long}"),
        &format!("{long}=1"),
    ] {
        let (status, why) = service.refused(&format!("/api/v1/findings?{query}")).await;
        assert_eq!(status, 400, "{query}: {why}");
        assert!(why.len() < 1_000 && !why.is_empty(), "{why}");
    }
    let (_, why) = service.refused("/api/v1/findings?since=2026-04-19T11:15:00+02:00").await;
    assert!(why.contains("%2B"), "{why}");
    for query in ["registry=%00", "repository=%F0%9F%A6%80", &format!("registry={long}"), "repository=..%2F..", ""] {
        service.found(&format!("/api/v1/findings?{query}")).await;
    }
}

#[tokio::test]
async fn what_is_open_is_told_as_it_always_was() {
    let state = State::new(&[target("a")]);
    let report = broken("a", vec![orphan_child()]);
    let failure = serde_json::to_string(&report.failures[0]).unwrap();
    state.registry("a").unwrap().finish_sweep(report, nine_o_clock());
    let answer = Service::of(state).await.ask("GET", "/api/v1/findings", &[]).await;
    let expected = format!("{{\"failures\":[{{\"registry\":\"a\",{}],\"unverified\":[]}}", &failure[1..]);
    assert_eq!(answer.text(), expected);
}

//! Lists in pages, for who asks for that.

use std::time::Duration;

use registry_integrity_probe::report::{Cause, Reason, Unverified};
use registry_integrity_probe::state::State;
use serde_json::Value;

use super::service::Service;
use crate::testkit::sample::{bad_layer, broken, failed, intact, nine_o_clock, target, unjudged_layer};

/// Findings of three registries, some of them the same but for their detail, and a history of failures and sweeps.
async fn service() -> Service {
    let state = State::new(&[target("c"), target("a"), target("b")]);
    for name in ["a", "b", "c"] {
        let registry = state.registry(name).unwrap();
        for minute in 0..6u64 {
            let mut report = intact(name);
            if minute % 2 == 0 {
                let layer = |n| bad_layer(&format!("{n}"), Reason::Missing, &[&format!("app{}:1", n % 3)]);
                report = broken(name, (0..7).map(layer).collect());
            }
            if minute == 4 {
                let lost = |n| Unverified { detail: format!("catalog, {n}"), ..failed(name).unverified.remove(0) };
                report.unverified = (0..5).map(lost).collect();
                report.unverified.push(unjudged_layer("u", Cause::Timeout, &["app:1"]));
                let odd = Unverified { repository: Some("\u{1F980}".repeat(5_000)), ..report.unverified[0].clone() };
                report.unverified.extend([odd.clone(), odd]);
            }
            if minute < 5 {
                registry.finish_sweep(report, nine_o_clock() + Duration::from_secs(60 * minute));
            }
        }
    }
    Service::of(state).await
}

fn entries(answer: &Value, lists: &[&str]) -> Vec<String> {
    let all = lists.iter().flat_map(|name| answer[*name].as_array().unwrap());
    all.map(ToString::to_string).collect()
}

#[tokio::test]
async fn pages_of_any_size_make_up_the_whole_list() {
    let service = service().await;
    for (path, lists, count) in [
        ("/api/v1/findings?", &["failures", "unverified"][..], 3 * (7 + 8)),
        ("/api/v1/findings?registry=b&", &["failures", "unverified"], 7 + 8),
        ("/api/v1/findings?state=resolved&", &["failures", "unverified"], 3 * 14),
        ("/api/v1/sweeps?", &["sweeps"], 3 * 5),
    ] {
        let whole = service.found(path).await;
        assert!(whole.get("next").is_none(), "{path}");
        let mut expected = entries(&whole, lists);
        expected.sort_unstable();
        assert_eq!(expected.len(), count, "{path}");
        for limit in [1, 2, 3, 7, count, 10_000] {
            let (mut found, mut pages) = (Vec::new(), 0);
            let mut next = Some(String::new());
            while let Some(cursor) = next {
                let cursor = if cursor.is_empty() { cursor } else { format!("&cursor={cursor}") };
                let page = service.found(&format!("{path}limit={limit}{cursor}")).await;
                let some = entries(&page, lists);
                assert!(some.len() <= limit, "{path}");
                found.extend(some);
                pages += 1;
                assert!(pages <= count, "{path} in pages of {limit} has no end");
                next = page["next"].as_str().map(ToString::to_string);
                assert!(page.get("next").is_some_and(|next| next.is_null() || next.is_string()), "{path}");
            }
            found.sort_unstable();
            assert!(found == expected, "{path} in pages of {limit}");
            assert_eq!(pages, count.div_ceil(limit), "{path} in pages of {limit}");
        }
    }
}

#[tokio::test]
async fn next_page_continues_after_the_list_changed() {
    let service = service().await;
    let first = service.found("/api/v1/findings?registry=a&limit=5").await;
    let cursor = first["next"].as_str().unwrap();
    let mended = broken(
        "a",
        (3..7).map(|n| bad_layer(&format!("{n}"), Reason::Missing, &[&format!("app{}:1", n % 3)])).collect(),
    );
    service.state.registry("a").unwrap().finish_sweep(mended, nine_o_clock() + Duration::from_secs(3600));
    let whole = service.found("/api/v1/findings?registry=a").await;
    let rest = service.found(&format!("/api/v1/findings?registry=a&cursor={cursor}")).await;
    assert_eq!(rest["next"], Value::Null);
    let given = entries(&first, &["failures"]);
    let given: Vec<&str> = given.iter().map(|entry| &entry[..entry.find("\"kind\"").unwrap()]).collect();
    for entry in entries(&whole, &["failures"]) {
        let was_given = given.iter().any(|given| entry.starts_with(given));
        assert!(was_given || entries(&rest, &["failures"]).contains(&entry), "{entry}");
    }
}

#[tokio::test]
async fn a_cursor_of_something_else_is_not_found() {
    let service = service().await;
    let of_findings = service.found("/api/v1/findings?limit=1").await;
    let cursor = of_findings["next"].as_str().unwrap();
    for path in [
        format!("/api/v1/sweeps?limit=1&cursor={cursor}"),
        format!("/api/v1/findings?state=resolved&limit=1&cursor={cursor}"),
        "/api/v1/findings?limit=1&cursor=".to_string(),
        "/api/v1/findings?cursor=e30".to_string(),
        format!("/api/v1/findings?cursor={}", "A".repeat(20_000)),
    ] {
        let (status, why) = service.refused(&path).await;
        assert_eq!(status, 404, "{why}");
        assert!(why.starts_with("cursor: "), "{why}");
    }
}

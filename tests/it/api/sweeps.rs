//! The history of sweeps, and those that run.

use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::check::progress::Progress;
use registry_integrity_probe::report::Reason;
use registry_integrity_probe::state::State;
use serde_json::{Value, json};

use super::service::Service;
use crate::testkit::sample::{bad_layer, broken, failed, intact, nine_o_clock, target};

/// `a` was swept at nine and a quarter past, and is swept since half past; `b` was swept at five past.
async fn service() -> Service {
    let minutes = |minutes: u64| nine_o_clock() + Duration::from_secs(60 * minutes);
    let state = State::new(&[target("a"), target("b")]);
    let (a, b) = (state.registry("a").unwrap(), state.registry("b").unwrap());
    a.finish_sweep(broken("a", vec![bad_layer("x", Reason::Missing, &["app:1"])]), minutes(0));
    a.finish_sweep(intact("a"), minutes(15));
    b.finish_sweep(failed("b"), minutes(5));
    let progress = Arc::new(Progress::default());
    progress.begin(22);
    progress.repository();
    (0..5).for_each(|_| progress.object());
    a.begin_sweep(minutes(30), progress);
    Service::of(state).await
}

#[tokio::test]
async fn sweeps_are_newest_first_with_current_progress() {
    let service = service().await;
    let answer = service.found("/api/v1/sweeps").await;
    let sweeps = answer["sweeps"].as_array().unwrap();
    let told: Vec<_> =
        sweeps.iter().map(|it| (it["registry"].as_str().unwrap(), it["ended_at"].as_str().unwrap())).collect();
    let expected = [("a", "2026-04-19T09:15:00Z"), ("b", "2026-04-19T09:05:00Z"), ("a", "2026-04-19T09:00:00Z")];
    assert_eq!(told, expected);
    assert_eq!(
        sweeps[0],
        json!({
            "registry": "a", "id": 2, "started_at": "2026-04-19T09:00:00Z", "ended_at": "2026-04-19T09:15:00Z",
            "duration_seconds": 1.9, "outcome": "complete", "catalog_accessible": true, "empty": false, "repositories": 22,
            "images": {"intact": 62, "broken": 0, "unverified": 0},
            "objects": {"manifest": 63, "child": 118, "config": 120, "layer": 840},
            "failures": 0, "appeared": 0, "disproved": 1, "unverified": 0, "requests": 1210, "received_bytes": 340_112,
            "coverage": null,
        })
    );
    assert_eq!((&sweeps[1]["outcome"], &sweeps[2]["appeared"]), (&"failed".into(), &1.into()));
    let running = json!([{
        "registry": "a", "started_at": "2026-04-19T09:30:00Z", "repositories": 22, "repositories_walked": 1,
        "objects": 5, "objects_expected": 1141,
    }]);
    assert_eq!(answer["running"], running);
}

#[tokio::test]
async fn sweeps_are_narrowed() {
    let service = service().await;
    for (query, ended, running) in [
        ("registry=a", 2, 1),
        ("registry=b", 1, 0),
        ("registry=", 3, 1),
        ("registry=nobody", 0, 0),
        ("since=2026-04-19T09:05:00Z", 2, 1),
        ("since=2026-04-19T09:15:01Z", 0, 1),
        ("registry=b&since=1776589500", 1, 0),
    ] {
        let answer = service.found(&format!("/api/v1/sweeps?{query}")).await;
        let count = |name: &str| answer[name].as_array().map(Vec::len);
        assert_eq!((count("sweeps"), count("running")), (Some(ended), Some(running)), "{query}");
    }
    for query in ["since=now", "limit=0", "registry=a&registry=b", "state=open", "limit=a"] {
        assert_eq!(service.refused(&format!("/api/v1/sweeps?{query}")).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn an_answer_is_not_older_than_the_last_end_or_beginning() {
    let service = service().await;
    let count = async || {
        let answer = service.found("/api/v1/sweeps?registry=b").await;
        (answer["sweeps"].as_array().unwrap().len(), answer["running"].as_array().unwrap().len())
    };
    let b = service.state.registry("b").unwrap();
    assert_eq!(count().await, (1, 0));
    b.begin_sweep(nine_o_clock() + Duration::from_secs(3600), Arc::default());
    assert_eq!(count().await, (1, 1));
    b.finish_sweep(intact("b"), nine_o_clock() + Duration::from_secs(3601));
    assert_eq!(count().await, (2, 0));
    service.state.configure(&[target("a")]);
    assert_eq!(count().await, (0, 0));
    let all = service.found("/api/v1/registries").await;
    assert_eq!(all["registries"].as_array().map(Vec::len), Some(1));
    assert_ne!(all["registries"][0]["sweeping_since"], Value::Null);
}

//! Every query, asked of a real Prometheus that scrapes the real exporter and evaluates the real rules: while everything is
//! whole, and while something is broken and used by containers, something cannot be judged, and a token service is asked.

use std::time::Duration;

use registry_integrity_probe::demo::fault::{answers, on};
use registry_integrity_probe::demo::{Auth, Image, Registry, TokenService};

use super::form::filled_in;
use super::{Query, dashboards, project, queries};
use crate::testkit::monitoring::kube_state_metrics::of_containers;
use crate::testkit::monitoring::{self, Service};
use crate::testkit::probe::probe;

const BOUND: Duration = Duration::from_secs(60);

/// Queries that have nothing to return while everything is whole, and why.
const SILENT_WHILE_WHOLE: [(&str, &str); 5] = [
    ("registry-integrity-overview: Workloads with broken images A", "nothing is broken"),
    ("registry-integrity-overview: List of broken images A", "none is"),
    ("registry-integrity-overview: List of unverified images A", "all could be"),
    ("registry-integrity-overview: Broken objects A", "none failed"),
    ("registry-integrity-overview: New failures", "none appeared"),
];

/// Queries that have something to return neither then nor while something is broken, and why. Without their `> 0` they have.
const SILENT: [(&str, &str); 2] = [
    ("registry-integrity-overview: Broken objects B", "there are fewer broken images than series"),
    ("registry-integrity-probe: Restarts", "the process was not restarted"),
];

fn all_queries() -> Vec<Query> {
    dashboards().iter().flat_map(|(_, dashboard)| queries(dashboard)).collect()
}

/// Asks every query: those whose places are in `silent` must return nothing, and all others something.
async fn ask_all(prometheus: &Service, state: &str, silent: &[&str]) {
    for Query { place, expression } in all_queries() {
        let expression = filled_in(&expression);
        if silent.contains(&place.as_str()) {
            let found = prometheus.query(&expression).await;
            assert!(found.is_empty(), "{state}: {place} is expected to be silent and returns {found:?}");
        } else {
            returns_something(prometheus, &format!("{state}: {place}"), &expression).await;
        }
    }
    for (place, _) in SILENT {
        let query = all_queries().into_iter().find(|query| query.place == place).expect("it is the place of a query");
        let expression = filled_in(&query.expression);
        assert!(expression.ends_with(" > 0"), "{place}");
        returns_something(prometheus, place, &expression.replace(" > 0", " >= 0")).await;
    }
}

async fn returns_something(prometheus: &Service, place: &str, expression: &str) {
    let found = async {
        while prometheus.query(expression).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, found).await.is_ok(), "{place} returns nothing: {expression}");
}

#[tokio::test]
async fn every_query_returns_something_when_it_should() {
    let registry = Registry::start().await.unwrap();
    let tokens = TokenService::new().for_user("probe", "secret").expiring_in(Duration::from_secs(1));
    registry.require(Auth::bearer(&tokens));
    let (whole, broken) = (Image::manifest().named("app"), Image::index().named("infra-ci"));
    registry.push("app:1", &whole);
    registry.push("infra-ci:latest", &broken);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("probe.yaml");
    let keys = "spread: 0s, basic_auth: {username: probe, password: secret}, confirm: {attempts: 1, delay: 20ms}";
    let yaml = format!("global: {{interval: 1s}}\nregistries: [{{name: private, url: '{}', {keys}}}]", registry.url());
    std::fs::write(&config, yaml).unwrap();
    let service = probe([
        "serve",
        "--config.file",
        &config.display().to_string(),
        "--storage.path",
        &folder.path().join("state").display().to_string(),
    ])
    .serve()
    .await;
    let host = registry.url().replace("http://", "");
    let used = ["web", "batch"].map(|namespace| (namespace, format!("{host}/infra-ci:latest")));
    let whole_one = format!("{host}/app:1");
    let containers =
        [(used[0].0, &*used[0].1), (used[1].0, &*used[1].1), (used[1].0, &*used[1].1), ("web", &*whole_one)];
    let jobs = [("scraped", service.address()), ("kube-state-metrics", of_containers(&containers).await)];
    let rules = std::fs::read_to_string(project("alerts/registry-integrity.rules.yaml")).unwrap();
    let Some(prometheus) = monitoring::prometheus_of(&jobs, None, &[&rules]).await else { return };

    returns_something(&prometheus, "two sweeps", r#"sum(registry_integrity_sweeps_total{outcome="complete"}) >= 2"#)
        .await;
    let never: Vec<&str> = SILENT.iter().map(|(place, _)| *place).collect();
    let mut silent: Vec<&str> = SILENT_WHILE_WHOLE.iter().map(|(place, _)| *place).collect();
    silent.extend(&never);
    ask_all(&prometheus, "whole", &silent).await;

    registry.fault(on(&broken.child("linux/amd64").unwrap().digest), answers(404));
    registry.fault(on(&whole.layers().next().unwrap().digest), answers(429));
    for finding in ["registry_integrity_image_broken", "registry_integrity_image_unverified"] {
        returns_something(&prometheus, "broken", finding).await;
    }
    ask_all(&prometheus, "broken", &never).await;

    let of = |place: &str| {
        let query =
            all_queries().into_iter().find(|query| query.place.ends_with(place)).expect("it is the place of a query");
        filled_in(&query.expression)
    };
    prometheus.wait_for(&of("Broken images in use A"), &["1"]).await;
    let mut found: Vec<(String, String)> = prometheus
        .query(&of("Workloads with broken images A"))
        .await
        .into_iter()
        .map(|(labels, count)| {
            let labels = ["namespace", "registry", "repository", "tag", "reason"]
                .map(|name| labels[name].as_str().unwrap_or("?"));
            (labels.join(" "), count)
        })
        .collect();
    found.sort();
    let expected = [("batch", "2"), ("web", "1")]
        .map(|(namespace, count)| (format!("{namespace} private infra-ci latest missing"), count.to_string()));
    assert_eq!(found, expected);
}

/// Where nobody knows what containers use, the panel has no data, and is not green.
#[tokio::test]
async fn without_kube_state_metrics_nobody_says_that_nothing_broken_is_used() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &Image::manifest().named("app"));
    let service = probe(["serve", "--registry", &registry.url()]).serve().await;
    let rules = std::fs::read_to_string(project("alerts/registry-integrity.rules.yaml")).unwrap();
    let jobs = [("scraped", service.address())];
    let Some(prometheus) = monitoring::prometheus_of(&jobs, None, &[&rules]).await else { return };
    returns_something(&prometheus, "a sweep", r#"registry_integrity_images{state="intact"} == 1"#).await;
    let query = all_queries().into_iter().find(|query| query.place.ends_with("Broken images in use A")).unwrap();
    assert_eq!(prometheus.query(&filled_in(&query.expression)).await, []);
}

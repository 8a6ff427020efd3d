//! The dashboards: written in `overview.rs` and `probe.rs`, committed as Grafana reads them, and held against Grafana's own
//! types, a linter's rules, and a real Prometheus. `UPDATE=1 cargo test --test peers dashboards` writes them anew.

mod answers;
mod build;
mod form;
mod overview;
mod probe;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Each dashboard's file and what is to be in it.
fn dashboards() -> [(&'static str, Value); 2] {
    [
        ("dashboards/registry-integrity-overview.json", overview::overview()),
        ("dashboards/registry-integrity-probe.json", probe::probe()),
    ]
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A query, and where it stands.
#[derive(Clone, Debug)]
struct Query {
    place: String,
    expression: String,
}

/// Those of a dashboard's panels and annotations, and those by which its variables find their values.
fn queries(dashboard: &Value) -> Vec<Query> {
    let title = dashboard["uid"].as_str().unwrap();
    let mut found = Vec::new();
    let mut add = |place: &str, expression: &str| {
        let place = format!("{title}: {place}");
        found.push(Query { place, expression: expression.to_string() });
    };
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            let place = format!("{} {}", panel["title"].as_str().unwrap(), target["refId"].as_str().unwrap());
            add(&place, target["expr"].as_str().unwrap());
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        add(annotation["name"].as_str().unwrap(), annotation["expr"].as_str().unwrap());
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap().iter().filter(|it| it["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (selector, label) = inner.rsplit_once(", ").unwrap();
        add(variable["name"].as_str().unwrap(), &format!("group by ({label}) ({selector})"));
    }
    found
}

/// Every panel that is not a row's head.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

//! What can be said of the dashboards without a Prometheus.

use std::collections::BTreeSet;
use std::process::Command;

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use regex::Regex;
use registry_integrity_probe::render::metrics::FAMILIES;
use serde_json::Value;

use super::overview::CONTAINERS;
use super::{dashboards, panels, project, queries};
use crate::testkit::peer;

/// What the process itself exposes beside the families.
const OF_THE_PROCESS: [&str; 5] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

/// A query as Prometheus gets it.
pub fn filled_in(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5s")
        .replace("$__interval", "1m")
        .replace("$registry", ".*")
        .replace("$job", "scraped")
}

#[derive(Default)]
struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(selector) => self.0.push(selector.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

#[test]
fn the_committed_files_are_what_the_source_says() {
    for (path, dashboard) in dashboards() {
        if std::env::var_os("UPDATE").is_some() {
            let text = serde_json::to_string_pretty(&dashboard).unwrap() + "\n";
            std::fs::write(project(path), text).unwrap();
        }
        let committed: Value = serde_json::from_str(&std::fs::read_to_string(project(path)).unwrap()).unwrap();
        assert_eq!(committed, dashboard, "{path}: UPDATE=1 cargo test --test peers dashboards writes it anew");
    }
}

#[test]
fn every_query_uses_existing_metrics_and_chosen_probes() {
    let suffixes = ["", "_bucket", "_sum", "_count"];
    let existing: BTreeSet<String> = FAMILIES
        .iter()
        .flat_map(|family| suffixes.map(|suffix| format!("{}{suffix}", family.name)))
        .chain(OF_THE_PROCESS.map(str::to_string))
        .chain([CONTAINERS.to_string()])
        .collect();
    let rules = std::fs::read_to_string(project("alerts/registry-integrity.rules.yaml")).unwrap();
    assert!(rules.contains(&format!("- record: {CONTAINERS}\n")));
    for query in dashboards().iter().flat_map(|(_, dashboard)| queries(dashboard)) {
        let expression =
            parser::parse(&filled_in(&query.expression)).unwrap_or_else(|error| panic!("{query:?}: {error}"));
        let mut selectors = Selectors::default();
        walk_expr(&mut selectors, &expression).unwrap();
        assert!(!selectors.0.is_empty(), "{query:?}");
        for selector in selectors.0 {
            let name = selector.name.unwrap();
            assert!(existing.contains(&name), "{query:?}: {name}");
            let is_chosen = selector.matchers.matchers.iter().any(|matcher| matcher.name == "job");
            // Containers are no probe's.
            let is_of_any = name == CONTAINERS || query.place.ends_with(": job");
            assert!(is_chosen || is_of_any, "{query:?}: {name} of any job");
        }
    }
}

#[test]
fn every_family_is_shown() {
    let shown: String =
        dashboards().iter().flat_map(|(_, dashboard)| queries(dashboard)).map(|query| query.expression + " ").collect();
    for family in FAMILIES {
        assert!(shown.contains(family.name), "{}", family.name);
    }
}

/// The rules of Grafana's dashboard linter.
#[test]
fn panels_have_titles_descriptions_units_and_sound_rates() {
    let counter = Regex::new(r"\w+_total\b").unwrap();
    let in_rate = Regex::new(r"(?:rate|increase)\(\w+_total\{[^}]*\}\[\$__rate_interval\]\)").unwrap();
    for (path, dashboard) in dashboards() {
        assert_eq!(dashboard["editable"], false, "{path}");
        let names: Vec<&str> =
            dashboard["templating"]["list"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names[..3], ["datasource", "job", "registry"], "{path}");
        let mut titles = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap();
            assert!(!title.is_empty() && titles.insert(title), "{path}: {title} stands there twice");
            assert!(panel["description"].as_str().unwrap().ends_with('.'), "{path}: {title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{path}: {title}");
            assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{path}: {title}");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(x + w <= 24, "{path}: {title}");
            let all = (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y)));
            assert!(all.into_iter().all(|cell| cells.insert(cell)), "{path}: {title} lies over another panel");
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap();
                assert_eq!(
                    counter.find_iter(expression).count(),
                    in_rate.find_iter(expression).count(),
                    "{path}: {title}: a counter needs a rate over $__rate_interval"
                );
            }
        }
    }
}

#[test]
fn links_lead_to_pages_that_exist() {
    let runbook = Regex::new(r"\$\{runbooks\}/(\w+\.md)").unwrap();
    let page = Regex::new(r"\$\{status_page\}(/[\w/]*)?").unwrap();
    for (path, _) in dashboards() {
        let text = std::fs::read_to_string(project(path)).unwrap();
        assert!(runbook.is_match(&text) && page.is_match(&text), "{path}");
        for name in runbook.captures_iter(&text) {
            assert!(project("docs/runbooks").join(&name[1]).is_file(), "{path}: {}", &name[1]);
        }
        for at in page.captures_iter(&text).filter_map(|page| page.get(1)) {
            assert_eq!(at.as_str(), "/api/v1/findings", "{path}");
        }
    }
}

#[test]
fn grafana_s_own_types_know_all_of_it() {
    let Some(check) = peer("dashboard-check") else { return };
    let output = Command::new(check).args(dashboards().map(|(path, _)| project(path))).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

//! The alerts: that they speak of metrics that exist, lead to a runbook, and fire and stay quiet when they should.

mod sample;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use promql_parser::parser::{self, Expr};
use promql_parser::util::{ExprVisitor, walk_expr};
use regex::Regex;
use registry_integrity_probe::metrics::FAMILIES;
use saphyr::{LoadableYamlNode, Yaml};

const RULES: &str = "alerts/registry-integrity.rules.yaml";

struct Alert {
    name: String,
    expression: String,
    labels: Vec<String>,
    annotations: Vec<(String, String)>,
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(yaml: &Yaml) -> String {
    yaml.as_str().expect("a text").to_string()
}

fn alerts() -> Vec<Alert> {
    let source = read(RULES);
    let documents = Yaml::load_from_str(&source).unwrap();
    let groups = documents[0]["groups"].as_sequence().unwrap();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_sequence().unwrap())
        .map(|rule| Alert {
            name: text(&rule["alert"]),
            expression: text(&rule["expr"]),
            labels: rule["labels"].as_mapping().unwrap().keys().map(text).collect(),
            annotations: rule["annotations"].as_mapping().unwrap().iter().map(|(k, v)| (text(k), text(v))).collect(),
        })
        .collect()
}

#[derive(Default)]
struct MetricNames(BTreeSet<String>);

impl ExprVisitor for MetricNames {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::VectorSelector(selector) => self.0.extend(selector.name.clone()),
            Expr::MatrixSelector(selector) => self.0.extend(selector.vs.name.clone()),
            _ => {}
        }
        Ok(true)
    }
}

#[test]
fn the_three_alerts_are_there() {
    let names: Vec<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(
        names,
        ["RegistryManifestIntegrityFailure", "RegistryIntegrityProbeStale", "RegistryCatalogInaccessible"]
    );
}

#[test]
fn expressions_use_metrics_that_exist() {
    let existing: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    for alert in alerts() {
        let expression = parser::parse(&alert.expression).unwrap_or_else(|error| panic!("{}: {error}", alert.name));
        let mut used = MetricNames::default();
        walk_expr(&mut used, &expression).unwrap();
        assert!(!used.0.is_empty(), "{}", alert.name);
        for name in used.0 {
            assert!(existing.contains(name.as_str()), "{}: {name}", alert.name);
        }
    }
}

#[test]
fn labels_in_expressions_and_texts_exist() {
    let of_the_target = ["instance", "pod"];
    let existing: BTreeSet<&str> =
        FAMILIES.iter().flat_map(|family| family.labels).copied().chain(of_the_target).collect();
    let lists = Regex::new(r"(?:without|ignoring|by|on) \(([a-z_, ]+)\)").unwrap();
    let in_texts = Regex::new(r"\$labels\.(\w+)").unwrap();
    for alert in alerts() {
        let mut used: Vec<String> = lists
            .captures_iter(&alert.expression)
            .flat_map(|list| list[1].split(", ").map(ToString::to_string).collect::<Vec<_>>())
            .collect();
        for (_, text) in &alert.annotations {
            used.extend(in_texts.captures_iter(text).map(|label| label[1].to_string()));
        }
        assert!(used.iter().any(|label| label == "registry"), "{}", alert.name);
        for label in used {
            assert!(existing.contains(label.as_str()), "{}: {label}", alert.name);
        }
    }
}

#[test]
fn every_alert_tells_what_to_do_and_leads_to_its_runbook() {
    for alert in alerts() {
        assert_eq!(alert.labels, ["severity"], "{}", alert.name);
        let keys: Vec<&str> = alert.annotations.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["summary", "description", "runbook_url"], "{}", alert.name);
        let url = &alert.annotations[2].1;
        assert_eq!(*url, format!("https://runbooks.example.com/registry-integrity-probe/{}.md", alert.name));
        let runbook = read(&format!("docs/runbooks/{}.md", alert.name));
        assert!(runbook.starts_with(&format!("# {}\n", alert.name)));
        for section in ["## Mend it", "## Keep it from coming back"] {
            assert!(runbook.contains(section), "{}: {section}", alert.name);
        }
    }
}

#[test]
fn every_alert_has_a_quiet_and_a_firing_test() {
    for alert in alerts() {
        let source = read(&format!("alerts/tests/{}.yaml", alert.name));
        let documents = Yaml::load_from_str(&source).unwrap();
        let tests = documents[0]["tests"].as_sequence().unwrap();
        let expected: Vec<usize> = tests
            .iter()
            .flat_map(|test| test["alert_rule_test"].as_sequence().unwrap())
            .filter(|check| check["alertname"].as_str() == Some(&alert.name))
            .map(|check| check["exp_alerts"].as_sequence().unwrap().len())
            .collect();
        assert!(expected.contains(&0) && expected.iter().any(|&count| count > 0), "{}: {expected:?}", alert.name);
    }
}

fn promtool(arguments: &[&str]) {
    let Some(mut promtool) = sample::peer("promtool") else { return };
    let output = promtool.args(arguments).current_dir(project("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn promtool_accepts_the_rules() {
    promtool(&["check", "rules", RULES]);
}

#[test]
fn alerts_fire_and_stay_quiet_as_promtool_sees_it() {
    let tests: Vec<String> = std::fs::read_dir(project("alerts/tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path().to_string_lossy().into_owned())
        .collect();
    let mut arguments = vec!["test", "rules"];
    arguments.extend(tests.iter().map(String::as_str));
    promtool(&arguments);
}

//! The alerts: that they speak of metrics that exist, lead to a runbook, and fire and stay quiet when they should.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use promql_parser::parser::{self, Expr};
use promql_parser::util::{ExprVisitor, walk_expr};
use regex::Regex;
use registry_integrity_probe::render::metrics::FAMILIES;
use saphyr::{LoadableYamlNode, Yaml};

/// Those of what is asked over HTTP, and those of the storage.
const RULES: [&str; 2] = ["alerts/registry-integrity.rules.yaml", "alerts/registry-storage.rules.yaml"];
/// All of them for the Prometheus operator. `UPDATE=1 cargo test --test it alerts` writes it anew.
const PROMETHEUS_RULE: &str = "alerts/prometheus-rule.yaml";

/// What kube-state-metrics says of containers.
const OF_KUBERNETES: [&str; 3] = ["kube_pod_container_info", "kube_pod_init_container_info", "kube_pod_status_phase"];

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

fn rules<T>(wanted: impl Fn(&Yaml) -> Option<T>) -> Vec<T> {
    let mut found = Vec::new();
    for source in RULES.map(read) {
        let documents = Yaml::load_from_str(&source).unwrap();
        let groups = documents[0]["groups"].as_sequence().unwrap();
        found.extend(groups.iter().flat_map(|group| group["rules"].as_sequence().unwrap()).filter_map(&wanted));
    }
    found
}

/// What `scan --textfile` writes.
fn of_the_scan() -> BTreeSet<String> {
    let name = Regex::new(r#""(registry_storage_scan_\w+)""#).unwrap();
    let source = read("src/storage/textfile.rs");
    name.captures_iter(&source).map(|found| found[1].to_string()).collect()
}

fn alerts() -> Vec<Alert> {
    rules(|rule| {
        Some(Alert {
            name: rule.as_mapping_get("alert")?.as_str()?.to_string(),
            expression: text(&rule["expr"]),
            labels: rule["labels"].as_mapping().unwrap().keys().map(text).collect(),
            annotations: rule["annotations"].as_mapping().unwrap().iter().map(|(k, v)| (text(k), text(v))).collect(),
        })
    })
}

/// The name of each recording rule, and its expression.
fn records() -> Vec<(String, String)> {
    rules(|rule| Some((rule.as_mapping_get("record")?.as_str()?.to_string(), text(&rule["expr"]))))
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
fn the_alerts_are_there() {
    let names: Vec<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(
        names,
        [
            "RegistryManifestIntegrityFailure",
            "RegistryIntegrityProbeStale",
            "RegistryCatalogInaccessible",
            "RegistryImagesVanished",
            "RegistryEmpty",
            "RegistryImageUnverified",
            "RegistryImageBrokenInUse",
            "RegistryProbeSlow",
            "RegistryProbeDown",
            "RegistryStorageCollectionWouldBreakImages",
            "RegistryStorageScanStale",
        ]
    );
}

#[test]
fn expressions_use_metrics_that_exist() {
    let (records, of_the_scan) = (records(), of_the_scan());
    let existing: BTreeSet<&str> = FAMILIES
        .iter()
        .map(|family| family.name)
        .chain(of_the_scan.iter().map(String::as_str))
        .chain(records.iter().map(|(name, _)| name.as_str()))
        .chain(OF_KUBERNETES)
        .collect();
    let alerts = alerts().into_iter().map(|alert| (alert.name, alert.expression));
    for (rule, expression) in alerts.chain(records.clone()) {
        let expression = parser::parse(&expression).unwrap_or_else(|error| panic!("{rule}: {error}"));
        let mut used = MetricNames::default();
        walk_expr(&mut used, &expression).unwrap();
        assert!(!used.0.is_empty(), "{rule}");
        for name in used.0 {
            assert!(existing.contains(name.as_str()), "{rule}: {name}");
        }
    }
}

#[test]
fn labels_in_expressions_and_texts_exist() {
    let of_the_target = ["instance", "pod", "job", "shard"];
    let of_kubernetes = ["cluster", "namespace", "container", "image", "image_spec"];
    let of_the_scan = ["root", "engine", "delete_untagged"];
    let of_others = of_the_target.into_iter().chain(of_kubernetes).chain(of_the_scan);
    let existing: BTreeSet<&str> = FAMILIES.iter().flat_map(|family| family.labels).copied().chain(of_others).collect();
    let lists = Regex::new(r"(?:without|ignoring|by|on|group_left) \(([a-z_, ]+)\)").unwrap();
    let in_texts = Regex::new(r"\$labels\.(\w+)").unwrap();
    let is_used_in = |expression: &str| -> Vec<String> {
        let list = |list: regex::Captures| list[1].split(", ").map(ToString::to_string).collect::<Vec<_>>();
        lists.captures_iter(expression).flat_map(list).collect()
    };
    for (rule, expression) in records() {
        for label in is_used_in(&expression) {
            assert!(existing.contains(label.as_str()), "{rule}: {label}");
        }
    }
    for alert in alerts() {
        let mut used = is_used_in(&alert.expression);
        for (_, text) in &alert.annotations {
            used.extend(in_texts.captures_iter(text).map(|label| label[1].to_string()));
        }
        let whose = match alert.name.as_str() {
            "RegistryProbeDown" => "job",
            name if name.starts_with("RegistryStorage") => "root",
            _ => "registry",
        };
        assert!(used.iter().any(|label| label == whose), "{}", alert.name);
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
        for section in ["## Fix it", "## Prevent it"] {
            assert!(runbook.contains(section), "{}: {section}", alert.name);
        }
    }
}

#[test]
fn every_alert_has_a_quiet_and_a_firing_test() {
    for alert in alerts() {
        let file = if alert.name.starts_with("RegistryStorage") { "registry-storage" } else { &alert.name };
        let source = read(&format!("alerts/tests/{file}.yaml"));
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
    let Some(promtool) = crate::testkit::peers::peer("promtool") else { return };
    let output = Command::new(promtool).args(arguments).current_dir(project("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The groups of a file of rules, two more to the right, and what its head says before it comes to the runbooks.
fn indented(source: &str) -> (String, String) {
    let (head, groups) = source.split_once("\ngroups:\n").unwrap();
    let (about, _) = head.split_once("\n#\n# runbook_url:").unwrap();
    let line = |line: &str| if line.is_empty() { "\n".to_string() } else { format!("  {line}\n") };
    (about.to_string(), groups.lines().map(line).collect())
}

#[test]
fn the_operator_s_object_holds_the_same_rules() {
    let [integrity, storage] = RULES.map(read);
    let ((_, groups), (about, storage_groups)) = (indented(&integrity), indented(&storage));
    let (head, _) = integrity.split_once("\ngroups:\n").unwrap();
    let head = head.replace("registry-integrity.rules.yaml", "prometheus-rule.yaml");
    let about: String = about.lines().map(|line| format!("    {line}\n")).collect();
    let object = format!(
        "# Generated from registry-integrity.rules.yaml and registry-storage.rules.yaml; change those.\n#\n{head}\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: registry-integrity-probe\n  labels:\n    app.kubernetes.io/name: registry-integrity-probe\n\
         spec:\n  groups:\n{groups}\n{about}{storage_groups}"
    );
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(project(PROMETHEUS_RULE), &object).unwrap();
    }
    assert_eq!(read(PROMETHEUS_RULE), object, "UPDATE=1 cargo test --test it alerts writes it anew");
    let groups = |yaml: &str, below: &[&str]| {
        let document = Yaml::load_from_str(yaml).unwrap().remove(0);
        let groups = below.iter().fold(&document, |it, key| &it[*key])["groups"].as_sequence().unwrap().clone();
        groups.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>()
    };
    assert_eq!(groups(&object, &["spec"]), [groups(&integrity, &[]), groups(&storage, &[])].concat());
}

#[test]
fn no_file_of_rules_is_left_out() {
    let mut files: Vec<String> = std::fs::read_dir(project("alerts"))
        .unwrap()
        .map(|entry| format!("alerts/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".rules.yaml"))
        .collect();
    files.sort();
    assert_eq!(files, RULES);
}

#[test]
fn promtool_accepts_the_rules() {
    promtool(&["check", "rules", RULES[0], RULES[1]]);
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

//! `deploy/helm/registry-integrity-probe`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::objects::{
    RULES, VARIANTS, chart, container, helm, kind, kustomized, parse, project, read, rule_groups, templated, the,
    values_files, workload,
};

#[test]
fn helm_has_nothing_to_say_against_it() {
    for file in values_files() {
        let Some(output) = helm("lint", &file, &["--strict"]) else { return };
        assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn values_that_cannot_work_are_refused_with_their_reason() {
    for (further, says) in [
        (&["--set=config.registries=null"][..], "name at least one registry"),
        (&["--set=shard=2"], "shard"),
        (&["--set=shards=0"], "shards"),
        (&["--set=mode=scan"], "mode"),
        (&["--set=storage.enabled=true,storage.existingClaim=mine,shards=2"], "each of several shards"),
        (&["--set=serviceMonitor.enabled=true,podMonitor.enabled=true"], "would scrape every pod twice"),
        (&["--set=config.global.intervall=1h"], "intervall"),
        (&["--set=config.registries[0].url=registry.example.com"], "url"),
        (&["--set=config.registries[0].basic_auth.password=secret"], "basic_auth"),
        (&["--set=config.registries[0].proxy_url=http://probe:secret@proxy"], "proxy_url"),
        (&["--set=sweep.pushGateway.url=http://probe:secret@gateway:9091"], "url"),
        (&["--set=image.digest=sha256:98f7"], "digest"),
        (&["--set=serviceMonitor.endpoint.port=web"], "endpoint"),
    ] {
        let Some(output) = helm("template", &chart().join("ci/serve.yaml"), further) else { return };
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(says), "{further:?}: {said}");
    }
}

#[test]
fn every_value_has_its_default_and_its_schema() {
    let values = parse(&read("deploy/helm/registry-integrity-probe/values.yaml")).remove(0);
    let schema = serde_json::from_str(&read("deploy/helm/registry-integrity-probe/values.schema.json")).unwrap();
    compare("", &values, &schema);
}

fn compare(path: &str, values: &Value, schema: &Value) {
    let Some(known) = schema["properties"].as_object() else { return };
    let given = values.as_object().unwrap();
    for (key, schema) in known {
        // Helm's own, and the free part of the configuration.
        if path.is_empty() && key == "global" || path == "config/global" {
            continue;
        }
        assert!(given.contains_key(key), "{path}/{key} is in the schema alone");
        compare(format!("{path}/{key}").trim_start_matches('/'), &given[key], schema);
    }
    for key in given.keys() {
        assert!(known.contains_key(key), "{path}/{key} has no schema");
    }
}

#[test]
fn its_alerts_and_dashboards_are_those_of_the_project() {
    for rules in RULES {
        let copy = format!("deploy/helm/registry-integrity-probe/files/rules/{rules}");
        assert_eq!(read(&copy), read(&format!("alerts/{rules}")), "copy it again: cp alerts/{rules} {copy}");
    }

    let Some(text) = templated(&chart().join("ci/everything.yaml")) else { return };
    let objects = parse(&text);
    let moved = rule_groups(|text| {
        let place = "https://runbooks.example.com/registry-integrity-probe";
        assert!(text.contains(place));
        text.replace(place, "https://runbooks.example.org/probe")
    });
    assert_eq!(the(&objects, "PrometheusRule")["spec"]["groups"], Value::from(moved));

    let names = |folder: &Path| {
        let files = fs::read_dir(folder).into_iter().flatten();
        let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
        names.sort();
        names
    };
    let dashboards = names(&project("dashboards"));
    let copies = names(&chart().join("files/dashboards"));
    assert_eq!(dashboards, copies, "copy them again: cp dashboards/*.json to files/dashboards of the chart");
    for name in dashboards {
        let map = objects.iter().find(|object| object["data"][&name].is_string());
        let map = map.unwrap_or_else(|| panic!("no ConfigMap of {name}"));
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        let source = read(&format!("dashboards/{name}"));
        let [shown, source]: [Value; 2] =
            [map["data"][&name].as_str().unwrap(), &source].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(shown, source, "{name}");
    }
}

#[test]
fn notes_say_what_is_still_to_do() {
    // Helm shows notes only where a cluster answers: here they are rendered as an object.
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("registry-integrity-probe");
    copy_folder(&chart(), &folder);
    let notes = fs::read_to_string(chart().join("templates/NOTES.txt")).unwrap();
    let helper = format!("{{{{- define \"shown\" -}}}}\n{notes}{{{{- end -}}}}\n");
    fs::write(folder.join("templates/_shown.tpl"), helper).unwrap();
    fs::write(folder.join("templates/shown.yaml"), "kind: Shown\nnotes: {{ include \"shown\" . | quote }}\n").unwrap();
    for (values, says, says_not) in [
        (
            "serve",
            &[
                "sweeps private.",
                "service/registry-integrity-probe 10500:10500",
                "Secret registry-integrity-probe must hold",
                "storage.enabled",
            ][..],
            &["prometheusRule", "serviceMonitor"][..],
        ),
        ("serve-sharded", &["in 3 shards", "registry-integrity-probe-0 10500", "prometheusRule.enabled"], &["storage"]),
        ("sweep", &["17 * * * *", "--from=cronjob/registry-integrity-probe"], &["port-forward", "NetworkPolicy"]),
        ("given", &["ConfigMap probe-config", "serviceMonitor.enabled"], &["Secret"]),
        ("everything", &["plain, tls", "http://127.0.0.1:10500/registries/"], &["No alerts are installed"]),
    ] {
        let Some(helm) = crate::testkit::peer("helm") else { return };
        let file = chart().join("ci").join(values).with_extension("yaml");
        let output = std::process::Command::new(helm)
            .args(["template", "probe", "--kube-version=1.29.0", "--show-only=templates/shown.yaml", "--values"])
            .args([&file, &folder])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let shown = parse(&String::from_utf8(output.stdout).unwrap()).remove(0);
        let notes = shown["notes"].as_str().unwrap();
        for text in says {
            assert!(notes.contains(text), "{values}: {text:?} in {notes}");
        }
        for text in says_not {
            assert!(!notes.contains(text), "{values}: {text:?} in {notes}");
        }
        assert!(!notes.contains("\n\n\n"), "{values}: {notes}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn everything_is_of_this_version() {
    let about = parse(&read("deploy/helm/registry-integrity-probe/Chart.yaml")).remove(0);
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"));
    for variant in VARIANTS {
        let Some(text) = kustomized(&project("deploy/kubernetes").join(variant)) else { return };
        let objects = parse(&text);
        let image = container(workload(&objects).1)["image"].as_str().unwrap().to_string();
        assert!(
            image.ends_with(concat!("/registry-integrity-probe:", env!("CARGO_PKG_VERSION"))),
            "{variant}: {image}"
        );
    }
}

#[test]
fn a_digest_decides_and_large_numbers_stay_whole() {
    let Some(text) = templated(&chart().join("ci/everything.yaml")) else { return };
    let objects = parse(&text);
    let image = container(workload(&objects).1)["image"].as_str().unwrap();
    assert!(image.starts_with("registry.example.com/tools/probe:0.1@sha256:98f7"), "{image}");
    let config = the_configuration(&objects);
    assert!(config.contains("content_budget: 20971520\n"), "{config}");
}

/// There are ConfigMaps of dashboards too.
fn the_configuration(objects: &[Value]) -> &str {
    let maps = objects.iter().filter(|object| kind(object) == "ConfigMap");
    maps.filter_map(|map| map["data"]["config.yaml"].as_str()).next().unwrap()
}

//! The chart and kustomize deploy the same.

use serde_json::Value;

use crate::objects::{chart, kind, parse, templated, the, with_components, workload};

/// The chart's values, and what they stand for.
const PAIRS: [(&str, &str, &[&str]); 4] = [
    ("serve", "serve", &["service-monitor", "rules"]),
    ("serve-sharded", "serve-sharded", &["state-sharded", "pod-monitor"]),
    ("sweep", "sweep", &[]),
    ("sweep-sharded", "sweep-sharded", &[]),
];

fn pair((values, variant, components): (&str, &str, &[&str])) -> Option<(Vec<Value>, Vec<Value>)> {
    let charted = parse(&templated(&chart().join("ci").join(values).with_extension("yaml"))?);
    let kustomized = parse(&with_components(variant, components)?);
    Some((charted, kustomized))
}

/// Without what differs by nature: labels and who selects by them, names that end in a hash, and when an image is pulled.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let ignored = ["labels", "annotations", "imagePullPolicy", "matchLabels", "selector"];
            let kept = members.iter().filter(|(key, _)| !ignored.contains(&key.as_str()));
            kept.map(|(key, value)| (key.clone(), comparable(value))).collect()
        }
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::String(text) if text.starts_with("registry-integrity-probe-") => Value::from("registry-integrity-probe"),
        // Empty metadata is none.
        other => other.clone(),
    }
}

#[test]
fn both_run_the_same_pods() {
    for names in PAIRS {
        let Some((charted, kustomized)) = pair(names) else { return };
        let ((one, _), (other, _)) = (workload(&charted), workload(&kustomized));
        assert_eq!(kind(one), kind(other), "{names:?}");
        assert_eq!(comparable(&one["spec"]), comparable(&other["spec"]), "{names:?}");
    }
}

#[test]
fn both_make_the_same_objects_beside_them() {
    for names in PAIRS {
        let Some((charted, kustomized)) = pair(names) else { return };
        let kinds = |objects: &[Value]| {
            let mut kinds: Vec<String> = objects.iter().map(|object| kind(object).to_string()).collect();
            kinds.sort();
            kinds
        };
        assert_eq!(kinds(&charted), kinds(&kustomized), "{names:?}");
        for kind in kinds(&charted) {
            let spec = |objects| comparable(&the(objects, &kind)["spec"]);
            if kind != "NetworkPolicy" {
                assert_eq!(spec(&charted), spec(&kustomized), "{kind} of {names:?}");
            }
        }
        let config = |objects| parse(the(objects, "ConfigMap")["data"]["config.yaml"].as_str().unwrap());
        assert_eq!(config(&charted), config(&kustomized), "{names:?}");
    }
}

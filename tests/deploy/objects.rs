//! Objects as the tools render them, and where things lie in them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

use crate::testkit::peer;

/// The folders of `deploy/kubernetes` that are whole.
pub const VARIANTS: [&str; 5] = ["serve", "serve-sharded", "sweep", "sweep-sharded", "example"];
/// The oldest Kubernetes that the chart admits.
pub const OLDEST: &str = "1.29";
/// The newest whose schemas are at hand.
pub const NEWEST: &str = "1.37";

/// The files of rules in `alerts`; tests/alerts.rs says that there are no others.
pub const RULES: [&str; 2] = ["registry-integrity.rules.yaml", "registry-storage.rules.yaml"];

/// Their groups, in this order, of each text as it is changed.
pub fn rule_groups(changed: impl Fn(String) -> String) -> Vec<Value> {
    let groups = |file| parse(&changed(read(&format!("alerts/{file}"))))[0]["groups"].as_array().unwrap().clone();
    RULES.into_iter().flat_map(groups).collect()
}

pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn chart() -> PathBuf {
    project("deploy/helm/registry-integrity-probe")
}

/// The values files of the chart's `ci`.
pub fn values_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(chart().join("ci")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

pub fn output(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// What `kustomize build` makes of a folder; `None` if it is not installed.
pub fn kustomized(folder: &Path) -> Option<String> {
    let kustomize = peer("kustomize")?;
    let output = output(&kustomize, [OsStr::new("build"), folder.as_os_str()]);
    assert!(output.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What a folder becomes with components: an overlay of them, as a user would write it.
pub fn with_components(variant: &str, components: &[&str]) -> Option<String> {
    let overlay = tempfile::tempdir().unwrap();
    // Kustomize takes no absolute paths.
    let folder = overlay.path().canonicalize().unwrap();
    let up: PathBuf = folder.components().skip(1).map(|_| "..").collect();
    let deploy = up.join(project("deploy/kubernetes").canonicalize().unwrap().strip_prefix("/").unwrap());
    let mut text = format!("resources: ['{}']\ncomponents:\n", deploy.join(variant).display());
    for component in components {
        text += &format!("  - '{}'\n", deploy.join("components").join(component).display());
    }
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
    kustomized(&folder)
}

/// What the chart makes of a values file; `None` if helm is not installed.
pub fn templated(values: &Path) -> Option<String> {
    let output = helm("template", values, &[])?;
    assert!(output.status.success(), "{}: {}", values.display(), String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// `helm template` or `helm lint` of the chart; `None` if it is not installed.
pub fn helm(command: &str, values: &Path, further: &[&str]) -> Option<Output> {
    let helm = peer("helm")?;
    let mut run = Command::new(helm);
    run.arg(command).args((command == "template").then_some("probe")).arg(chart());
    run.arg("--kube-version").arg(format!("{OLDEST}.0")).arg("--values").arg(values).args(further);
    Some(run.output().unwrap())
}

pub fn parse(text: &str) -> Vec<Value> {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    documents.iter().map(json).filter(|document| !document.is_null()).collect()
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::FloatingPoint(number)) => Value::from(number.into_inner()),
        Yaml::Value(Scalar::Boolean(is)) => Value::from(*is),
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.as_str().unwrap().to_string(), json(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => panic!("{other:?}"),
    }
}

pub fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

/// The one object of a kind.
pub fn the<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| kind(object) == wanted);
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "more than one {wanted}");
    first.unwrap_or_else(|| panic!("no {wanted}"))
}

/// What runs the probe: its kind, itself, and the template of its pods.
pub fn workload(objects: &[Value]) -> (&Value, &Value) {
    let mut found = objects.iter().filter_map(|object| match kind(object) {
        "Deployment" | "StatefulSet" => Some((object, &object["spec"]["template"])),
        "CronJob" => Some((object, &object["spec"]["jobTemplate"]["spec"]["template"])),
        _ => None,
    });
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "more than one workload");
    first.expect("a workload")
}

/// The only container of a template.
pub fn container(template: &Value) -> &Value {
    let containers = template["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "{containers:?}");
    &containers[0]
}

pub fn arguments(template: &Value) -> Vec<String> {
    container(template)["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_string()).collect()
}

/// The value of `--flag=value`.
pub fn flag(template: &Value, name: &str) -> Option<String> {
    let prefix = format!("{name}=");
    arguments(template).iter().find_map(|argument| argument.strip_prefix(&prefix).map(ToString::to_string))
}

/// Everything that is rendered in the tests, with its name; `None` if a tool is not installed.
pub fn everything() -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    for variant in VARIANTS {
        all.push((variant.to_string(), kustomized(&project("deploy/kubernetes").join(variant))?));
    }
    for (variant, components) in [
        ("serve", &["service-monitor", "rules", "state"][..]),
        ("serve-sharded", &["pod-monitor", "rules", "state-sharded"]),
        ("sweep", &["rules"]),
        ("sweep-sharded", &["rules"]),
    ] {
        all.push((format!("{variant} with {components:?}"), with_components(variant, components)?));
    }
    for file in values_files() {
        all.push((file.display().to_string(), templated(&file)?));
    }
    Some(all)
}

//! What `/metrics` says of a state.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use registry_integrity_probe::check::evidence::Evidence;
use registry_integrity_probe::config::Target;
use registry_integrity_probe::oci::{Digest, Image, Reference};
use registry_integrity_probe::registry::{Code, Method};
use registry_integrity_probe::render::metrics::{self, FAMILIES, Family, StateCollector, UNVERIFIED_IMAGES_LIMIT};
use registry_integrity_probe::report::{Cause, Reason};
use registry_integrity_probe::state::history::Retention;
use registry_integrity_probe::state::store::{Limits, Store};
use registry_integrity_probe::state::{ConfigPart, State};

use crate::testkit::sample::{
    bad_layer, broken, failed, intact, nine_o_clock, orphan_child, partial, target, unjudged_layer,
};

fn state_of(name: &str) -> State {
    State::new(&[target(name)])
}

/// The value of a series, written as the text format writes it.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn has_family(text: &str, name: &str) -> bool {
    text.contains(&format!("# TYPE {name} "))
}

#[test]
fn before_first_sweep_unknown_metrics_are_absent() {
    let text = metrics::render(&state_of("a"));
    let mut closed: Vec<String> = Vec::new();
    for kind in ["manifest", "child", "config", "layer"] {
        closed.push(format!("registry_integrity_objects{{registry=\"a\",kind=\"{kind}\"}}"));
        for reason in ["missing", "unreadable", "size_mismatch", "digest_mismatch", "malformed"] {
            closed.push(format!("registry_integrity_failures{{registry=\"a\",kind=\"{kind}\",reason=\"{reason}\"}}"));
        }
    }
    for cause in ["incomplete", "unreachable", "timeout", "unauthorized", "rate_limited", "server_error", "protocol"] {
        closed.push(format!("registry_integrity_unverified{{registry=\"a\",cause=\"{cause}\"}}"));
    }
    for state in ["intact", "broken", "unverified"] {
        closed.push(format!("registry_integrity_images{{registry=\"a\",state=\"{state}\"}}"));
    }
    closed.push("registry_integrity_contradictions_total{registry=\"a\"}".to_string());
    for evidence in ["head", "byte", "content"] {
        closed.push(format!("registry_integrity_blobs{{registry=\"a\",evidence=\"{evidence}\"}}"));
    }
    for code in ["2xx", "3xx", "4xx", "5xx", "unreachable", "timeout", "protocol"] {
        closed.push(format!("registry_integrity_token_requests_total{{registry=\"a\",code=\"{code}\"}}"));
    }
    for outcome in ["complete", "partial", "failed"] {
        closed.push(format!("registry_integrity_sweeps_total{{registry=\"a\",outcome=\"{outcome}\"}}"));
    }
    for method in ["GET", "HEAD"] {
        closed.push(format!("registry_integrity_request_duration_seconds_count{{registry=\"a\",method=\"{method}\"}}"));
        for code in ["2xx", "3xx", "4xx", "5xx", "unreachable", "timeout", "protocol"] {
            closed.push(format!(
                "registry_integrity_requests_total{{registry=\"a\",method=\"{method}\",code=\"{code}\"}}"
            ));
        }
    }
    closed.push("registry_integrity_received_bytes_total{registry=\"a\"}".to_string());
    closed.push("registry_integrity_image_broken_omitted{registry=\"a\"}".to_string());
    for series in closed {
        assert_eq!(value(&text, &series), Some(0.0), "{series}\n{text}");
    }
    for absent in [
        "registry_integrity_catalog_accessible",
        "registry_integrity_last_sweep_timestamp_seconds",
        "registry_integrity_last_success_timestamp_seconds",
        "registry_integrity_sweep_duration_seconds",
        "registry_integrity_repositories",
        "registry_integrity_image_broken",
        "registry_integrity_image_unverified",
        "registry_integrity_concurrency",
    ] {
        assert!(!has_family(&text, absent), "{absent}\n{text}");
    }
    assert_eq!(value(&text, "registry_integrity_sweep_interval_seconds{registry=\"a\"}"), Some(900.0));
    assert!(text.contains("registry_integrity_build_info{version=\"0."), "{text}");
}

#[test]
fn broken_image_series_disappear_after_repair() {
    let state = state_of("a");
    let registry = state.registry("a").unwrap();
    let failures = vec![
        bad_layer("x", Reason::DigestMismatch, &["infra-ci:latest"]),
        orphan_child(),
        bad_layer("y", Reason::Unreadable, &["tools/make:1"]),
    ];
    registry.finish_sweep(broken("a", failures), nine_o_clock() + Duration::from_millis(1500));
    let text = metrics::render(&state);
    for (series, expected) in [
        ("registry_integrity_catalog_accessible{registry=\"a\"}", 1.0),
        ("registry_integrity_failures{registry=\"a\",kind=\"child\",reason=\"missing\"}", 1.0),
        ("registry_integrity_failures{registry=\"a\",kind=\"layer\",reason=\"digest_mismatch\"}", 1.0),
        ("registry_integrity_images{registry=\"a\",state=\"broken\"}", 3.0),
        ("registry_integrity_images{registry=\"a\",state=\"intact\"}", 62.0),
        ("registry_integrity_objects{registry=\"a\",kind=\"layer\"}", 840.0),
        ("registry_integrity_repositories{registry=\"a\"}", 22.0),
        ("registry_integrity_sweeps_total{registry=\"a\",outcome=\"complete\"}", 1.0),
        ("registry_integrity_sweep_duration_seconds{registry=\"a\"}", 1.9),
        ("registry_integrity_last_sweep_timestamp_seconds{registry=\"a\"}", 1_776_589_201.5),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    let broken_series: Vec<&str> =
        text.lines().filter(|line| line.starts_with("registry_integrity_image_broken{")).collect();
    assert_eq!(
        broken_series,
        [
            r#"registry_integrity_image_broken{registry="a",repository="infra-ci",tag="5319f03e",reason="missing"} 1"#,
            r#"registry_integrity_image_broken{registry="a",repository="infra-ci",tag="latest",reason="missing"} 1"#,
            r#"registry_integrity_image_broken{registry="a",repository="tools/make",tag="1",reason="unreadable"} 1"#,
        ]
    );
    assert!(!has_family(&text, "registry_integrity_last_success_timestamp_seconds"));

    registry.finish_sweep(intact("a"), nine_o_clock() + Duration::from_secs(900));
    let text = metrics::render(&state);
    assert!(!has_family(&text, "registry_integrity_image_broken"), "{text}");
    assert_eq!(
        value(&text, "registry_integrity_last_success_timestamp_seconds{registry=\"a\"}"),
        Some(1_776_590_100.0)
    );
}

#[test]
fn an_image_that_is_named_by_digest_stands_under_tag() {
    let digest = Digest::sha256(b"pinned");
    let image = Image { repository: "app".parse().unwrap(), reference: Reference::Digest(digest.clone()) };
    let mut failure = orphan_child();
    failure.images = vec![image];
    let state = state_of("a");
    state.registry("a").unwrap().finish_sweep(broken("a", vec![failure]), nine_o_clock());
    let series =
        format!(r#"registry_integrity_image_broken{{registry="a",repository="app",tag="{digest}",reason="missing"}}"#);
    assert_eq!(value(&metrics::render(&state), &series), Some(1.0));
}

#[test]
fn what_an_outage_leaves_is_no_zero() {
    let state = state_of("a");
    let registry = state.registry("a").unwrap();
    registry.finish_sweep(failed("a"), nine_o_clock());
    let text = metrics::render(&state);
    assert_eq!(value(&text, "registry_integrity_catalog_accessible{registry=\"a\"}"), Some(0.0));
    assert_eq!(value(&text, "registry_integrity_unverified{registry=\"a\",cause=\"unreachable\"}"), Some(1.0));
    assert!(!has_family(&text, "registry_integrity_repositories"), "{text}");
    assert!(!has_family(&text, "registry_integrity_last_sweep_timestamp_seconds"), "{text}");

    registry.finish_sweep(intact("a"), nine_o_clock());
    registry.finish_sweep(failed("a"), nine_o_clock() + Duration::from_secs(900));
    let text = metrics::render(&state);
    assert_eq!(value(&text, "registry_integrity_repositories{registry=\"a\"}"), Some(22.0));
    assert_eq!(value(&text, "registry_integrity_objects{registry=\"a\",kind=\"child\"}"), Some(118.0));
    assert_eq!(value(&text, "registry_integrity_sweeps_total{registry=\"a\",outcome=\"failed\"}"), Some(2.0));
    assert_eq!(value(&text, "registry_integrity_last_sweep_timestamp_seconds{registry=\"a\"}"), Some(1_776_589_200.0));
}

#[test]
fn too_many_broken_images_are_counted_instead() {
    let images: Vec<String> = (0..7).map(|n| format!("app:{n}")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let state = state_of("a");
    state
        .registry("a")
        .unwrap()
        .finish_sweep(broken("a", vec![bad_layer("x", Reason::Missing, &images)]), nine_o_clock());
    let mut collector = StateCollector::new(&state);
    collector.broken_images_limit = 5;
    let text = metrics::encode(vec![Box::new(collector)]);
    assert_eq!(text.matches("registry_integrity_image_broken{").count(), 5, "{text}");
    assert_eq!(value(&text, "registry_integrity_image_broken_omitted{registry=\"a\"}"), Some(2.0));
}

#[test]
fn unverified_image_series_are_limited_and_exclude_broken() {
    let state = state_of("a");
    let registry = state.registry("a").unwrap();
    let mut report = partial("a", vec![unjudged_layer("z", Cause::Timeout, &["app:1", "infra-ci:latest"])]);
    report.failures = vec![orphan_child()];
    registry.finish_sweep(report, nine_o_clock());
    let series = |text: &str| -> Vec<String> {
        let is_named = |line: &&str| line.starts_with("registry_integrity_image_unverified{");
        text.lines().filter(is_named).map(ToString::to_string).collect()
    };
    assert_eq!(
        series(&metrics::render(&state)),
        [r#"registry_integrity_image_unverified{registry="a",repository="app",tag="1"} 1"#]
    );

    let images: Vec<String> = (0..2 * UNVERIFIED_IMAGES_LIMIT).map(|n| format!("app:{n}")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    registry.finish_sweep(partial("a", vec![unjudged_layer("z", Cause::Timeout, &images)]), nine_o_clock());
    assert_eq!(series(&metrics::render(&state)).len(), UNVERIFIED_IMAGES_LIMIT);

    registry.finish_sweep(intact("a"), nine_o_clock());
    assert!(!has_family(&metrics::render(&state), "registry_integrity_image_unverified"));
}

#[test]
fn a_registry_is_known_by_the_host_that_image_references_write() {
    for (url, host) in [
        ("https://registry.example.com:5050", "registry.example.com:5050"),
        ("https://registry.example.com:443/", "registry.example.com"),
        ("http://[::1]:5000", "[::1]:5000"),
    ] {
        let target = Target { name: "private".to_string(), ..Target::with_defaults(url.parse().unwrap()) };
        let text = metrics::render(&State::new(&[target]));
        let series = format!(r#"registry_integrity_registry_info{{registry="private",host="{host}"}}"#);
        assert_eq!(value(&text, &series), Some(1.0), "{text}");
    }
}

#[test]
fn blobs_are_counted_by_what_proves_them() {
    let state = state_of("a");
    let registry = state.registry("a").unwrap();
    let (repository, digest) = ("app".parse().unwrap(), Digest::sha256(b"layer"));
    registry.evidence_schedule().begin();
    registry.evidence_schedule().record(&repository, &digest, Evidence::LastByte, SystemTime::now());
    registry.finish_sweep(intact("a"), nine_o_clock());
    let text = metrics::render(&state);
    for (evidence, count) in [("head", 0.0), ("byte", 1.0), ("content", 0.0)] {
        let series = format!(r#"registry_integrity_blobs{{registry="a",evidence="{evidence}"}}"#);
        assert_eq!(value(&text, &series), Some(count), "{text}");
    }
}

#[test]
fn traffic_becomes_counters_and_a_histogram() {
    let state = state_of("a");
    let traffic = &state.registry("a").unwrap().traffic;
    traffic.count(Method::Head, Code::Success, Duration::from_millis(2));
    traffic.count(Method::Head, Code::Timeout, Duration::from_secs(40));
    traffic.count_received(17);
    traffic.count_token_request(Code::ClientError);
    traffic.set_concurrency(5);
    let text = metrics::render(&state);
    let histogram = "registry_integrity_request_duration_seconds";
    for (series, expected) in [
        (r#"registry_integrity_requests_total{registry="a",method="HEAD",code="timeout"}"#.to_string(), 1.0),
        (r#"registry_integrity_received_bytes_total{registry="a"}"#.to_string(), 17.0),
        (r#"registry_integrity_token_requests_total{registry="a",code="4xx"}"#.to_string(), 1.0),
        (r#"registry_integrity_concurrency{registry="a"}"#.to_string(), 5.0),
        (format!(r#"{histogram}_bucket{{registry="a",method="HEAD",le="0.001"}}"#), 0.0),
        (format!(r#"{histogram}_bucket{{registry="a",method="HEAD",le="30"}}"#), 1.0),
        (format!(r#"{histogram}_bucket{{registry="a",method="HEAD",le="+Inf"}}"#), 2.0),
        (format!(r#"{histogram}_sum{{registry="a",method="HEAD"}}"#), 40.002),
        (format!(r#"{histogram}_count{{registry="a",method="GET"}}"#), 0.0),
    ] {
        assert_eq!(value(&text, &series), Some(expected), "{series}\n{text}");
    }
}

#[test]
fn strange_names_are_escaped() {
    let text = metrics::render(&state_of("a\"b\\c\nd"));
    assert!(text.contains(r#"registry_integrity_sweep_interval_seconds{registry="a\"b\\c\nd"} 900"#), "{text}");
}

#[test]
fn output_is_sorted_and_stable_and_process_metrics_are_apart() {
    let state = State::new(&[target("b"), target("a")]);
    let text = metrics::render(&state);
    assert_eq!(text, metrics::render(&state));
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(text.find("{registry=\"a\"").unwrap() < text.find("{registry=\"b\"").unwrap());
    assert!(!text.contains("process_"), "{text}");
    let with_process = metrics::render_with_process(&state);
    assert!(with_process.contains("\nprocess_start_time_seconds "), "{with_process}");
    assert!(with_process.contains("registry_integrity_build_info"), "{with_process}");
}

#[test]
fn every_documented_family_is_collected() {
    let state = everything();
    let collected: BTreeSet<String> =
        StateCollector::new(&state).collect().iter().map(|family| family.name().to_string()).collect();
    let documented: BTreeSet<String> = FAMILIES.iter().map(|family| family.name.to_string()).collect();
    assert_eq!(collected, documented);
}

/// `UPDATE=1 cargo test --test it metrics` writes the page anew.
#[test]
fn the_reference_says_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, after) = ("<!-- generated from src/render/metrics/families.rs -->\n", "<!-- end -->\n");
    let (head, rest) = page.split_once(before).unwrap();
    let (_, tail) = rest.split_once(after).unwrap();
    let table: String = FAMILIES
        .iter()
        .map(|Family { name, kind, labels, help, is_own }| {
            let kind = format!("{kind:?}").to_lowercase();
            let labels = if labels.is_empty() { "none".to_string() } else { format!("`{}`", labels.join("`, `")) };
            let shard = if *is_own { "the shard's own, with the label `shard`" } else { "shards add up" };
            format!("\n### `{name}`\n\n{help}\n\n{kind}; labels: {labels}; {shard}\n")
        })
        .collect();
    let written = format!("{head}{before}{table}\n{after}{tail}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), written, "UPDATE=1 cargo test --test it metrics writes it anew");
}

#[test]
fn promtool_accepts_it() {
    let Some(promtool) = crate::testkit::peers::peer("promtool") else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics::render(&everything()).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// A state in which every metric has a series.
fn everything() -> State {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Limits { age: Duration::MAX, bytes: 1 << 20 }).unwrap();
    let targets = [target("a"), target("never swept")];
    let state = State::with_store(Some(store), Retention::default(), None, &targets).unwrap();
    let registry = state.registry("a").unwrap();
    registry.finish_sweep(intact("a"), nine_o_clock());
    let mut report = broken("a", vec![orphan_child()]);
    report.unverified = partial("a", vec![unjudged_layer("z", Cause::Timeout, &["app:1"])]).unverified;
    registry.finish_sweep(report, nine_o_clock() + Duration::from_secs(900));
    registry.traffic.count(Method::Get, Code::Success, Duration::from_millis(3));
    registry.traffic.set_concurrency(4);
    state.reloaded(ConfigPart::Probe, true, nine_o_clock());
    state
}

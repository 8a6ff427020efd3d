//! `deploy/kubernetes`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::objects::{
    OLDEST, VARIANTS, flag, kind, kustomized, parse, project, read, rule_groups, the, with_components, workload,
};
use crate::testkit::peer;

#[test]
fn kubectl_builds_the_same() {
    // Debian's is older than the oldest Kubernetes that is deployed to, and so is the kustomize within it.
    let Some(kubectl) = peer("kubectl") else { return };
    let version = Command::new(&kubectl).args(["version", "--client", "--output=json"]).output().unwrap();
    let version: Value = serde_json::from_slice(&version.stdout).unwrap();
    let minor = version["clientVersion"]["minor"].as_str().unwrap().trim_end_matches('+').parse::<u32>().unwrap();
    if minor < OLDEST.split_once('.').unwrap().1.parse().unwrap() {
        return;
    }
    for variant in VARIANTS {
        let folder = project("deploy/kubernetes").join(variant);
        let Some(text) = kustomized(&folder) else { return };
        let built = Command::new(&kubectl).arg("kustomize").arg(&folder).output().unwrap();
        assert!(built.status.success(), "{built:?}");
        assert_eq!(parse(&String::from_utf8(built.stdout).unwrap()), parse(&text), "{variant}");
    }
}

#[test]
fn as_many_shards_run_as_share_the_work() {
    let variant = |name: &str| Some(parse(&kustomized(&project("deploy/kubernetes").join(name))?));
    let Some(serve) = variant("serve-sharded") else { return };
    let (set, template) = workload(&serve);
    assert_eq!(kind(set), "StatefulSet");
    assert_eq!(set["spec"]["replicas"].to_string(), flag(template, "--shard.count").unwrap());
    assert_eq!(set["spec"]["serviceName"], the(&serve, "Service")["metadata"]["name"]);
    assert_eq!(the(&serve, "Service")["spec"]["clusterIP"], "None");

    let Some(sweep) = variant("sweep-sharded") else { return };
    let (job, template) = workload(&sweep);
    let job = &job["spec"]["jobTemplate"]["spec"];
    assert_eq!(job["completionMode"], "Indexed");
    assert_eq!(job["completions"], job["parallelism"]);
    assert_eq!(job["completions"].to_string(), flag(template, "--shard.count").unwrap());
    // One shard that finds something must not end the others.
    assert_eq!((&job["backoffLimit"], job["backoffLimitPerIndex"].as_u64()), (&Value::Null, Some(0)));
}

#[test]
fn the_alerts_are_those_of_the_project() {
    let copy = "deploy/kubernetes/components/rules/prometheus-rule.yaml";
    assert_eq!(read(copy), read("alerts/prometheus-rule.yaml"), "copy it again: cp alerts/prometheus-rule.yaml {copy}");
    let Some(text) = with_components("sweep", &["rules"]) else { return };
    assert_eq!(the(&parse(&text), "PrometheusRule")["spec"]["groups"], Value::from(rule_groups(|text| text)));
}

#[test]
fn the_documented_job_is_the_one_that_is_deployed() {
    let (page, job) = (read("docs/cronjob.md"), read("deploy/kubernetes/sweep/cron-job.yaml"));
    assert!(page.contains(&format!("```yaml\n{job}```\n")), "docs/cronjob.md shows another job: {job}");
}

#[test]
fn what_is_monitored_exists() {
    for (component, monitor, endpoints) in
        [("service-monitor", "ServiceMonitor", "endpoints"), ("pod-monitor", "PodMonitor", "podMetricsEndpoints")]
    {
        for variant in ["serve", "serve-sharded"] {
            let Some(text) = with_components(variant, &[component]) else { return };
            let objects = parse(&text);
            let monitor = the(&objects, monitor);
            let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
            let service = the(&objects, "Service");
            let template = workload(&objects).1;
            for labels in
                [&service["metadata"]["labels"], &template["metadata"]["labels"], &service["spec"]["selector"]]
            {
                assert!(wanted.iter().all(|(key, value)| &labels[key] == value), "{component} of {variant}: {labels}");
            }
            let port = &monitor["spec"][endpoints][0]["port"];
            assert_eq!(port, &service["spec"]["ports"][0]["name"]);
            assert_eq!(port, &template["spec"]["containers"][0]["ports"][0]["name"]);
        }
    }
}

#[test]
fn the_network_policy_lets_the_configured_urls_through() {
    for variant in VARIANTS {
        let Some(text) = kustomized(&project("deploy/kubernetes").join(variant)) else { return };
        let objects = parse(&text);
        let policy = &the(&objects, "NetworkPolicy")["spec"];
        let open: BTreeSet<u64> = policy["egress"].as_array().unwrap().iter().flat_map(ports).collect();
        assert!(open.contains(&53), "{variant}: names");
        let config = parse(the(&objects, "ConfigMap")["data"]["config.yaml"].as_str().unwrap());
        for registry in config[0]["registries"].as_array().unwrap() {
            let url = url::Url::parse(registry["url"].as_str().unwrap()).unwrap();
            assert!(open.contains(&url.port_or_known_default().unwrap().into()), "{variant}: {url} of {open:?}");
        }
        let selected = policy["podSelector"]["matchLabels"].as_object().unwrap();
        let labels = &workload(&objects).1["metadata"]["labels"];
        assert!(selected.iter().all(|(key, value)| &labels[key] == value), "{variant}");
    }
}

fn ports(rule: &Value) -> Vec<u64> {
    rule["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()).collect()
}

//! What to do about a broken image that containers use.

use std::fs;

use super::cluster::{Cluster, pod};
use super::{Planted, Runbook, rules_without_waiting, said, until_failures};
use crate::testkit::docker_registry::Options;
use crate::testkit::monitoring::kube_state_metrics::of_containers;
use crate::testkit::monitoring::{self, PATIENCE};
use crate::testkit::{peer, poll_until};

pub async fn run(alert: &'static str) -> Option<Runbook> {
    peer("kubectl")?;
    let planted = Planted::new(Options::default()).await?;
    let image = planted.reference();
    let cluster = Cluster::new(vec![pod("web", "page-0", "page", &image), pod("web", "other-0", "other", "other:1")]);
    let further = [("NAMESPACE", "web".to_string()), ("NAME", "page".to_string())];
    let runbook = planted.runbook(alert, &further)?.in_cluster(cluster.listen().await);

    let used = said(&runbook.run(&["kubectl get pods"]).await);
    assert_eq!(used, "web/page-0 on node-1\n");
    let paused = runbook.run_inline("kubectl -n NAMESPACE rollout pause deployment/NAME").await;
    assert!(paused.status.success() && cluster.is_paused(), "{}", said(&paused));
    for verify in ["registry-integrity-probe verify HOST/REPOSITORY:TAG", "registry-integrity-probe verify IMAGE"] {
        assert_eq!(runbook.run_inline(verify).await.status.code(), Some(0));
    }

    let child = &planted.image.child("linux/amd64").unwrap().digest;
    fs::remove_file(planted.registry.revision_link("infra-ci", child)).unwrap();
    let service = planted.serve("").await;
    until_failures(&service, true).await;
    let kubernetes = of_containers(&[("web", "registry.example.com/infra-ci:latest")]).await;
    let jobs = [("probe", service.address()), ("kube-state-metrics", kubernetes)];
    // The page's rule, for the host that this registry has here.
    let rule = runbook.yaml();
    assert!(rule.contains("registry.svc:5000"));
    let rule = rule.replace("registry.svc:5000", &planted.registry.address().to_string());
    let rules = rules_without_waiting();
    let fires = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
    let prometheus = monitoring::prometheus_of(&jobs, None, &[&rules]).await?;
    for query in runbook.queries() {
        poll_until(PATIENCE, async || (!prometheus.query(query).await.is_empty()).then_some(())).await;
    }
    prometheus.wait_for("count(ALERTS{alertname=\"RegistryManifestIntegrityFailure\"})", &["1"]).await;
    assert!(prometheus.query(&fires).await.is_empty(), "pods write another host");
    let prometheus = monitoring::prometheus_of(&jobs, None, &[&rules, &rule]).await?;
    prometheus.wait_for(&format!("count({fires})"), &["1"]).await;
    Some(runbook)
}

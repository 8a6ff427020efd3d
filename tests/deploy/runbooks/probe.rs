//! What to do about a probe that says nothing, little or nothing new.

use std::fs;

use serde_json::Value;

use super::cluster::{Cluster, pod};
use super::{Planted, Runbook, address, configuration, said, until_failures};
use crate::testkit::docker_registry::Options;
use crate::testkit::monitoring::{self, PATIENCE};
use crate::testkit::probe::probe;
use crate::testkit::{peer, poll_until};

pub async fn stale(alert: &'static str) -> Option<Runbook> {
    let mut planted = Planted::new(Options::default()).await?;
    let service = planted.serve("").await;
    until_failures(&service, false).await;
    let runbook = planted.runbook(alert, &[address(&service)])?;
    let known = said(&runbook.run(&["jq '.registries[]"]).await);
    assert!(known.contains("\"private\"") && known.contains("\"complete\""), "{known}");
    assert!(said(&runbook.run(&["%{http_code}"]).await).starts_with("200 in "));

    planted.registry.stop();
    assert!(said(&runbook.run(&["%{http_code}"]).await).starts_with("000 in "));
    assert!(said(&runbook.run(&["-X POST http://PROBE"]).await).contains("started"));
    Some(runbook)
}

pub async fn catalog(alert: &'static str) -> Option<Runbook> {
    let mut planted = Planted::new(Options::default()).await?;
    planted.registry.stop();
    let service = planted.serve("").await;
    let runbook = planted.runbook(alert, &[address(&service)])?;
    poll_until(PATIENCE, async || said(&runbook.run(&["_catalog\")'"]).await).contains("unreachable").then_some(()))
        .await;
    assert!(said(&runbook.run(&["$URL/v2/"]).await).contains("connect"));
    assert!(!runbook.run(&["list-tags"]).await.status.success());
    planted.registry.restart().await;
    assert!(said(&runbook.run(&["$URL/v2/"]).await).contains("infra-ci"));
    assert!(said(&runbook.run(&["list-tags"]).await).contains("latest"));
    Some(runbook)
}

pub async fn unverified(alert: &'static str) -> Option<Runbook> {
    let planted = Planted::new(Options::default()).await?;
    // No manifest is as short as that, so that this probe cannot judge any.
    let service = planted.serve("    limits: {manifest_bytes: 1KiB}\n").await;
    let runbook = planted.runbook(alert, &[address(&service)])?;
    let found = poll_until(PATIENCE, async || {
        let found = said(&runbook.run(&["jq '.unverified[]'"]).await);
        (!found.is_empty()).then_some(found)
    })
    .await;
    for told in ["\"reference\"", "\"kind\"", "\"cause\": \"protocol\"", "\"detail\""] {
        assert!(found.contains(told), "{found}");
    }
    for verified in [
        runbook.run(&["verify HOST/REPOSITORY:TAG"]).await,
        runbook.run_inline("registry-integrity-probe verify IMAGE").await,
    ] {
        assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    }
    Some(runbook)
}

pub async fn slow(alert: &'static str) -> Option<Runbook> {
    let planted = Planted::new(Options::default()).await?;
    let service = planted.serve("").await;
    let runbook = planted.runbook(alert, &[])?;
    let prometheus = monitoring::prometheus(service.address()).await?;
    let queries = runbook.queries();
    assert!(queries.len() > 3, "{queries:?}");
    for query in queries {
        // A rate needs two samples.
        poll_until(PATIENCE, async || (!prometheus.query(query).await.is_empty()).then_some(())).await;
    }
    let file = runbook.folder.path().join("probe.yaml");
    for (keys, code) in [("", 0), ("    intervall: 1h\n", 2)] {
        fs::write(&file, configuration(&planted.registry, keys)).unwrap();
        let checked = runbook.run(&["check-config probe.yaml"]).await;
        assert_eq!(checked.status.code(), Some(code), "{}", said(&checked));
    }
    Some(runbook)
}

pub async fn down(alert: &'static str) -> Option<Runbook> {
    for program in ["kubectl", "amtool"] {
        peer(program)?;
    }
    let planted = Planted::new(Options::default()).await?;
    let service = planted.serve("").await;
    let gateway = monitoring::pushgateway().await?;
    let alertmanager = monitoring::alertmanager("http://127.0.0.1:9/").await?;
    let pods = [pod("monitoring", "probe-0", "registry-integrity-probe", "x"), pod("web", "page-0", "page", "x")];
    let runbook = planted
        .runbook(
            alert,
            &[
                address(&service),
                ("PUSHGATEWAY", gateway.address().to_string()),
                ("ALERTMANAGER", alertmanager.address().to_string()),
            ],
        )?
        .in_cluster(Cluster::new(pods.into()).listen().await);

    let asked = said(&runbook.run(&["/-/healthy"]).await);
    assert!(asked.contains(" 200 ") && asked.contains("probe-0") && !asked.contains("page-0"), "{asked}");

    let of_the_gateway = ["registry_integrity_build_info"];
    assert!(!said(&runbook.run(&of_the_gateway).await).contains("registry_integrity_build_info{"));
    let file = planted.folder.path().join("sweep.yaml");
    fs::write(&file, configuration(&planted.registry, "")).unwrap();
    let pushed =
        probe(["sweep", "--config.file", file.to_str().unwrap(), "--push.gateway", &gateway.url("")]).run().await;
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
    let told = said(&runbook.run(&of_the_gateway).await);
    assert!(told.contains("registry_integrity_build_info{"), "{told}");

    let silenced = runbook.run(&["amtool silence add"]).await;
    assert!(silenced.status.success(), "{}", said(&silenced));
    let silences: Value = serde_json::from_str(&alertmanager.get("/api/v2/silences").await).unwrap();
    let matchers = silences[0]["matchers"].as_array().unwrap();
    for (name, value) in [("alertname", "RegistryProbeDown"), ("shard", "3")] {
        assert!(matchers.iter().any(|it| it["name"] == name && it["value"] == value), "{silences}");
    }
    Some(runbook)
}

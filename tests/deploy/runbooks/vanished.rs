//! What to do about a registry that lists few images, or none, where there were many.

use std::fs;

use registry_integrity_probe::demo::Image;

use super::{Planted, Runbook, address, configuration, said, until_failures};
use crate::testkit::docker_registry::Options;
use crate::testkit::monitoring::PATIENCE;
use crate::testkit::poll_until;
use crate::testkit::probe::RunningProbe;
use crate::testkit::raw_http::ask;

/// Restarts the registry without some of its storage, and waits for a sweep that says so.
async fn without(planted: &mut Planted, part: &str, service: &RunningProbe, says: &str) {
    planted.registry.stop();
    fs::remove_dir_all(planted.registry.root().join("docker/registry/v2").join(part)).unwrap();
    planted.registry.restart().await;
    ask(service.address(), "POST", "/api/v1/registries/private/sweep").send().await;
    poll_until(PATIENCE, async || {
        let known = service.get("/api/v1/registries").await + &service.get("/api/v1/findings").await;
        known.contains(says).then_some(())
    })
    .await;
}

pub async fn empty(alert: &'static str) -> Option<Runbook> {
    let mut planted = Planted::new(Options::default()).await?;
    let service = planted.serve("").await;
    until_failures(&service, false).await;
    let runbook = planted.runbook(alert, &[address(&service)])?;
    without(&mut planted, "repositories", &service, "\"empty\":true").await;
    assert!(said(&runbook.run(&["jq '.registries[]"]).await).contains("\"empty\": true"));
    let listed = said(&runbook.run(&["_catalog?n=100"]).await);
    assert!(listed.contains("{\"repositories\":[]}"), "{listed}");
    let keys = "    repositories: {include: ['team/*']}\n";
    fs::write(runbook.folder.path().join("probe.yaml"), configuration(&planted.registry, keys)).unwrap();
    let checked = runbook.run(&["check-config"]).await;
    assert_eq!(checked.status.code(), Some(0));
    assert!(said(&checked).contains("looks like a glob"), "{}", said(&checked));
    Some(runbook)
}

pub async fn vanished(alert: &'static str) -> Option<Runbook> {
    let mut planted = Planted::new(Options::default()).await?;
    for n in 0..5 {
        planted.registry.push(&format!("team/app-{n}:1"), &Image::manifest().named(&n.to_string())).await;
    }
    let service = planted.serve("").await;
    until_failures(&service, false).await;
    let runbook = planted.runbook(alert, &[address(&service)])?;
    without(&mut planted, "repositories/team", &service, "fewer than half of the 6 before").await;
    let told = said(&runbook.run(&["/api/v1/sweeps"]).await);
    assert!(told.contains("\"failed\",1"), "{told}");
    assert!(told.contains("\"cause\": \"incomplete\""), "{told}");
    let listed = said(&runbook.run(&["_catalog?n=100"]).await);
    assert!(listed.contains("{\"repositories\":[\"infra-ci\"]}") && listed.contains("\"latest\""), "{listed}");
    Some(runbook)
}

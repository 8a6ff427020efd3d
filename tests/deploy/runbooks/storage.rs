//! What to do about a collection that would break something, and a scan that does not run.

use std::fs;

use super::{Planted, Runbook, said};
use crate::testkit::docker_registry::Options;
use crate::testkit::peer;
use crate::testkit::probe::probe;

pub async fn collection(alert: &'static str) -> Option<Runbook> {
    let planted = Planted::new(Options::default()).await?;
    let config = planted.folder.path().join("config.yml");
    let root = planted.registry.root();
    fs::write(&config, format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n", root.display()))
        .unwrap();
    let further = [("ROOT", root.display().to_string()), ("CONFIG", config.display().to_string())];
    let runbook = planted.runbook(alert, &further)?.with_program("registry", &peer("docker-registry")?);
    let collect = "registry-integrity-probe scan --engine 2 ROOT && registry garbage-collect CONFIG";

    let child = &planted.image.child("linux/amd64").unwrap().digest;
    let link = planted.registry.revision_link("infra-ci", child);
    let bytes = fs::read(&link).unwrap();
    fs::remove_file(&link).unwrap();
    let scanned = runbook.run(&["scan --engine 2"]).await;
    assert_eq!(scanned.status.code(), Some(1), "{}", said(&scanned));
    assert!(said(&scanned).contains("has no revision link"), "{}", said(&scanned));
    let refused = runbook.run_inline(collect).await;
    assert!(refused.status.code() == Some(1) && !said(&refused).contains("eligible"), "{}", said(&refused));

    fs::write(&link, bytes).unwrap();
    let collected = runbook.run_inline(collect).await;
    assert!(collected.status.success() && said(&collected).contains("eligible"), "{}", said(&collected));
    Some(runbook)
}

pub async fn stale(alert: &'static str) -> Option<Runbook> {
    peer("journalctl")?;
    let planted = Planted::new(Options::default()).await?;
    let textfiles = planted.folder.path().join("textfiles");
    fs::create_dir(&textfiles).unwrap();
    let (root, file) = (planted.registry.root(), textfiles.join("registry-storage.prom"));
    probe(["scan", root.to_str().unwrap(), "--textfile", file.to_str().unwrap()]).run().await;
    let place = ("/var/lib/prometheus/node-exporter", textfiles.display().to_string());
    let runbook = Runbook::open(alert, vec![place])?;
    let seen = runbook.run(&["last_timestamp_seconds"]).await;
    assert!(seen.status.success() && said(&seen).contains("last_timestamp_seconds{"), "{}", said(&seen));
    // Where systemd does not run there is no journal, which is not what a wrong option says.
    let journal = runbook.run_inline("journalctl -u cron --since -3days").await;
    assert!(journal.status.success() || said(&journal).contains("No journal files were found"), "{}", said(&journal));
    Some(runbook)
}

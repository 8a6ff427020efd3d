//! `sweep --textfile`, read by a real node_exporter that a real Prometheus scrapes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use registry_integrity_probe::demo::{Image, Registry};
use serde_json::json;

use crate::testkit::probe::probe;

#[tokio::test]
async fn node_exporter_shows_what_the_exporter_would_show() {
    let directory = tempfile::tempdir().unwrap();
    let Some(node) = crate::testkit::monitoring::node_exporter(directory.path()).await else { return };
    let Some(prometheus) = crate::testkit::monitoring::prometheus(node.address()).await else { return };
    let registry = Registry::start().await.unwrap();
    let image = Image::index();
    registry.push("infra-ci:latest", &image);
    registry.remove_manifest("infra-ci", &image.child("linux/amd64").unwrap().digest);
    let config = directory.path().join("probe.yaml");
    let url = registry.url();
    let yaml = format!("registries: [{{name: private, url: '{url}', confirm: {{attempts: 1, delay: 10ms}}}}]\n");
    fs::write(&config, yaml).unwrap();
    let (config, textfile) = (config.to_str().unwrap(), directory.path().join("registry-integrity.prom"));
    let sweep = || probe(["sweep", "--config.file", config, "--textfile", textfile.to_str().unwrap()]).run();

    assert_eq!(sweep().await.code, Some(1));
    let broken = "registry_integrity_image_broken";
    prometheus.wait_for(broken, &["1"]).await;
    let series = json!({
        "__name__": broken, "instance": node.address().to_string(), "job": "scraped",
        "registry": "private", "repository": "infra-ci", "tag": "latest", "reason": "missing",
    });
    assert_eq!(prometheus.query(broken).await, [(series, "1".to_string())]);
    prometheus.wait_for("node_textfile_scrape_error", &["0"]).await;
    assert_eq!(fs::metadata(&textfile).unwrap().permissions().mode() & 0o777, 0o644);

    registry.push("infra-ci:latest", &image);
    assert_eq!(sweep().await.code, Some(0));
    prometheus.wait_for(broken, &[]).await;
    prometheus.wait_for("registry_integrity_images{state='intact'}", &["1"]).await;
}

#[tokio::test]
async fn unwritable_textfile_is_reported_beside_the_failure() {
    let registry = Registry::start().await.unwrap();
    let url = registry.url();
    let sweep = || probe(["sweep", "--registry", &url, "--textfile", "/nowhere/registry.prom"]).run();
    let outcome = sweep().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("cannot write the report to /nowhere/registry.prom: No such"), "{outcome:?}");
    registry.add_dangling_tag("infra-ci:latest");
    assert_eq!(sweep().await.code, Some(1));
}

#[tokio::test]
async fn a_name_that_node_exporter_does_not_read_is_told() {
    let registry = Registry::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (url, file) = (registry.url(), directory.path().join("registry.txt"));
    let outcome = probe(["sweep", "--registry", &url, "--textfile", file.to_str().unwrap()]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("node_exporter reads only files whose names end in .prom"), "{outcome:?}");
    assert!(fs::read_to_string(file).unwrap().contains("registry_integrity_build_info"));
}

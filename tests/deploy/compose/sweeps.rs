//! The shop is swept by the shipped configuration: no false alarm, and no cache downloads anything.

use std::path::Path;

use registry_integrity_probe::demo::Image;
use serde_json::Value;

use super::shop::{CACHES, Shop};
use crate::testkit::peer;
use crate::testkit::peers::distribution_v3;
use crate::testkit::probe::probe;
use crate::testkit::raw_http::ask;

/// What somebody built for two platforms, with attestations.
pub fn image(name: &str) -> Image {
    Image::index().named(name).platforms(["linux/amd64", "linux/arm64"]).with_attestation()
}

/// Every upstream has two images, of which its cache holds a half of one: this is what caches are like.
pub async fn stock(shop: &Shop) {
    for (nth, upstream) in shop.upstreams.iter().enumerate() {
        upstream.push("library/app:1", &image("app")).await;
        upstream.push("library/never-pulled:1", &image("never")).await;
        shop.pull(nth, "library/app:1", &image("app"), "linux/amd64").await;
    }
    shop.private().push("infra-ci:latest", &image("infra-ci")).await;
    shop.private().push("team/web:1", &Image::manifest().named("web")).await;
}

async fn is_swept_without_a_false_alarm_or_a_download(program: &Path) {
    let Some(shop) = Shop::open(program).await else { return };
    stock(&shop).await;
    let (held, asked) = (shop.settled().await, shop.asked_of_upstreams());
    assert!(asked.iter().any(|request| request.contains("/blobs/sha256:")), "{asked:?}");

    let config = shop.probe_config();
    let outcome = probe(["sweep", "--output", "json", "--config.file", config.to_str().unwrap()]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let registries = report["registries"].as_array().unwrap();
    let names: Vec<&str> = registries.iter().map(|registry| registry["registry"].as_str().unwrap()).collect();
    assert_eq!(names, [&CACHES[..], &["private"]].concat());
    for registry in registries {
        assert_eq!(
            (registry["outcome"].as_str(), registry["catalog_accessible"].as_bool()),
            (Some("complete"), Some(true))
        );
        assert_eq!((&registry["failures"], &registry["unverified"]), (&Value::from([0; 0]), &Value::from([0; 0])));
        let repositories = if registry["registry"] == "private" { 2 } else { 1 };
        assert_eq!(registry["repositories"], repositories, "{registry}");
    }
    assert_eq!(registries[5]["images"]["intact"], 2, "{}", registries[5]);

    assert_eq!(shop.settled().await, held, "a registry holds something else than before");
    assert_eq!(shop.asked_of_upstreams(), asked, "a cache asked its upstream");

    for registry in &shop.registries {
        assert_eq!(ask(registry.health, "GET", "/debug/health").send().await.status, Some(200));
    }
    assert_eq!(ask(shop.ports[6], "GET", "/-/healthy").send().await.status, Some(200));
    the_probe_s_user_may_only_read(&shop).await;
}

async fn the_probe_s_user_may_only_read(shop: &Shop) {
    let client = crate::testkit::push::http_client();
    for (user, status) in [("probe", 403), ("ci", 202)] {
        let destination = shop.private_as(user);
        let (name, password) = destination.credentials.unwrap();
        let url = format!("{}/v2/team/web/blobs/uploads/", destination.url);
        let answer = client.post(url).basic_auth(name, Some(password)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{user}");
    }
}

#[tokio::test]
async fn six_distribution_2_registries_raise_no_false_alarm() {
    let Some(program) = peer("docker-registry") else { return };
    is_swept_without_a_false_alarm_or_a_download(&program).await;
}

#[tokio::test]
async fn six_distribution_3_registries_raise_no_false_alarm() {
    let Some(program) = distribution_v3() else { return };
    is_swept_without_a_false_alarm_or_a_download(&program).await;
}

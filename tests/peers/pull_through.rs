//! A cache is never made to download anything: Debian's docker-registry in proxy mode, in front of a registry that writes
//! down what the cache asks of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use registry_integrity_probe::config::{ImageSelector, Mode};
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::report::{Cause, ImageCounts, Outcome};

use crate::testkit::docker_registry::{DockerRegistry, Options};
use crate::testkit::push::shared_client;
use crate::testkit::sweeping::Sweeping;

/// The bytes that a cache holds: every blob and manifest, with its length. What it notes about tags is no download.
fn held_by(cache: &DockerRegistry) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![cache.root().join("docker/registry/v2/blobs")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) => drop(found.insert(entry.path(), metadata.len())),
                Err(_) => {}
            }
        }
    }
    found
}

async fn pull(cache: &DockerRegistry, repository: &str, image: &Image, parts: usize) {
    for part in image.parts().iter().rev().take(parts) {
        let endpoint = if part.media_type.contains("manifest") { "manifests" } else { "blobs" };
        let url = format!("{}/v2/{repository}/{endpoint}/{}", cache.url(), part.digest);
        let answer = shared_client().get(url).header("Accept", &part.media_type).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{part:?}");
        answer.bytes().await.unwrap();
    }
}

#[expect(clippy::print_stderr, reason = "the request log is what is to be shown")]
#[tokio::test]
async fn not_one_request_makes_a_cache_download_anything() {
    let upstream = Registry::start().await.unwrap();
    let (held, part_held, never) =
        (Image::manifest().named("held"), Image::manifest().named("part"), Image::manifest().named("never"));
    upstream.push("app:held", &held);
    upstream.push("app:part", &part_held);
    upstream.push("other:never", &never);
    let options = Options { proxy_of: Some(upstream.url()), ..Options::default() };
    let Some(cache) = DockerRegistry::start_with(options).await else { return };
    pull(&cache, "app", &held, usize::MAX).await;
    pull(&cache, "app", &part_held, 1).await;
    let before = crate::testkit::poll_until(std::time::Duration::from_secs(10), async || {
        let before = held_by(&cache);
        (before.len() == held.parts().len() + 1).then_some(before)
    })
    .await;
    upstream.clear_requests();

    let image = |name: &str| ImageSelector::Image(name.parse().unwrap());
    let report = Sweeping::over(&cache.url())
        .with(|target| {
            target.mode = Mode::PullThrough;
            target.images = vec![
                image("app:held"),
                image("app:part"),
                image("other:never"),
                image(&format!("app@{}", part_held.root().digest)),
                image(&format!("app@{}", never.root().digest)),
                ImageSelector::Repository("app".parse().unwrap()),
            ];
        })
        .sweep()
        .await;

    let asked = upstream.requests();
    for request in &asked {
        eprintln!("{} {} {:?}", request.method, request.path, request.status);
    }
    assert_eq!(report.failures, []);
    assert_eq!(held_by(&cache), before, "the cache holds something new");
    let downloads: Vec<_> = asked.iter().filter(|request| request.method == "GET" && request.path != "/v2/").collect();
    assert!(downloads.is_empty(), "{downloads:#?}");
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(report.images, ImageCounts { intact: 2, broken: 0, unverified: 1 });
    let unverified: Vec<_> = report.unverified.iter().map(|it| (it.repository.as_deref(), it.cause)).collect();
    assert_eq!(unverified, [(Some("other"), Cause::Incomplete)]);
}

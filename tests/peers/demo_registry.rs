//! The in-process registry against Debian's `docker-registry`: the same content, the same requests, the same answers.

use std::collections::BTreeSet;
use std::fs;

use registry_integrity_probe::demo::content::media_type;
use registry_integrity_probe::demo::{Auth, Headers, Image, Part, Registry, images};
use registry_integrity_probe::oci::{Digest, MANIFEST_ACCEPT, parse_manifest};
use serde_json::Value;

use crate::testkit::docker_registry::{DockerRegistry, Options, PASSWORD, USERNAME};
use crate::testkit::push::shared_client;
use crate::testkit::raw_http::{RawAnswer, ask};
use crate::testkit::skopeo::{skopeo, skopeo_copy};

/// What a client may look at. `Date` and the order of headers are not the registry's.
const COMPARED_HEADERS: [&str; 12] = [
    "accept-ranges",
    "allow",
    "cache-control",
    "content-length",
    "content-range",
    "content-type",
    "docker-content-digest",
    "docker-distribution-api-version",
    "etag",
    "link",
    "location",
    "x-content-type-options",
];

/// A real registry and an in-process one.
struct Pair {
    real: DockerRegistry,
    made_up: Registry,
}

impl Pair {
    async fn start() -> Option<Self> {
        Self::start_with(Options::default()).await
    }

    async fn start_with(options: Options) -> Option<Self> {
        let real = DockerRegistry::start_with(options).await?;
        Some(Self { real, made_up: Registry::start().await.unwrap() })
    }

    async fn push(&self, name: &str, image: &Image) {
        self.real.push(name, image).await;
        self.made_up.push(name, image);
    }

    /// Asks both and compares everything that a client may look at.
    async fn agree_on(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> RawAnswer {
        let [real, made_up] = [self.real.address(), self.made_up.address()].map(|address| {
            headers.iter().fold(ask(address, method, target), |ask, (name, value)| ask.header(name, value)).send()
        });
        let (real, made_up) = (real.await, made_up.await);
        // The detail of a 500 is whatever error Go had at hand.
        if real.status == Some(500) {
            assert_eq!(made_up.status, real.status, "{method} {target} {headers:?}");
        } else {
            assert_eq!(comparable(&made_up), comparable(&real), "{method} {target} {headers:?}");
        }
        real
    }

    async fn agree_on_get_and_head(&self, target: &str, headers: &[(&str, &str)]) -> RawAnswer {
        self.agree_on("HEAD", target, headers).await;
        self.agree_on("GET", target, headers).await
    }
}

fn comparable(answer: &RawAnswer) -> Vec<String> {
    let mut lines = vec![format!("{:?}, {:?}", answer.status, answer.end)];
    let headers = COMPARED_HEADERS.iter().filter_map(|name| Some(format!("{name}: {}", answer.header(name)?)));
    lines.extend(headers);
    lines.push(match serde_json::from_slice::<Value>(&answer.body) {
        Ok(mut body) => {
            // Distribution lists tags in the order of the directory, which is anybody's guess.
            if let Some(tags) = body.get_mut("tags").and_then(Value::as_array_mut) {
                tags.sort_by_key(ToString::to_string);
            }
            body.to_string()
        }
        Err(_) => answer.text(),
    });
    lines
}

fn manifest(repository: &str, reference: impl std::fmt::Display) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

fn blob(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

#[tokio::test]
async fn lists_agree() {
    let Some(pair) = Pair::start().await else { return };
    pair.push("a/b:one", &Image::manifest()).await;
    pair.push("a/b:two", &Image::index()).await;
    for name in ["a", "a-b", "a.b", "blobs-only", "z/y/x"] {
        pair.real.destination().push_blob(name, Image::manifest().layers().next().unwrap()).await;
        pair.made_up.add_empty_repository(name);
    }
    pair.push("deleted:tag", &Image::manifest()).await;
    fs::remove_dir_all(pair.real.repository("deleted").join("_manifests/tags/tag")).unwrap();
    pair.made_up.delete_tag("deleted:tag");
    pair.push("dangling:intact", &Image::manifest()).await;
    pair.push("dangling:empty", &Image::manifest()).await;
    fs::remove_file(pair.real.tag_link("dangling", "empty")).unwrap();
    pair.made_up.add_dangling_tag("dangling:empty");

    for query in ["", "?n=2", "?n=2&last=a", "?n=2&last=a%2Fb", "?n=3&last=a-b", "?n=5&last=a.b", "?n=1000", "?last=z"]
    {
        pair.agree_on("GET", &format!("/v2/_catalog{query}"), &[]).await;
    }
    for query in ["?n=0", "?n=-1", "?n=x", "?n=1001", "?last=nobody&n=1", "?n=100&last=zz"] {
        pair.agree_on("GET", &format!("/v2/_catalog{query}"), &[]).await;
    }
    for name in ["a/b", "a", "blobs-only", "nobody", "deleted", "dangling"] {
        pair.agree_on("GET", &format!("/v2/{name}/tags/list"), &[]).await;
        pair.agree_on("GET", &format!("/v2/{name}/tags/list?n=1"), &[]).await;
    }
    for target in ["/v2/_catalog", "/v2/a/b/tags/list"] {
        assert_eq!(pair.agree_on("HEAD", target, &[]).await.status, Some(405));
        pair.agree_on("POST", target, &[]).await;
    }
    pair.agree_on_get_and_head("/v2/", &[]).await;
    pair.agree_on("GET", "/v2/dangling/manifests/empty", &[("Accept", MANIFEST_ACCEPT)]).await;
    pair.agree_on("GET", "/nothing", &[]).await;
    pair.agree_on("GET", "/v2/A/tags/list", &[]).await;
}

#[tokio::test]
async fn a_catalog_without_a_page_size_comes_in_hundreds() {
    let Some(pair) = Pair::start().await else { return };
    for number in 0..250 {
        let name = format!("repository-{number:03}");
        fs::create_dir_all(pair.real.repository(&name).join("_layers")).unwrap();
        pair.made_up.add_empty_repository(&name);
    }
    let mut target = "/v2/_catalog".to_string();
    let mut pages = 0;
    loop {
        let page = pair.agree_on("GET", &target, &[]).await;
        pages += 1;
        let Some(link) = page.header("link") else { break };
        target = next_target(link);
    }
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn manifests_agree_whatever_the_client_accepts() {
    let Some(pair) = Pair::start().await else { return };
    let images = [
        ("oci-index", Image::index().with_attestation()),
        ("oci-manifest", Image::manifest()),
        ("docker-list", Image::index().docker()),
        ("docker-manifest", Image::manifest().docker()),
        ("silent", Image::manifest().without_media_type()),
        ("silent-index", Image::index().without_media_type()),
        ("nested", Image::index().containing([Image::index(), Image::manifest().named("other")])),
        ("artifact", Image::artifact("application/example")),
        ("foreign", Image::manifest().with_layer_urls(["https://example.com/layer"])),
        ("dangling-subject", Image::manifest().with_subject(&Digest::sha256(b"nothing"))),
        ("liar", Image::manifest().claiming_layer_size(7)),
    ];
    let docker_only = [media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST].join(",");
    for (name, image) in &images {
        pair.push(&format!("{name}:tag"), image).await;
        for accept in [MANIFEST_ACCEPT, media_type::OCI_INDEX, media_type::OCI_MANIFEST, &docker_only] {
            pair.agree_on_get_and_head(&manifest(name, "tag"), &[("Accept", accept)]).await;
            pair.agree_on_get_and_head(&manifest(name, &image.root().digest), &[("Accept", accept)]).await;
        }
        for child in image.children() {
            pair.agree_on_get_and_head(&manifest(name, &child.digest), &[("Accept", MANIFEST_ACCEPT)]).await;
        }
    }
    for accept in ["*/*", "application/json"] {
        let answer = pair.agree_on("GET", &manifest("oci-index", "tag"), &[("Accept", accept)]).await;
        assert_eq!(answer.status, Some(404));
    }
    let schema_2 = [("Accept", media_type::DOCKER_MANIFEST)];
    let answer = pair.agree_on_get_and_head(&manifest("docker-list", "tag"), &schema_2).await;
    let default = images[2].1.child("linux/amd64").unwrap();
    assert_eq!(answer.header("docker-content-digest"), Some(default.digest.to_string().as_str()));
    pair.agree_on_get_and_head(&manifest("docker-list", &images[2].1.root().digest), &schema_2).await;
}

#[tokio::test]
async fn what_is_absent_is_absent_in_the_same_way() {
    let Some(pair) = Pair::start().await else { return };
    let image = Image::index().with_attestation();
    pair.push("infra-ci:latest", &image).await;
    let accept = [("Accept", MANIFEST_ACCEPT)];
    let child = image.child("linux/amd64").unwrap();
    fs::remove_file(pair.real.revision_link("infra-ci", &child.digest)).unwrap();
    pair.made_up.remove_manifest("infra-ci", &child.digest);
    let layer = image.layers().next().unwrap();
    fs::remove_file(pair.real.layer_link("infra-ci", &layer.digest)).unwrap();
    pair.made_up.remove_blob("infra-ci", &layer.digest);

    assert_eq!(pair.agree_on_get_and_head(&manifest("infra-ci", "latest"), &accept).await.status, Some(200));
    assert_eq!(pair.agree_on_get_and_head(&manifest("infra-ci", &child.digest), &accept).await.status, Some(404));
    assert_eq!(pair.agree_on_get_and_head(&blob("infra-ci", &layer.digest), &[]).await.status, Some(404));
    for target in [
        manifest("infra-ci", "nothing"),
        manifest("nobody", "latest"),
        manifest("nobody", &child.digest),
        blob("nobody", &layer.digest),
        "/v2/infra-ci/blobs/sha256:4".to_string(),
    ] {
        pair.agree_on_get_and_head(&target, &accept).await;
    }
}

/// The incident: nothing but a push under the same tag and the collector that everybody runs at night.
#[tokio::test]
async fn a_collection_leaves_the_orphan_index_that_the_demo_shows() {
    let Some(mut pair) = Pair::start().await else { return };
    let image = Image::index().named("second push").with_attestation();
    pair.push("infra-ci:latest", &Image::index().named("first push")).await;
    pair.push("infra-ci:latest", &image).await;
    let collected = pair.real.garbage_collect(true);
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
    pair.real.restart().await;
    for child in image.children() {
        pair.made_up.remove_manifest("infra-ci", &child.digest);
    }
    let accept = [("Accept", MANIFEST_ACCEPT)];
    assert_eq!(pair.agree_on_get_and_head(&manifest("infra-ci", "latest"), &accept).await.status, Some(200));
    for child in image.children() {
        let answer = pair.agree_on_get_and_head(&manifest("infra-ci", &child.digest), &accept).await;
        assert_eq!(answer.status, Some(404));
    }
}

#[tokio::test]
async fn blobs_and_their_ranges_agree() {
    let Some(pair) = Pair::start().await else { return };
    let image = Image::manifest().with_layer_size(1000);
    pair.push("web:1", &image).await;
    for part in image.configs().chain(image.layers()) {
        let target = blob("web", &part.digest);
        let whole = pair.agree_on_get_and_head(&target, &[]).await;
        assert_eq!(whole.body, part.bytes);
        let last = part.bytes.len() - 1;
        for range in [
            "bytes=0-0".to_string(),
            format!("bytes={last}-{last}"),
            format!("bytes={}-{}", last, last + 9),
            format!("bytes={}-{}", last + 1, last + 1),
            "bytes=-2".to_string(),
            "bytes=7-".to_string(),
            "bytes=2-1".to_string(),
            "bytes=x".to_string(),
            "lines=1-2".to_string(),
        ] {
            pair.agree_on_get_and_head(&target, &[("Range", &range)]).await;
        }
    }
}

#[tokio::test]
async fn damaged_data_reads_the_same() {
    let Some(pair) = Pair::start().await else { return };
    let damages: [fn(&Part) -> Vec<u8>; 3] =
        [|_| Vec::new(), |part| part.truncated(5).to_vec(), |part| part.flipped().to_vec()];
    for (number, damage) in damages.into_iter().enumerate() {
        let image = Image::manifest().named(&format!("image {number}"));
        let name = format!("damaged-{number}");
        pair.push(&format!("{name}:1"), &image).await;
        let layer = image.layers().next().unwrap();
        for part in [layer, image.root()] {
            fs::write(pair.real.blob_data(&part.digest), damage(part)).unwrap();
            pair.made_up.replace(&name, &part.digest, damage(part), Headers::Follow);
        }
        let target = blob(&name, &layer.digest);
        pair.agree_on_get_and_head(&target, &[]).await;
        for range in ["bytes=0-0", "bytes=511-511"] {
            pair.agree_on_get_and_head(&target, &[("Range", range)]).await;
        }
        pair.agree_on_get_and_head(&manifest(&name, "1"), &[("Accept", MANIFEST_ACCEPT)]).await;
    }
    // One that is still a manifest is served under its old digest.
    let image = Image::manifest().named("altered");
    pair.push("altered:1", &image).await;
    let altered = String::from_utf8(image.root().bytes.to_vec()).unwrap().replace("layers", "LAYERS");
    fs::write(pair.real.blob_data(&image.root().digest), &altered).unwrap();
    pair.made_up.replace("altered", &image.root().digest, altered.clone(), Headers::Follow);
    let answer = pair.agree_on_get_and_head(&manifest("altered", "1"), &[("Accept", MANIFEST_ACCEPT)]).await;
    assert_eq!(answer.header("docker-content-digest"), Some(image.root().digest.to_string().as_str()));
    assert_eq!(answer.text(), altered);
}

#[tokio::test]
async fn a_stale_cache_lies_in_the_same_way() {
    let Some(pair) = Pair::start_with(Options { cache: true, ..Options::default() }).await else { return };
    for (number, kept) in [None, Some(5), Some(0)].into_iter().enumerate() {
        let image = Image::manifest().named(&format!("image {number}"));
        pair.push(&format!("stale-{number}:1"), &image).await;
        let layer = image.layers().next().unwrap();
        let data = pair.real.blob_data(&layer.digest);
        match kept {
            None => fs::remove_file(data).unwrap(),
            Some(length) => fs::write(data, layer.truncated(length)).unwrap(),
        }
        let name = format!("stale-{number}");
        pair.made_up.replace(&name, &layer.digest, layer.truncated(kept.unwrap_or(0)), Headers::Stale);
        let target = blob(&name, &layer.digest);
        let answer = pair.agree_on_get_and_head(&target, &[]).await;
        assert_eq!((answer.status, answer.header("content-length")), (Some(200), Some("512")));
        assert_eq!(answer.body.len(), kept.unwrap_or(0));
        for range in ["bytes=0-0", "bytes=511-511"] {
            let answer = pair.agree_on_get_and_head(&target, &[("Range", range)]).await;
            assert_eq!(answer.status, Some(206));
        }
    }
}

#[tokio::test]
async fn basic_authentication_agrees() {
    let Some(pair) = Pair::start_with(Options { htpasswd: true, ..Options::default() }).await else { return };
    pair.made_up.require(Auth::basic(USERNAME, PASSWORD));
    pair.push("a:1", &Image::manifest()).await;
    let [right, wrong] = ["Basic cHJvYmU6c2VjcmV0", "Basic cHJvYmU6d3Jvbmc="].map(|value| [("Authorization", value)]);
    for target in ["/v2/", "/v2/_catalog"] {
        assert_eq!(pair.agree_on("GET", target, &right).await.status, Some(200));
        for headers in [&wrong[..], &[]] {
            for address in [pair.real.address(), pair.made_up.address()] {
                let ask =
                    headers.iter().fold(ask(address, "GET", target), |ask, (name, value)| ask.header(name, value));
                let answer = ask.send().await;
                assert_eq!(answer.status, Some(401));
                assert!(answer.header("www-authenticate").unwrap().starts_with("Basic realm="));
                assert!(answer.text().contains("UNAUTHORIZED"));
            }
        }
    }
}

#[tokio::test]
async fn skopeo_copies_between_real_and_in_process_registry() {
    let Some(pair) = Pair::start().await else { return };
    let image = Image::index().with_attestation();
    let Some(copied) = skopeo_copy(&image, &pair.real, "infra-ci:latest").await else { return };
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    pair.made_up.push("infra-ci:latest", &image);
    pair.agree_on_get_and_head(&manifest("infra-ci", "latest"), &[("Accept", MANIFEST_ACCEPT)]).await;

    let directory = tempfile::tempdir().unwrap();
    let source = format!("docker://{}/infra-ci:latest", pair.made_up.address());
    let target = format!("dir:{}", directory.path().display());
    let arguments = ["copy", "--all", "--src-tls-verify=false", &source, &target];
    let copied = skopeo(&arguments).await.unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    pair.made_up.remove_manifest("infra-ci", &image.child("linux/amd64").unwrap().digest);
    let copied = skopeo(&arguments).await.unwrap();
    assert!(String::from_utf8_lossy(&copied.stderr).contains("manifest unknown"));
}

/// Everything that some tag can reach and that does not come with the bytes of its digest.
async fn walk(registry: &Registry) -> BTreeSet<String> {
    let get = async |path: String| {
        let answer = shared_client().get(format!("{}{path}", registry.url())).header("Accept", MANIFEST_ACCEPT).send();
        answer.await.ok()?.error_for_status().ok()?.bytes().await.ok()
    };
    let json =
        async |path: String| serde_json::from_slice::<Value>(&get(path).await.unwrap_or_default()).unwrap_or_default();
    let mut broken = BTreeSet::new();
    for name in json("/v2/_catalog".to_string()).await["repositories"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        let tags = json(format!("/v2/{name}/tags/list")).await;
        for tag in tags["tags"].as_array().into_iter().flatten() {
            let mut references = vec![tag.as_str().unwrap().to_string()];
            while let Some(reference) = references.pop() {
                let bytes = get(manifest(name, &reference)).await.unwrap_or_default();
                let Ok(manifest) = parse_manifest(&bytes) else {
                    broken.insert(reference);
                    continue;
                };
                references.extend(manifest.manifests.iter().map(|child| child.digest.to_string()));
                for part in manifest.config.iter().chain(&manifest.layers).filter(|part| !part.has_urls) {
                    if get(blob(name, &part.digest)).await.is_none_or(|bytes| Digest::sha256(&bytes) != part.digest) {
                        broken.insert(part.digest.to_string());
                    }
                }
            }
        }
    }
    broken
}

#[tokio::test]
async fn the_demo_breaks_what_it_announces_and_nothing_else() {
    let registry = Registry::start().await.unwrap();
    let announced: BTreeSet<String> =
        images::populate(&registry).into_iter().map(|breakage| breakage.digest.to_string()).collect();
    assert_eq!(announced.len(), 3);
    assert_eq!(walk(&registry).await, announced);
}

#[tokio::test]
async fn ten_thousand_repositories_and_twenty_thousand_tags_are_served() {
    let registry = Registry::start().await.unwrap();
    let image = Image::manifest().with_layer_size(64);
    for number in 0..10_000 {
        registry.push(&format!("team-{}/service-{number}:latest", number % 100), &image);
    }
    for number in 0..20_000 {
        registry.push(&format!("busy:{number}"), &image);
    }
    assert_eq!(list(&registry, "/v2/_catalog?n=1000", "repositories").await.len(), 10_001);
    assert_eq!(list(&registry, "/v2/busy/tags/list", "tags").await.len(), 20_000);
    registry.page_tags_by(1000);
    registry.clear_requests();
    assert_eq!(list(&registry, "/v2/busy/tags/list", "tags").await.len(), 20_000);
    assert_eq!(registry.request_count(), 20);
}

/// Every name of a list, page by page.
async fn list(registry: &Registry, start: &str, member: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut target = Some(start.to_string());
    while let Some(asked) = target.take() {
        let page = ask(registry.address(), "GET", &asked).send().await;
        let body: Value = serde_json::from_slice(&page.body).unwrap();
        names.extend(body[member].as_array().unwrap().iter().map(ToString::to_string));
        target = page.header("link").map(next_target);
    }
    names
}

fn next_target(link: &str) -> String {
    link.trim_start_matches('<').split('>').next().unwrap().to_string()
}

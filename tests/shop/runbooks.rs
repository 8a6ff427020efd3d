//! The commands of `docs/runbooks`, each run as it stands there, but for its placeholders, against a real registry with the
//! fault planted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use regex::Regex;
use registry_integrity_probe::demo::{Image, Role};

use crate::monitoring::PATIENCE;
use crate::support::docker_registry::{DockerRegistry, Options};
use crate::support::probe::{RunningProbe, probe};
use crate::support::{peer, poll_until};

const PROGRAMS: [&str; 3] = ["curl", "jq", "skopeo"];

/// A page whose blocks are run.
struct Runbook {
    blocks: Vec<String>,
    run: RefCell<BTreeSet<usize>>,
    replacements: Vec<(&'static str, String)>,
    folder: tempfile::TempDir,
}

impl Runbook {
    /// `None` if a program that the pages use is not installed.
    fn open(alert: &str, replacements: Vec<(&'static str, String)>) -> Option<Self> {
        for program in PROGRAMS {
            peer(program)?;
        }
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks").join(format!("{alert}.md"));
        let page = fs::read_to_string(page).unwrap();
        let blocks: Vec<String> =
            page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_string()).collect();
        assert!(!blocks.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(".config/containers");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
        let host = &replacements.iter().find(|(name, _)| *name == "HOST").unwrap().1;
        let insecure = format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
        fs::write(config.join("registries.conf"), insecure).unwrap();
        let program = folder.path().join("registry-integrity-probe");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_registry-integrity-probe"), program).unwrap();
        Some(Self { blocks, run: RefCell::default(), replacements, folder })
    }

    /// Runs the blocks that hold these words, in the order of the page, in one shell.
    async fn run(&self, words: &[&str]) -> Output {
        let mut script = String::new();
        for (nth, block) in self.blocks.iter().enumerate() {
            if words.iter().any(|word| block.contains(word)) {
                script += block;
                self.run.borrow_mut().insert(nth);
            }
        }
        for word in words {
            assert!(script.contains(word), "no block has {word}");
        }
        script = script.replace("https://", "http://").replace("PROBE:10500", "PROBE");
        for (placeholder, value) in &self.replacements {
            if placeholder.starts_with('/') {
                script = script.replace(placeholder, value);
                continue;
            }
            // Not the variable of that name: `$TAG`, `${TAG`, `TAG=`.
            let placeholder = Regex::new(&format!(r"(^|[^$\w{{]){placeholder}($|[^=\w])")).unwrap();
            script = placeholder.replace_all(&script, format!("${{1}}{value}${{2}}")).into_owned();
        }
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let home = self.folder.path();
        let shell = tokio::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(home)
            .env_clear()
            .env("PATH", path)
            .env("HOME", home)
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(PATIENCE, shell).await.expect("a runbook's commands end").unwrap()
    }

    /// Every block of the page has been run.
    #[track_caller]
    fn is_done(&self) {
        let left: Vec<_> = self
            .blocks
            .iter()
            .enumerate()
            .filter(|(nth, _)| !self.run.borrow().contains(nth))
            .map(|(_, block)| block)
            .collect();
        assert!(left.is_empty(), "{left:#?}");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn serve(registry: &DockerRegistry, folder: &Path) -> RunningProbe {
    let file = folder.join("probe.yaml");
    let text = format!(
        "registries:\n  - name: private\n    url: {}\n    evidence: {{byte: 0s}}\n    \
         confirm: {{attempts: 1, delay: 10ms}}\n",
        registry.url()
    );
    fs::write(&file, text).unwrap();
    probe(["serve", "--web.enable-lifecycle", "--config.file", file.to_str().unwrap()]).serve().await
}

async fn until_failures(service: &RunningProbe, are_there: bool) {
    poll_until(PATIENCE, async || {
        let findings: serde_json::Value = serde_json::from_str(&service.get("/api/v1/findings").await).ok()?;
        let known: serde_json::Value = serde_json::from_str(&service.get("/api/v1/registries").await).ok()?;
        let has_ended = !known["registries"][0]["last_sweep"].is_null();
        let is_so = findings["failures"].as_array()?.is_empty() != are_there;
        (has_ended && is_so).then_some(())
    })
    .await;
}

struct Planted {
    registry: DockerRegistry,
    other: DockerRegistry,
    image: Image,
    folder: tempfile::TempDir,
}

impl Planted {
    async fn new(options: Options) -> Option<Self> {
        let registry = DockerRegistry::start_with(options).await?;
        let other = DockerRegistry::start().await?;
        let image = Image::index().named("infra-ci").with_attestation();
        registry.push("infra-ci:latest", &image).await;
        other.push("infra-ci:latest", &image).await;
        Some(Self { registry, other, image, folder: tempfile::tempdir().unwrap() })
    }

    fn runbook(&self, alert: &str, service: &RunningProbe, digest: &str, media_type: &str) -> Option<Runbook> {
        let host = self.registry.address().to_string();
        let replacements = vec![
            ("PROBE", service.address().to_string()),
            ("REGISTRY", "private".to_string()),
            ("REPOSITORY", "infra-ci".to_string()),
            ("TAG", "latest".to_string()),
            ("DIGEST", digest.to_string()),
            ("TYPE", media_type.to_string()),
            ("OTHER", self.other.address().to_string()),
            ("/var/lib/registry", self.registry.root().display().to_string()),
            ("HOST", host),
        ];
        Runbook::open(alert, replacements)
    }
}

const SETTINGS: &str = "URL=https://HOST REPOSITORY";
const FAILURE: &str = "RegistryManifestIntegrityFailure";

#[tokio::test]
async fn a_child_without_its_link_and_a_layer_without_data_are_found_and_mended() {
    let Some(planted) = Planted::new(Options::default()).await else { return };
    let (registry, image) = (&planted.registry, &planted.image);
    let child = image.child("linux/amd64").unwrap();
    let digest = child.digest.to_string();
    fs::remove_file(registry.revision_link("infra-ci", &child.digest)).unwrap();
    let service = serve(registry, planted.folder.path()).await;
    until_failures(&service, true).await;
    let Some(runbook) = planted.runbook(FAILURE, &service, &digest, &child.media_type) else { return };

    let found = said(&runbook.run(&["jq '.failures[]'"]).await);
    assert!(found.contains(&digest) && found.contains("\"missing\""), "{found}");
    let confirmed = said(&runbook.run(&[SETTINGS, "$DIGEST\" | sha256sum"]).await);
    assert!(confirmed.contains(" 404 "), "{confirmed}");
    let copied = runbook.run(&[SETTINGS, "skopeo copy"]).await;
    assert!(!copied.status.success() && said(&copied).contains("manifest unknown"), "{}", said(&copied));
    let verified = runbook.run(&[SETTINGS, "verify --evidence content"]).await;
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));

    let mended = said(&runbook.run(&[SETTINGS, "hex=${DIGEST"]).await);
    assert!(mended.contains(digest.trim_start_matches("sha256:")), "{mended}");
    let swept = said(&runbook.run(&["-X POST http://PROBE"]).await);
    assert!(swept.contains("started"), "{swept}");
    until_failures(&service, false).await;
    for words in [[SETTINGS, "skopeo copy"], [SETTINGS, "verify --evidence content"]] {
        let output = runbook.run(&words).await;
        assert!(output.status.success(), "{}", said(&output));
    }

    // The same from another registry.
    fs::remove_file(registry.revision_link("infra-ci", &child.digest)).unwrap();
    runbook.run(&[SETTINGS, "> manifest"]).await;
    assert!(runbook.run(&[SETTINGS, "skopeo copy"]).await.status.success());

    let layer = image.parts().iter().find(|part| part.role == Role::Layer).unwrap();
    let hex = layer.digest.to_string();
    fs::remove_file(registry.blob_data(&layer.digest)).unwrap();
    let of_layer = planted.runbook(FAILURE, &service, &hex, "").unwrap();
    let confirmed = said(&of_layer.run(&[SETTINGS, "blobs/$DIGEST\" | sha256sum"]).await);
    assert!(!confirmed.contains(hex.trim_start_matches("sha256:")), "{confirmed}");
    let mended = said(&of_layer.run(&[SETTINGS, "> blob"]).await);
    assert!(mended.contains(hex.trim_start_matches("sha256:")), "{mended}");
    let confirmed = said(&of_layer.run(&[SETTINGS, "blobs/$DIGEST\" | sha256sum"]).await);
    assert!(confirmed.contains(hex.trim_start_matches("sha256:")), "{confirmed}");

    runbook.run.borrow_mut().extend(of_layer.run.borrow().iter());
    runbook.is_done();
}

/// What the page says of a stale cache: the push ends well, and nothing is mended until the registry was restarted.
#[tokio::test]
async fn under_a_stale_cache_a_push_writes_nothing_until_the_registry_is_restarted() {
    let Some(mut planted) = Planted::new(Options { cache: true, ..Options::default() }).await else { return };
    let child = planted.image.child("linux/amd64").unwrap().clone();
    let service = serve(&planted.registry, planted.folder.path()).await;
    let digest = child.digest.to_string();
    let Some(runbook) = planted.runbook(FAILURE, &service, &digest, &child.media_type) else { return };
    let data = planted.registry.blob_data(&child.digest);
    fs::remove_file(&data).unwrap();
    for is_restarted in [false, true] {
        if is_restarted {
            planted.registry.restart().await;
        }
        let pushed = runbook.run(&[SETTINGS, "> manifest"]).await;
        assert!(pushed.status.success(), "{}", said(&pushed));
        assert_eq!(data.exists(), is_restarted, "{}", said(&pushed));
    }
    let verified = runbook.run(&[SETTINGS, "verify --evidence content"]).await;
    assert!(verified.status.success(), "{}", said(&verified));
}

#[tokio::test]
async fn a_catalog_that_cannot_be_read_and_a_probe_that_is_stale_are_looked_into() {
    let Some(mut planted) = Planted::new(Options::default()).await else { return };
    let service = serve(&planted.registry, planted.folder.path()).await;
    until_failures(&service, false).await;
    let Some(stale) = planted.runbook("RegistryIntegrityProbeStale", &service, "", "") else { return };
    let known = said(&stale.run(&["jq '.registries[]"]).await);
    assert!(known.contains("\"private\"") && known.contains("\"complete\""), "{known}");
    assert!(said(&stale.run(&["%{http_code}"]).await).starts_with("200 in "));

    planted.registry.stop();
    assert!(said(&stale.run(&["%{http_code}"]).await).starts_with("000 in "));
    assert!(said(&stale.run(&["-X POST http://PROBE"]).await).contains("started"));
    stale.is_done();
    let catalog = planted.runbook("RegistryCatalogInaccessible", &service, "", "").unwrap();
    poll_until(PATIENCE, async || said(&catalog.run(&["_catalog\")'"]).await).contains("unreachable").then_some(()))
        .await;
    assert!(said(&catalog.run(&["$URL/v2/"]).await).contains("connect"));
    assert!(!catalog.run(&["list-tags"]).await.status.success());
    planted.registry.restart().await;
    assert!(said(&catalog.run(&["$URL/v2/"]).await).contains("infra-ci"));
    assert!(said(&catalog.run(&["list-tags"]).await).contains("latest"));
    catalog.is_done();
}

#[tokio::test]
async fn a_collection_that_would_break_images_is_looked_into() {
    let Some(planted) = Planted::new(Options::default()).await else { return };
    let service = serve(&planted.registry, planted.folder.path()).await;
    let child = planted.image.child("linux/amd64").unwrap();
    fs::remove_file(planted.registry.revision_link("infra-ci", &child.digest)).unwrap();
    let Some(runbook) = planted.runbook("RegistryStorageCollectionWouldBreakImages", &service, "", "") else { return };
    let scanned = runbook.run(&["scan --engine 2"]).await;
    assert_eq!(scanned.status.code(), Some(1), "{}", said(&scanned));
    assert!(said(&scanned).contains("has no revision link any more"), "{}", said(&scanned));
    runbook.is_done();

    let textfiles = planted.folder.path().join("textfiles");
    fs::create_dir(&textfiles).unwrap();
    let (root, file) = (planted.registry.root(), textfiles.join("registry-storage.prom"));
    probe(["scan", root.to_str().unwrap(), "--textfile", file.to_str().unwrap()]).run().await;
    let host = ("HOST", "127.0.0.1:1".to_string());
    let place = ("/var/lib/prometheus/node-exporter", textfiles.display().to_string());
    let runbook = Runbook::open("RegistryStorageScanStale", vec![host, place]).unwrap();
    let seen = runbook.run(&["last_timestamp_seconds"]).await;
    assert!(seen.status.success() && said(&seen).contains("last_timestamp_seconds{"), "{}", said(&seen));
    runbook.is_done();
}

//! The commands of `docs/runbooks`, each run as it stands there, but for its placeholders: against real registries with the
//! fault planted, a real Prometheus, Pushgateway and Alertmanager. kubectl is real too, and asks a stand-in for the API
//! server (`cluster.rs`). Queries are asked, and rules loaded. What is not run is in `page::NOT_RUN`, with why.

mod cluster;
mod failure;
mod page;
mod probe;
mod storage;
mod used;
mod vanished;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use registry_integrity_probe::demo::Image;

use page::{NOT_RUN, Runbook, commands, folder, said};

use crate::testkit::docker_registry::{DockerRegistry, Options};
use crate::testkit::monitoring::PATIENCE;
use crate::testkit::poll_until;
use crate::testkit::probe::{RunningProbe, probe};

/// A test for each page, and the list of the pages.
macro_rules! every_command_is_run {
    ($($test:ident: $run:path => $alert:ident;)*) => {
        const PAGES: &[&str] = &[$(stringify!($alert)),*];

        $(
            #[tokio::test]
            async fn $test() {
                let Some(runbook) = $run(stringify!($alert)).await else { return };
                assert_eq!(runbook.alert, stringify!($alert));
                runbook.is_done();
            }
        )*
    };
}

every_command_is_run! {
    a_child_without_its_link_and_a_layer_without_data_are_found_and_mended: failure::run => RegistryManifestIntegrityFailure;
    a_probe_that_is_stale_is_looked_into: probe::stale => RegistryIntegrityProbeStale;
    a_catalog_that_cannot_be_read_is_looked_into: probe::catalog => RegistryCatalogInaccessible;
    a_registry_that_lost_most_of_its_images_is_looked_into: vanished::vanished => RegistryImagesVanished;
    an_empty_registry_is_looked_into: vanished::empty => RegistryEmpty;
    an_image_that_cannot_be_judged_is_looked_into: probe::unverified => RegistryImageUnverified;
    a_probe_that_is_slow_is_looked_into: probe::slow => RegistryProbeSlow;
    a_probe_that_is_gone_is_looked_for: probe::down => RegistryProbeDown;
    who_uses_a_broken_image_is_found: used::run => RegistryImageBrokenInUse;
    a_collection_that_would_break_images_is_looked_into: storage::collection => RegistryStorageCollectionWouldBreakImages;
    a_scan_that_does_not_run_is_looked_into: storage::stale => RegistryStorageScanStale;
}

#[test]
fn every_runbook_is_tested_and_omissions_have_reasons() {
    let pages: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".md").to_string())
        .collect();
    assert_eq!(pages, PAGES.iter().map(ToString::to_string).collect());
    let mut inline = BTreeSet::new();
    for page in pages {
        for command in commands(&fs::read_to_string(folder().join(format!("{page}.md"))).unwrap()) {
            let known = ["sh", "promql", "yaml", "inline"];
            assert!(known.contains(&command.language.as_str()), "{page}: {}", command.language);
            inline.extend((command.language == "inline").then_some(command.text));
        }
    }
    for (text, why) in NOT_RUN {
        assert!(inline.contains(text) && !why.is_empty(), "no page has {text}");
    }
}

/// An image for two platforms in a registry, and whole in another one.
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

    /// The image as references write it.
    fn reference(&self) -> String {
        format!("{}/infra-ci:latest", self.registry.address())
    }

    /// `serve`, with further keys for the registry.
    async fn serve(&self, keys: &str) -> RunningProbe {
        let file = self.folder.path().join("probe.yaml");
        fs::write(&file, configuration(&self.registry, keys)).unwrap();
        probe(["serve", "--web.enable-lifecycle", "--config.file", file.to_str().unwrap()]).serve().await
    }

    fn runbook(&self, alert: &'static str, further: &[(&'static str, String)]) -> Option<Runbook> {
        let mut replacements = vec![
            ("IMAGE", self.reference()),
            ("REGISTRY", "private".to_string()),
            ("REPOSITORY", "infra-ci".to_string()),
            ("TAG", "latest".to_string()),
            ("OTHER", self.other.address().to_string()),
            ("/var/lib/registry", self.registry.root().display().to_string()),
            ("HOST", self.registry.address().to_string()),
        ];
        replacements.extend(further.iter().cloned());
        Runbook::open(alert, replacements)
    }
}

fn configuration(registry: &DockerRegistry, keys: &str) -> String {
    format!(
        "registries:\n  - name: private\n    url: {}\n    evidence: {{byte: 0s}}\n    \
         confirm: {{attempts: 1, delay: 10ms}}\n{keys}",
        registry.url()
    )
}

fn address(service: &RunningProbe) -> (&'static str, String) {
    ("PROBE", service.address().to_string())
}

/// Waits for the end of a sweep after which there are failures, or are none.
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

/// A rule file of the project, without the time that a condition must last.
fn rules_without_waiting() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/registry-integrity.rules.yaml");
    let wait = regex::Regex::new(r"(?m)^( +for:) \w+$").unwrap();
    wait.replace_all(&fs::read_to_string(file).unwrap(), "$1 0s").into_owned()
}

//! Several processes share a registry: their parts are disjoint, and together they are what one process alone finds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use serde_json::Value;
use tempfile::TempDir;

use crate::testkit::probe::{Outcome, Probe, probe};

const MOST_SHARDS: u32 = 7;
const REPOSITORIES: usize = 90;

struct Setup {
    registry: Registry,
    folder: TempDir,
}

impl Setup {
    /// A registry in which every ninth repository has an image that is broken.
    async fn new() -> Self {
        let registry = Registry::start().await.unwrap();
        for number in 0..REPOSITORIES {
            let repository = format!("team-{}/service-{number}", number % 5);
            let image = Image::index().named(&repository);
            registry.push(&format!("{repository}:1"), &image);
            registry.push(&format!("{repository}:2"), &Image::manifest().named(&format!("{repository} alone")));
            if number % 9 == 0 {
                registry.remove_manifest(&repository, &image.child("linux/amd64").unwrap().digest);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let confirm = "confirm: {attempts: 1, delay: 1ms}";
        let config = format!("registries: [{{name: private, url: '{}', {confirm}}}]", registry.url());
        fs::write(folder.path().join("config.yaml"), config).unwrap();
        Self { registry, folder }
    }

    fn sweep(&self, further: &[String]) -> Probe {
        let config = format!("--config.file={}", self.folder.path().join("config.yaml").display());
        let fixed = ["sweep".to_string(), "--output=json".to_string(), config];
        probe(fixed.into_iter().chain(further.iter().cloned()))
    }

    /// What one sweep found, and which repositories it asked for.
    async fn part(&self, sweep: Probe) -> Part {
        self.registry.clear_requests();
        let Outcome { code, stdout, stderr } = sweep.run().await;
        let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        let report = report["registries"][0].clone();
        let asked = self.registry.requests().into_iter().filter(|request| request.endpoint == Endpoint::Tags);
        let name = |path: &str| path.strip_prefix("/v2/").unwrap().strip_suffix("/tags/list").unwrap().to_string();
        Part { code, repositories: asked.map(|request| name(&request.path)).collect(), report }
    }

    async fn shard(&self, index: u32, count: u32) -> Part {
        self.part(self.sweep(&[format!("--shard.count={count}"), format!("--shard.index={index}")])).await
    }
}

struct Part {
    code: Option<i32>,
    repositories: BTreeSet<String>,
    report: Value,
}

impl Part {
    /// Its failures, without when they were seen.
    fn failures(&self) -> BTreeSet<String> {
        let failures = self.report["failures"].as_array().unwrap().iter();
        failures
            .map(|failure| {
                let told = ["repository", "digest", "kind", "reason", "images", "path"].map(|key| &failure[key]);
                serde_json::to_string(&told).unwrap()
            })
            .collect()
    }

    /// Everything that is counted.
    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        counts.insert("repositories".to_string(), self.report["repositories"].as_u64().unwrap());
        for group in ["images", "objects"] {
            for (name, count) in self.report[group].as_object().unwrap() {
                counts.insert(format!("{group}: {name}"), count.as_u64().unwrap());
            }
        }
        counts
    }
}

#[tokio::test]
async fn the_parts_are_disjoint_and_together_the_whole() {
    let setup = Setup::new().await;
    let whole = setup.part(setup.sweep(&[])).await;
    assert_eq!(whole.repositories.len(), REPOSITORIES);
    assert_eq!(whole.failures().len(), REPOSITORIES / 9);
    assert_eq!(whole.code, Some(1));

    let mut owners_before: Option<BTreeMap<String, u32>> = None;
    for count in 1..=MOST_SHARDS {
        let mut owners = BTreeMap::new();
        let mut failures = BTreeSet::new();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for index in 0..count {
            let part = setup.shard(index, count).await;
            assert_eq!(part.report["outcome"], "complete", "{index} of {count}");
            assert_eq!(part.code, Some(i32::from(!part.failures().is_empty())), "{index} of {count}");
            for repository in &part.repositories {
                let other = owners.insert(repository.clone(), index);
                assert_eq!(other, None, "{repository} is of {index} too, of {count}");
            }
            for failure in part.failures() {
                assert!(failures.insert(failure.clone()), "told twice: {failure}");
            }
            for (name, number) in part.counts() {
                *counts.entry(name).or_default() += number;
            }
        }
        assert!(owners.keys().eq(&whole.repositories), "of {count} shards");
        assert_eq!(failures, whole.failures(), "of {count} shards");
        assert_eq!(counts, whole.counts(), "of {count} shards");
        if let Some(before) = owners_before {
            moved_fairly(&before, &owners, count);
        }
        owners_before = Some(owners);
    }
}

/// One shard more takes about its part, and nothing moves but to it.
fn moved_fairly(before: &BTreeMap<String, u32>, after: &BTreeMap<String, u32>, count: u32) {
    let moved: Vec<&String> = before.keys().filter(|repository| before[*repository] != after[*repository]).collect();
    assert!(moved.iter().all(|repository| after[*repository] == count - 1), "{count} shards: {moved:?}");
    let fair = REPOSITORIES as f64 / f64::from(count);
    // Names are few here: the unit tests of `shard` hold 70,000 to 5 %.
    assert!((fair * 0.5..=fair * 1.5).contains(&(moved.len() as f64)), "{} of {fair} moved to {count}", moved.len());
}

#[tokio::test]
async fn pods_know_their_part_by_themselves() {
    let setup = Setup::new().await;
    let count = ["--shard.count=3".to_string()];
    for index in 0..3 {
        let told = setup.shard(index, 3).await.repositories;
        let of_a_job = setup.part(setup.sweep(&count).env("JOB_COMPLETION_INDEX", index.to_string())).await;
        assert_eq!(of_a_job.repositories, told);
        let of_a_set =
            setup.part(setup.sweep(&count).env("POD_NAME", format!("registry-integrity-probe-{index}"))).await;
        assert_eq!(of_a_set.repositories, told);
    }
    setup.registry.clear_requests();
    let outcome = setup.sweep(&count).env("POD_NAME", "registry-integrity-probe-3").run().await;
    assert_eq!((outcome.code, setup.registry.requests().len()), (Some(2), 0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("shard 3 of 3 does not exist"), "{}", outcome.stderr);
}

#[tokio::test]
async fn what_shards_serve_adds_up_and_tells_whose_work_it_was() {
    let setup = Setup::new().await;
    let textfile = |index: u32| setup.folder.path().join(format!("{index}.prom"));
    let mut images = 0.0;
    for index in 0..2 {
        let file = textfile(index);
        let arguments =
            ["--shard.count=2".to_string(), format!("--shard.index={index}"), format!("--textfile={}", file.display())];
        setup.part(setup.sweep(&arguments)).await;
        let text = fs::read_to_string(file).unwrap();
        let sample = |series: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{series}: {text}"));
            line.trim().parse::<f64>().unwrap()
        };
        images += sample(r#"registry_integrity_images{registry="private",state="intact"}"#);
        images += sample(r#"registry_integrity_images{registry="private",state="broken"}"#);
        let own =
            format!(r#"registry_integrity_sweeps_total{{registry="private",outcome="complete",shard="{index}"}}"#);
        assert!((sample(&own) - 1.0).abs() < f64::EPSILON);
    }
    assert!((images - 2.0 * REPOSITORIES as f64).abs() < f64::EPSILON, "{images}");
}

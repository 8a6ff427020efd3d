//! Random graphs with random faults, and an oracle that knows which verdicts they must lead to: from the graph that was
//! planned and from what was done to it, without any part of the probe that reads or judges.

mod damage;
mod expect;
mod graph;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use registry_integrity_probe::config::Confirm;
use registry_integrity_probe::demo::Registry;
use registry_integrity_probe::demo::fault::Fault;
use registry_integrity_probe::report::Report;

use damage::{Damage, TagDamage, damage, fits, inflict, inflict_on_tag, tag_damage};
use expect::{Done, Expected, Key, Tag, Truth, expected};
use graph::{Flaw, Graph, NodeId};
use plan::{More, Planned, Shape, WANTED, planned};

use crate::testkit::sweeping::Sweeping;

/// A registry, what lies in it, and what is done to it.
#[derive(Clone, Debug)]
struct Case {
    images: Vec<Planned>,
    /// To objects, which are chosen by their number.
    damages: Vec<(usize, Damage)>,
    tag_damages: Vec<(usize, TagDamage)>,
    wanted: &'static [&'static str],
    /// All bytes of every blob are hashed.
    is_hashed: bool,
}

/// What was compared, in all cases.
#[derive(Debug, Default)]
struct Compared {
    cases: AtomicU64,
    sweeps: AtomicU64,
    objects: AtomicU64,
    images: AtomicU64,
    findings: AtomicU64,
}

fn case() -> impl Strategy<Value = Case> {
    let damages = prop::collection::vec((any::<usize>(), damage()), 0..6);
    let tag_damages = prop::collection::vec((any::<usize>(), tag_damage()), 0..2);
    let wanted = prop_oneof![2 => Just(WANTED[0]), 1 => prop::sample::select(WANTED.to_vec())];
    let images = prop::collection::vec(planned(), 1..8);
    (images, damages, tag_damages, wanted, prop::bool::weighted(0.3)).prop_map(
        |(images, damages, tag_damages, wanted, is_hashed)| Case { images, damages, tag_damages, wanted, is_hashed },
    )
}

/// Images that nothing is done to: whoever is asked about beside them is one among many.
fn neighbours() -> Vec<Planned> {
    let platforms = vec!["linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"];
    let index = Shape::Index { platforms, attestations: false, twice: true, rubbish: false };
    let shapes = std::iter::repeat_n(Shape::Manifest, 12).chain([index]);
    let planned = |shape| Planned {
        repository: usize::MAX,
        shape,
        base: usize::MAX,
        layers: 3,
        is_foreign: false,
        lies: false,
        is_alien: false,
        is_long: false,
        is_terse: false,
        more: More::Nothing,
    };
    shapes.map(planned).collect()
}

/// A registry that holds what was planned.
struct Held {
    registry: Registry,
    graph: Graph,
    tags: Vec<Tag>,
    /// What lies in which repository.
    objects: BTreeSet<(String, NodeId)>,
}

impl Held {
    async fn of(images: &[Planned]) -> Self {
        let (registry, mut graph, mut tags) = (Registry::start().await.unwrap(), Graph::default(), Vec::new());
        for (number, plan) in neighbours().iter().chain(images).enumerate() {
            let repository =
                if plan.repository == usize::MAX { "neighbour".into() } else { format!("r/{}", plan.repository) };
            let root = graph.image(plan, number);
            let mut add = |name: String, target| tags.push(Tag { repository: repository.clone(), name, target });
            add(format!("t{number}"), Some(root));
            match (plan.more, &plan.shape) {
                (More::Nothing, _) => {}
                (More::DanglingTag, _) => add(format!("nowhere-{number}"), None),
                (More::TagOfChild, Shape::Index { .. }) => {
                    add(format!("child-of-{number}"), Some(graph.nodes[root].edges[0].to));
                }
                (More::Tag | More::TagOfChild, _) => add(format!("also-{number}"), Some(root)),
            }
        }
        let mut objects = BTreeSet::new();
        for Tag { repository, target, .. } in &tags {
            let mut open: Vec<NodeId> = target.iter().copied().collect();
            while let Some(id) = open.pop() {
                if objects.insert((repository.clone(), id)) {
                    open.extend(graph.nodes[id].edges.iter().map(|edge| edge.to));
                }
            }
        }
        let held = Self { registry, graph, tags, objects };
        held.push();
        held
    }

    /// Puts everything where it belongs.
    fn push(&self) {
        for (repository, id) in &self.objects {
            let node = &self.graph.nodes[*id];
            let is_held = node.flaw != Some(Flaw::Foreign) && !node.digest.starts_with("blake3:");
            let digest = node.digest.parse().unwrap();
            match (is_held, node.is_manifest()) {
                (false, _) => {}
                (true, true) => self.registry.put_manifest(repository, &digest, node.media_type, node.bytes.clone()),
                (true, false) => self.registry.put_blob(repository, &digest, node.bytes.clone()),
            }
        }
        for Tag { repository, name, target } in &self.tags {
            let image = format!("{repository}:{name}");
            match target {
                Some(target) => self.registry.retag(&image, &self.graph.nodes[*target].digest.parse().unwrap()),
                None => self.registry.add_dangling_tag(&image),
            }
        }
    }

    fn is_tagged(&self, repository: &str, id: NodeId) -> bool {
        self.tags.iter().any(|tag| tag.repository == repository && tag.target == Some(id))
    }

    /// Does what the case wants, each object suffering one thing at most. Gives what was done, and how to lift it.
    fn damage(&self, case: &Case) -> (Done, Vec<Fault>) {
        let (mut done, mut faults, mut touched) = (Done::default(), Vec::new(), BTreeSet::new());
        let objects: Vec<_> = self.objects.iter().filter(|(repository, _)| repository != "neighbour").collect();
        for (number, damage) in &case.damages {
            let (repository, id) = objects[number % objects.len()];
            let node = &self.graph.nodes[*id];
            let is_fit = node.flaw.is_none() && fits(*damage, node, self.is_tagged(repository, *id));
            if !is_fit || !touched.insert((repository, id)) {
                continue;
            }
            let (truth, fault) = inflict(&self.registry, (repository, node), *damage, case.is_hashed);
            faults.extend(fault);
            done.nodes.extend(truth.map(|truth| ((repository.clone(), *id), truth)));
            if *damage == Damage::Removed {
                done.gone.insert((repository.clone(), *id));
            }
        }
        let tags: Vec<_> = self.tags.iter().filter(|tag| tag.repository != "neighbour").collect();
        for (number, damage) in &case.tag_damages {
            let tag = tags[number % tags.len()];
            let (truth, fault) = inflict_on_tag(&self.registry, &tag.repository, &tag.name, *damage);
            faults.push(fault);
            done.tags.extend(truth.map(|truth| ((tag.repository.clone(), tag.name.clone()), truth)));
        }
        (done, faults)
    }
}

fn found(report: &Report) -> BTreeMap<Key, (Truth, BTreeSet<String>)> {
    let images = |images: &[registry_integrity_probe::oci::Image]| images.iter().map(ToString::to_string).collect();
    let failures = report.failures.iter().map(|failure| {
        let reference = match &failure.digest {
            Some(digest) => digest.to_string(),
            None => failure.images[0].reference.to_string(),
        };
        ((failure.repository.to_string(), reference), (Truth::Broken(failure.reason), images(&failure.images)))
    });
    let unverified = report.unverified.iter().map(|entry| {
        let key = (entry.repository.clone().unwrap_or_default(), entry.reference.clone());
        (key, (Truth::Unknown(entry.cause), images(&entry.images)))
    });
    failures.chain(unverified).collect()
}

fn told(report: &Report) -> Expected {
    Expected {
        findings: found(report),
        objects: [report.objects.manifest, report.objects.child, report.objects.config, report.objects.layer],
        broken: report.images.broken,
        unverified: report.images.unverified,
        intact: report.images.intact,
    }
}

async fn compare(case: Case, compared: &Compared) -> Result<(), TestCaseError> {
    let held = Held::of(&case.images).await;
    let (done, faults) = held.damage(&case);
    let wanted = case.wanted.iter().map(|platform| platform.parse().unwrap()).collect();
    let mut sweeping = Sweeping::of(&held.registry).with(|target| {
        target.platforms = wanted;
        target.confirm = Confirm { attempts: 3, delay: Duration::from_millis(1) };
        target.request_timeout = damage::REQUEST_TIMEOUT;
        target.limits.retries = 1;
        target.evidence.content = case.is_hashed.then_some(Duration::ZERO);
    });
    let check = |report: &Report, done: &Done| {
        let expected = expected(&held.graph, &held.tags, done, case.wanted);
        compared.sweeps.fetch_add(1, Ordering::Relaxed);
        compared.objects.fetch_add(expected.objects.iter().sum(), Ordering::Relaxed);
        compared.images.fetch_add(held.tags.len() as u64, Ordering::Relaxed);
        compared.findings.fetch_add(expected.findings.len() as u64, Ordering::Relaxed);
        let told = told(report);
        prop_assert_eq!(told, expected, "{:#?}", report);
        Ok(())
    };
    check(&sweeping.sweep().await, &done)?;
    // Once everything is mended, only what is wrong by itself is left of what was known.
    faults.iter().for_each(Fault::lift);
    held.push();
    check(&sweeping.sweep().await, &Done::default())?;
    compared.cases.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Cases mostly wait, so that several run at once.
const AT_ONCE: u32 = 4;

#[expect(clippy::print_stderr, reason = "the figures of the run are worth reading")]
#[test]
fn random_faults_get_the_verdicts_of_the_oracle() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16u32);
    let compared = Compared::default();
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cases = cases.div_ceil(AT_ONCE);
        let config = Config { cases, max_shrink_iters: 30, failure_persistence: None, ..Config::default() };
        TestRunner::new(config).run(&case(), |case| {
            runtime.block_on(async {
                tokio::time::timeout(Duration::from_secs(60), compare(case, &compared))
                    .await
                    .unwrap_or_else(|_| Err(TestCaseError::fail("the sweeps did not end within a minute")))
            })
        })
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(run)).collect();
        let failed: Vec<_> = runs.into_iter().filter_map(|run| run.join().unwrap().err()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    });
    eprintln!("{compared:?}, no difference");
}

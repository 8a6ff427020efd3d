//! What keeping the state costs a sweep: the same sweep of the same registry with and without it, in pairs.
//!
//! `cargo bench --bench state -- [OBJECTS [PAIRS]]`; the defaults are 50,000 objects and 9 pairs. `STATE_BENCH_DIR` says
//! where to put the state: a disk, if its fsync is to count. The registry runs in this process, so that its work is in
//! both times, as a registry on the same machine would be.

#![allow(clippy::print_stdout, reason = "a benchmark's report")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use registry_integrity_probe::check::manifest_cache::ManifestCache;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::Target;
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::registry::HttpRegistry;
use registry_integrity_probe::report::Outcome;
use registry_integrity_probe::state::State;
use registry_integrity_probe::state::history::Retention;
use registry_integrity_probe::state::store::{FILE, Limits, Store};

/// Of an image: itself, its config, two layers.
const OBJECTS_AN_IMAGE: usize = 4;
const TAGS_A_REPOSITORY: usize = 100;
const LIMITS: Limits = Limits { age: Duration::from_secs(90 * 24 * 3600), bytes: 1 << 30 };

/// The first sweep of a registry, which proves every blob, and the one after it, which proves none.
type Times = [Duration; 2];

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (objects, pairs) = (*arguments.first().unwrap_or(&50_000), *arguments.get(1).unwrap_or(&9));
    let place = std::env::var_os("STATE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let registry = Registry::start().await.expect("a loopback address");
    for number in 0..objects / OBJECTS_AN_IMAGE {
        let name = format!("team/app-{}:{number}", number / TAGS_A_REPOSITORY);
        registry.push(&name, &Image::manifest().named(&name));
    }
    let target = Target::with_defaults(registry.url().parse().expect("a URL"));
    let mut ratios = [const { Vec::new() }; 2];
    let mut without = [const { Vec::new() }; 2];
    // The first pair warms everything.
    for pair in 0..=pairs {
        let folder = tempfile::tempdir_in(&place).expect("a folder for the state");
        // What comes first may be slower, or faster.
        let (kept, forgotten) = if pair % 2 == 0 {
            let kept = sweeps(&registry, &target, Some(folder.path()), objects).await;
            (kept, sweeps(&registry, &target, None, objects).await)
        } else {
            let forgotten = sweeps(&registry, &target, None, objects).await;
            (sweeps(&registry, &target, Some(folder.path()), objects).await, forgotten)
        };
        if pair > 0 {
            for sweep in 0..2 {
                ratios[sweep].push(kept[sweep].as_secs_f64() / forgotten[sweep].as_secs_f64());
                without[sweep].push(forgotten[sweep].as_secs_f64());
            }
        }
        if pair == pairs {
            let size = std::fs::metadata(folder.path().join(FILE)).map_or(0, |file| file.len());
            println!(
                "{} processors, the state is of {size} bytes",
                std::thread::available_parallelism().map_or(1, usize::from)
            );
        }
    }
    for (name, (ratios, without)) in ["first", "next"].iter().zip(ratios.iter_mut().zip(&mut without)) {
        let (ratio, seconds) = (median(ratios), median(without));
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        println!(
            "{objects} objects, {name} sweep: {seconds:.2} s without a state; with one {ratio:.3} of that \
             (median of {pairs} pairs, {least:.3} to {most:.3})"
        );
    }
}

/// Two sweeps, until what they found is shown.
async fn sweeps(registry: &Registry, target: &Target, folder: Option<&Path>, objects: usize) -> Times {
    let store = folder.map(|folder| Store::open(folder, LIMITS).expect("a state"));
    let state = State::with_store(store, Retention::default(), None, [target]).expect("a state");
    let known = state.registry(&target.name).expect("the registry");
    let mut times = Times::default();
    for time in &mut times {
        registry.clear_requests();
        let began = Instant::now();
        let client = Arc::new(HttpRegistry::new(target, Arc::clone(&known.traffic)).expect("a client"));
        let before = known.known();
        let job = Job {
            target,
            evidence_schedule: known.evidence_schedule(),
            manifests: Arc::new(ManifestCache::none()),
            traffic: Arc::clone(&known.traffic),
            blob_hasher: None,
            known: before.failures(),
            catalog: &Default::default(),
            contradictions: Arc::default(),
            progress: Arc::default(),
        };
        let (report, _) = known.save_proofs_during(sweep(client, job)).await;
        assert_eq!((report.outcome, report.objects.total() as usize), (Outcome::Complete, objects));
        known.finish_sweep_and_save(report, SystemTime::now()).await;
        *time = began.elapsed();
    }
    assert_ne!(state.is_saved(), Some(false), "nothing was kept");
    state.close().await;
    times
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

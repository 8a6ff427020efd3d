//! What clients of page and API take from a sweep, and how long they wait: sweeps with and without load, alternating.
//!
//! `cargo bench --bench web -- [OBJECTS [FAILURES [ROUNDS]]]`; the default is 50,000 objects, 10 of them broken, and 5 pairs
//! of sweeps. The registry, the service and the clients share one process, and with it the processors; sweeps have their
//! thread, as in `serve`.

#![allow(clippy::print_stdout, reason = "a benchmark's report")]

mod load;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use registry_integrity_probe::check::progress::Progress;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::{ByteEvidence, Confirm, Target};
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::registry::HttpRegistry;
use registry_integrity_probe::service::sweep_thread::SweepThread;
use registry_integrity_probe::state::State;
use registry_integrity_probe::web::{Limits, Web, serve};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::load::{Load, Waits};

/// Images of a repository; each is a manifest, a config and three layers.
const IMAGES: usize = 20;
const OBJECTS_OF_AN_IMAGE: usize = 5;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [objects, failures, rounds] = [50_000, 10, 5]
        .iter()
        .enumerate()
        .map(|(n, default)| numbers.get(n).copied().unwrap_or(*default))
        .collect::<Vec<_>>()[..]
    else {
        return;
    };
    println!(
        "{} processors, {objects} objects, {failures} failures, {} requests a second",
        std::thread::available_parallelism().map_or(1, usize::from),
        load::RATE
    );
    // The registry has a runtime of its own, as it is a process of its own elsewhere.
    let elsewhere = Runtime::new().expect("a runtime");
    let registry = elsewhere.block_on(Registry::start()).expect("a port");
    fill(&registry, objects, failures);
    let service = Runtime::new().expect("a runtime");
    let watched = Watched::of(&service, &registry);

    // The first sweep fills what the answers are made of.
    watched.sweep(&service);
    let (mut ratios, mut quiet, mut waits) = (Vec::new(), Vec::new(), Waits::default());
    for round in 0..rounds {
        // In turns, so that a machine that becomes slower on the way favours neither.
        let mut seconds = [0.0; 2];
        for loaded in if round % 2 == 0 { [false, true] } else { [true, false] } {
            let load = loaded.then(|| Load::begin(watched.address));
            seconds[usize::from(loaded)] = watched.sweep(&service).as_secs_f64();
            if let Some(load) = load {
                waits.add(load.end());
            }
        }
        let ratio = seconds[1] / seconds[0];
        println!("sweep {:.2} s alone, {:.2} s under load: {ratio:.3}", seconds[0], seconds[1]);
        ratios.push(ratio);
        quiet.push(seconds[0]);
    }
    println!(
        "median of the ratios {:.3} (from {:.3} to {:.3}), of the sweeps alone {:.2} s",
        median(&mut ratios),
        ratios.first().copied().unwrap_or_default(),
        ratios.last().copied().unwrap_or_default(),
        median(&mut quiet)
    );
    println!("{waits}");
}

/// Repositories of 20 images, so many objects in all; some layers are missing.
fn fill(registry: &Registry, objects: usize, failures: usize) {
    for n in 0..objects / OBJECTS_OF_AN_IMAGE {
        let (repository, tag) = (format!("team{}/app{}", n / IMAGES % 10, n / IMAGES), n % IMAGES);
        let image = Image::manifest().named(&format!("{repository} {tag}")).with_layers(3).with_layer_size(64);
        registry.push(&format!("{repository}:v{tag}"), &image);
        if n < failures
            && let Some(layer) = image.layers().next()
        {
            registry.remove_blob(&repository, &layer.digest);
        }
    }
}

/// A registry that is swept, and the service that tells of it.
struct Watched {
    state: Arc<State>,
    target: Target,
    client: Arc<HttpRegistry>,
    address: SocketAddr,
    thread: SweepThread,
}

impl Watched {
    fn of(runtime: &Runtime, registry: &Registry) -> Self {
        let mut target = Target::with_defaults(registry.url().parse().expect("a URL"));
        target.name = "private".to_string();
        target.confirm = Confirm { attempts: 1, delay: Duration::from_millis(1) };
        // Every sweep asks the same.
        target.evidence.byte = ByteEvidence::Within(Duration::ZERO);
        let state = Arc::new(State::new([&target]));
        let traffic = Arc::clone(&state.registries()[0].traffic);
        let client = Arc::new(HttpRegistry::new(&target, traffic).expect("a client"));
        let app = Web { state: Arc::clone(&state), lifecycle: None, external_url: None }.into_router();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("a bound listener has an address");
        runtime.spawn(serve(vec![listener], app, Limits::default(), CancellationToken::new()));
        Self { state, target, client, address, thread: SweepThread::start().expect("a thread") }
    }

    fn sweep(&self, runtime: &Runtime) -> Duration {
        let registry = Arc::clone(&self.state.registries()[0]);
        let (target, client) = (self.target.clone(), Arc::clone(&self.client));
        let began = Instant::now();
        let task = self.thread.handle().spawn(async move {
            let (known, progress) = (registry.known(), Arc::new(Progress::default()));
            registry.begin_sweep(SystemTime::now(), Arc::clone(&progress));
            let job = Job {
                target: &target,
                evidence_schedule: registry.evidence_schedule(),
                manifests: Arc::clone(&registry.manifests),
                traffic: Arc::clone(&registry.traffic),
                blob_hasher: None,
                known: known.failures(),
                catalog: &Default::default(),
                contradictions: Arc::default(),
                progress,
            };
            let (report, _) = sweep(client, job).await;
            registry.finish_sweep(report, SystemTime::now());
        });
        runtime.block_on(task).expect("a sweep ends");
        began.elapsed()
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

//! `sweep`: checks every registry once.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;

use super::{CommandError, Exit, configuration, deliver, exit, sharding, storage};
use crate::check::evidence::EvidenceSchedule;
use crate::check::manifest_cache::ManifestCache;
use crate::check::progress::Progress;
use crate::check::sweep::{Job, given_up, sweep};
use crate::cli::arguments::SweepArgs;
use crate::config::Config;
use crate::registry::HttpRegistry;
use crate::render::metrics;
use crate::render::push::{AddressError, Gateway};
use crate::report::Report;
use crate::service::sweep_thread::SweepThread;
use crate::state::State;

/// Sweeps all registries and delivers the reports to every requested destination.
pub async fn run(args: SweepArgs) -> Result<Exit, CommandError> {
    let shard = sharding::shard(&args.shard)?;
    let config = configuration::load(&args.registries, shard)?;
    let mut gateway = args.push_gateway.as_ref().map(gateway).transpose()?;
    if let Some(gateway) = &mut gateway {
        gateway.shard = shard.map(|shard| shard.index().to_string());
    }
    let state = storage::state(&args.storage, &config, shard)?;
    let reports = sweep_all(&config, &state).await?;
    state.close().await;
    let exit = Exit::by_result(&reports);
    let deliveries = [
        match args.storage.storage_path {
            Some(path) if state.is_saved() == Some(false) => Err(CommandError::NotKept { path }),
            _ => Ok(()),
        },
        deliver::reports(&args.output, &reports),
        args.textfile.as_deref().map_or(Ok(()), |path| deliver::textfile(path, &state)),
        match gateway {
            Some(gateway) => gateway.push(&args.push_job, &metrics::render_groups(&state)).await.map_err(Into::into),
            None => Ok(()),
        },
    ];
    let undelivered = deliveries.into_iter().filter_map(Result::err).inspect(exit::print).count();
    Ok(if undelivered > 0 && exit == Exit::Success { Exit::Unverified } else { exit })
}

fn gateway(url: &SecretString) -> Result<Gateway, CommandError> {
    let flag = |fault| CommandError::Flag { flag: "--push.gateway", fault };
    let address = url.expose_secret().parse().map_err(|error: AddressError| flag(error.to_string()))?;
    Ok(Gateway::new(address)?)
}

/// Sweeps all registries concurrently. The reports are in the order of the configuration.
async fn sweep_all(config: &Config, state: &State) -> Result<Vec<Report>, CommandError> {
    let bars = MultiProgress::new();
    let thread = SweepThread::start().map_err(CommandError::Runtime)?;
    let mut sweeps = JoinSet::new();
    for (target, registry) in config.registries.iter().cloned().zip(state.registries()) {
        let client = Arc::new(HttpRegistry::new(&target, Arc::clone(&registry.traffic))?);
        let progress = Arc::new(Progress::default());
        let bar = io::stderr().is_terminal().then(|| show(&bars, &target.name, Arc::clone(&progress)));
        let sweeping = async move {
            // Without stored state, there is no later sweep to spread the evidence over.
            let proofs = if registry.has_store() {
                registry.evidence_schedule()
            } else {
                Arc::new(EvidenceSchedule::one_shot(&target.evidence))
            };
            let traffic = Arc::clone(&registry.traffic);
            let manifests = Arc::new(ManifestCache::none());
            let known = registry.known();
            let job = Job {
                target: &target,
                evidence_schedule: proofs,
                manifests,
                blob_hasher: None,
                traffic,
                known: known.failures(),
                catalog: &known.catalog,
                contradictions: Arc::clone(&registry.contradictions),
                progress,
            };
            let (report, _) = registry.save_proofs_during(sweep(client, job)).await;
            drop(bar);
            registry.finish_sweep_and_save(report, SystemTime::now()).await;
            target.name
        };
        sweeps.spawn_on(sweeping, thread.handle());
    }
    let mut ended = BTreeSet::new();
    while let Some(sweep) = sweeps.join_next().await {
        match sweep {
            Ok(name) => drop(ended.insert(name)),
            Err(error) => tracing::error!(%error, "a sweep panicked; this is a bug in the probe"),
        }
    }
    let mut reports = Vec::new();
    for (target, registry) in config.registries.iter().zip(state.registries()) {
        if !ended.contains(&target.name) {
            let (known, now) = (registry.known(), SystemTime::now());
            let why = "the probe itself failed; its log has the details";
            let report = given_up(target, known.failures(), &known.catalog, now, why);
            registry.finish_sweep_and_save(report, now).await;
        }
        reports.extend(registry.known().report.map(Arc::unwrap_or_clone));
    }
    Ok(reports)
}

/// Shows a progress bar on stderr until the returned guard is dropped.
fn show(bars: &MultiProgress, name: &str, progress: Arc<Progress>) -> Bar {
    let bar = bars.add(ProgressBar::new(0));
    let style = "{prefix:.bold} {wide_bar} {msg}, {elapsed}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name.to_string());
    let shown = bar.clone();
    let task = tokio::spawn(async move {
        loop {
            let (repositories, walked) = (progress.repositories(), progress.walked());
            // A bar of length 0 looks full.
            shown.set_length(repositories.max(1));
            shown.set_position(walked);
            shown.set_message(match repositories {
                0 => "reading the catalog".to_string(),
                _ => format!("{walked} of {repositories} repositories, {} objects", progress.objects()),
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Bar { bar, task }
}

struct Bar {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

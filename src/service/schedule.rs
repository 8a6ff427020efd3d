//! When each registry is swept: once per interval, one sweep at a time, independently of the other registries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::check::evidence::EvidenceSchedule;
use crate::check::progress::Progress;
use crate::check::sweep::{Job, given_up, sweep};
use crate::check::walk::BlobHasher;
use crate::config::{Config, Spread, Target};
use crate::registry::{Background, ClientError, HttpRegistry};
use crate::report::{Changes, Outcome, Report};
use crate::state::{RegistryState, State, log_changes};

/// Random variation of the interval, so that registries and replicas that started together drift apart.
const JITTER: f64 = 0.05;
/// Largest share of an interval over which a sweep is spread. Jitter may shorten the interval by a twentieth.
const MAX_SPREAD: f64 = 0.9;

/// Runs one sweep of a registry.
pub type SweepOnce = for<'a> fn(Arc<HttpRegistry>, Job<'a>) -> BoxFuture<'a, (Report, Changes)>;

/// Sweeps every configured registry. Dropping it cancels the current sweeps.
pub struct Schedule {
    state: Arc<State>,
    sweep: SweepOnce,
    /// Held during a reload, so that reloads do not overlap.
    reload: Mutex<()>,
    loops: Mutex<BTreeMap<String, Loop>>,
    /// Where the sweeps run.
    runtime: Handle,
}

/// Why a sweep did not start on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// No registry has that name.
    UnknownRegistry,
    /// A sweep of it is running.
    AlreadySweeping,
}

/// The tasks of one registry. Dropping it cancels them.
struct Loop {
    registry: Arc<RegistryState>,
    setup: watch::Sender<Arc<Setup>>,
    now: Arc<Notify>,
    sweeping: JoinHandle<()>,
    hashing: JoinHandle<()>,
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.sweeping.abort();
        self.hashing.abort();
    }
}

/// A registry's settings, and its client.
struct Setup {
    target: Target,
    client: Arc<HttpRegistry>,
    evidence_schedule: Arc<EvidenceSchedule>,
    sweep: SweepOnce,
}

impl Schedule {
    /// Starts sweeping the configured registries on a runtime.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a registry's client cannot be built.
    pub fn start(state: Arc<State>, config: &Config, runtime: &Handle) -> Result<Self, ClientError> {
        Self::start_with(|client, job| sweep(client, job).boxed(), state, config, runtime)
    }

    /// Like [`Self::start`], with a replacement for [`sweep`], such as one that wraps the client.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a registry's client cannot be built.
    pub fn start_with(
        sweep: SweepOnce,
        state: Arc<State>,
        config: &Config,
        runtime: &Handle,
    ) -> Result<Self, ClientError> {
        let schedule =
            Self { state, sweep, reload: Mutex::default(), loops: Mutex::default(), runtime: runtime.clone() };
        schedule.apply(config)?;
        Ok(schedule)
    }

    /// Applies a changed configuration, completely or not at all. A running sweep finishes with the old settings.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a registry's client cannot be built; then nothing has changed.
    pub fn apply(&self, config: &Config) -> Result<(), ClientError> {
        let _reload = self.reload.lock();
        let prepared = self.state.prepare(&config.registries);
        let build = |(target, registry): (&Target, &Arc<RegistryState>)| {
            let client = Arc::new(HttpRegistry::new(target, Arc::clone(&registry.traffic))?);
            Ok((target.clone(), Arc::clone(registry), client))
        };
        let built: Vec<_> = prepared.registries().map(build).collect::<Result<_, ClientError>>()?;
        // Nothing fails from here on.
        self.state.install(prepared);
        let mut loops = self.loops.lock();
        let mut before = std::mem::take(&mut *loops);
        for (target, registry, client) in built {
            let running = before.remove(&registry.name).filter(|running| Arc::ptr_eq(&running.registry, &registry));
            let name = target.name.clone();
            let setup =
                Arc::new(Setup { target, client, evidence_schedule: registry.evidence_schedule(), sweep: self.sweep });
            let entry = match running {
                Some(running) => {
                    running.setup.send_replace(setup);
                    running
                }
                None => Loop::start(registry, setup, &self.runtime),
            };
            loops.insert(name, entry);
        }
        Ok(())
    }

    /// Starts a sweep of a registry immediately.
    ///
    /// # Errors
    ///
    /// [`NotStarted`] if there is no such registry, or a sweep of it is running.
    pub fn sweep_now(&self, registry: &str) -> Result<(), NotStarted> {
        let loops = self.loops.lock();
        let found = loops.get(registry).ok_or(NotStarted::UnknownRegistry)?;
        if found.registry.known().sweeping.is_some() {
            return Err(NotStarted::AlreadySweeping);
        }
        found.now.notify_one();
        Ok(())
    }

    /// Cancels all sweeps.
    pub fn end(&self) {
        self.loops.lock().clear();
    }
}

impl Loop {
    fn start(registry: Arc<RegistryState>, setup: Arc<Setup>, runtime: &Handle) -> Self {
        let (setup, receiver) = watch::channel(setup);
        let now = Arc::new(Notify::new());
        let hasher = Arc::<BlobHasher>::default();
        hasher.restore(&registry.take_background(), &registry.evidence_schedule());
        let hashing = tokio::spawn(restart_after_panic(receiver.clone(), {
            let (registry, hasher) = (Arc::clone(&registry), Arc::clone(&hasher));
            move |setup| hash_forever(Arc::clone(&registry), Arc::clone(&hasher), setup)
        }));
        let sweeping = runtime.spawn(restart_after_panic(receiver, {
            let (registry, now) = (Arc::clone(&registry), Arc::clone(&now));
            move |setup| sweep_forever(Arc::clone(&registry), Arc::clone(&hasher), setup, Arc::clone(&now))
        }));
        Self { registry, setup, now, sweeping, hashing }
    }
}

type Setups = watch::Receiver<Arc<Setup>>;

/// Restarts a task that panicked, an interval later. Without it, the registry would keep its last result forever.
async fn restart_after_panic<F: Future<Output = ()> + Send + 'static>(setup: Setups, start: impl Fn(Setups) -> F) {
    loop {
        // Dropping the set cancels its task.
        let mut task = JoinSet::new();
        task.spawn(start(setup.clone()));
        let Some(Err(error)) = task.join_next().await else { return };
        let (registry, interval) = {
            let setup = setup.borrow();
            (setup.target.name.clone(), setup.target.interval)
        };
        tracing::error!(registry, %error, "the schedule panicked; restarting it (this is a bug in the probe)");
        sleep(interval).await;
    }
}

async fn sweep_forever(registry: Arc<RegistryState>, hasher: Arc<BlobHasher>, mut setup: Setups, now: Arc<Notify>) {
    let mut pace = Pace::default();
    // The first sweep after a restart is spread like any other.
    if let Some(report) = registry.known().report {
        pace.learn(&report);
    }
    let mut outcome = None;
    let mut is_requested = false;
    loop {
        let current = Arc::clone(&setup.borrow_and_update());
        let started = Instant::now();
        let report = sweep_once(&registry, &hasher, &current, &mut pace, is_requested).await;
        log_outcome(&report, outcome.replace(report.outcome));
        if report.empty && registry.known().empty != Some(true) {
            tracing::warn!(
                registry = report.registry,
                "no image was checked: the registry is empty or nothing matches"
            );
        }
        registry.finish_sweep_and_save(report, SystemTime::now()).await;

        let jitter = 1.0 - JITTER + 2.0 * JITTER * fastrand::f64();
        loop {
            let interval = setup.borrow().target.interval;
            tokio::select! {
                () = sleep_until(started + interval.mul_f64(jitter)) => {
                    is_requested = false;
                    break;
                }
                () = now.notified() => {
                    is_requested = true;
                    break;
                }
                changed = setup.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Hashes the blobs that sweeps queue, one at a time, during and between sweeps.
async fn hash_forever(registry: Arc<RegistryState>, hasher: Arc<BlobHasher>, setup: Setups) {
    loop {
        let due = hasher.next().await;
        let current = Arc::clone(&setup.borrow());
        if let Some(period) = current.target.evidence.content.filter(|period| !period.is_zero()) {
            let mut task = JoinSet::new();
            task.spawn({
                let (hasher, due) = (Arc::clone(&hasher), due.clone());
                async move {
                    let client = Background(Arc::clone(&current.client));
                    hasher.hash(&due, &client, current.target.confirm, &current.evidence_schedule, period).await
                }
            });
            match task.join_next().await {
                Some(Ok(changes)) => registry.save_background(changes).await,
                Some(Err(error)) => {
                    tracing::error!(registry = registry.name, %error, "hashing a blob panicked; this is a bug in the probe");
                }
                None => {}
            }
        }
        hasher.done(&due);
    }
}

/// Runs one sweep in its own task, so that a panic is a failed sweep and does not end the loop.
async fn sweep_once(
    registry: &Arc<RegistryState>,
    hasher: &Arc<BlobHasher>,
    setup: &Arc<Setup>,
    pace: &mut Pace,
    is_requested: bool,
) -> Report {
    let (started_at, started) = (SystemTime::now(), Instant::now());
    let progress = Arc::new(Progress::default());
    registry.begin_sweep(started_at, Arc::clone(&progress));
    let mut task = spawn_sweep(registry, hasher, setup, progress);
    let paced_for = pace.begin(setup, is_requested);
    let ended = async {
        tokio::select! {
            ended = task.join_next() => ended,
            () = sleep(paced_for) => {
                // The registry grew: the rest runs at the configured limits.
                setup.client.set_rate(setup.target.rate_limit);
                task.join_next().await
            }
        }
    };
    let ended = registry.save_proofs_during(ended).await;
    let give_up = |why| {
        let known = registry.known();
        given_up(&setup.target, known.failures(), &known.catalog, started_at, why)
    };
    match ended {
        Some(Ok((report, changes))) => {
            log_changes(&registry.name, &changes);
            pace.learn(&report);
            if report.outcome == Outcome::Complete && !report.empty {
                registry.save_background(hasher.evict_unused(started)).await;
            }
            report
        }
        Some(Err(error)) => {
            tracing::error!(registry = registry.name, %error, "a sweep panicked; this is a bug in the probe");
            give_up("the probe itself failed; its log has the details")
        }
        None => give_up("the sweep did not start"),
    }
}

fn spawn_sweep(
    registry: &Arc<RegistryState>,
    hasher: &Arc<BlobHasher>,
    setup: &Arc<Setup>,
    progress: Arc<Progress>,
) -> JoinSet<(Report, Changes)> {
    let (registry, hasher, setup) = (Arc::clone(registry), Arc::clone(hasher), Arc::clone(setup));
    let mut task = JoinSet::new();
    task.spawn(async move {
        let known = registry.known();
        let job = Job {
            target: &setup.target,
            evidence_schedule: Arc::clone(&setup.evidence_schedule),
            manifests: Arc::clone(&registry.manifests),
            blob_hasher: Some(hasher),
            traffic: Arc::clone(&registry.traffic),
            known: known.failures(),
            catalog: &known.catalog,
            contradictions: Arc::clone(&registry.contradictions),
            progress,
        };
        (setup.sweep)(Arc::clone(&setup.client), job).await
    });
    task
}

/// Spreads a sweep over time, based on the requests of the last one.
#[derive(Default)]
struct Pace {
    requests: Option<u64>,
}

impl Pace {
    /// Sets the client's rate for a sweep, and returns how long it applies: longer than the sweep should take, so that a
    /// registry that grew is not hit by a burst, but short enough for the next sweep to start on time. A requested sweep is
    /// not spread.
    fn begin(&self, setup: &Setup, is_requested: bool) -> Duration {
        let spread = match setup.target.spread {
            _ if is_requested => Duration::ZERO,
            Spread::Auto => setup.target.interval / 3,
            Spread::Over(spread) => spread,
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = self.requests.filter(|_| !spread.is_zero()).map(|requests| requests as f64 / spread.as_secs_f64());
        setup.client.set_rate(rate.into_iter().chain(setup.target.rate_limit).reduce(f64::min));
        spread.max((spread * 2).min(setup.target.interval.mul_f64(MAX_SPREAD)))
    }

    fn learn(&mut self, report: &Report) {
        if report.catalog_accessible {
            self.requests = Some(report.requests.max(1));
        }
    }
}

/// Logs the outcome when it differs from the last sweep's.
fn log_outcome(report: &Report, before: Option<Outcome>) {
    if before == Some(report.outcome) || (before.is_none() && report.outcome == Outcome::Complete) {
        tracing::debug!(
            registry = report.registry,
            outcome = report.outcome.as_str(),
            requests = report.requests,
            "sweep finished"
        );
        return;
    }
    let first = report.unverified.first();
    match report.outcome {
        Outcome::Complete => tracing::info!(registry = report.registry, "sweep complete again"),
        Outcome::Partial | Outcome::Failed => tracing::warn!(
            registry = report.registry,
            outcome = report.outcome.as_str(),
            unverified = report.unverified.len(),
            repository = first.and_then(|entry| entry.repository.as_deref()),
            cause = first.map(|entry| entry.cause.as_str()),
            detail = first.map(|entry| entry.detail.as_str()),
            "sweep incomplete"
        ),
    }
}

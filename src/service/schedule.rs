//! When each registry is swept: every interval, never two sweeps of one at once, and each registry for itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
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

/// The starts of two sweeps lie the interval apart, give or take this share of it, so that registries which were
/// configured together, and replicas which were started together, drift apart.
const JITTER: f64 = 0.05;
/// The share of an interval within which a sweep is paced: jitter may shorten the interval by a twentieth.
const PACED_AT_MOST: f64 = 0.9;

/// How a registry is swept once.
pub type SweepOnce = for<'a> fn(Arc<HttpRegistry>, Job<'a>) -> BoxFuture<'a, (Report, Changes)>;

/// The sweeps of every configured registry. Dropping it ends them, wherever they are.
pub struct Schedule {
    state: Arc<State>,
    sweep: SweepOnce,
    loops: Mutex<BTreeMap<String, Loop>>,
    /// Where the sweeps run.
    runtime: Handle,
}

/// Why a sweep was not begun on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// No registry has that name.
    UnknownRegistry,
    /// One is running.
    AlreadySweeping,
}

/// The sweeps of one registry.
struct Loop {
    registry: Arc<RegistryState>,
    setup: watch::Sender<Arc<Setup>>,
    now: Arc<Notify>,
    task: JoinHandle<()>,
    hashing: JoinHandle<()>,
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.task.abort();
        self.hashing.abort();
    }
}

/// A registry's settings and what was made of them.
struct Setup {
    target: Target,
    client: Arc<HttpRegistry>,
    proofs: Arc<EvidenceSchedule>,
    sweep: SweepOnce,
}

impl Schedule {
    /// Begins to sweep what the configuration names, on that runtime.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a registry's client cannot be set up.
    pub fn start(state: Arc<State>, config: &Config, runtime: &Handle) -> Result<Self, ClientError> {
        Self::sweeping_by(|client, job| sweep(client, job).boxed(), state, config, runtime)
    }

    /// The same with another way to sweep than [`sweep`], such as one that wraps the client.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a registry's client cannot be set up.
    pub fn sweeping_by(
        sweep: SweepOnce,
        state: Arc<State>,
        config: &Config,
        runtime: &Handle,
    ) -> Result<Self, ClientError> {
        let schedule = Self { state, sweep, loops: Mutex::default(), runtime: runtime.clone() };
        schedule.apply(config)?;
        Ok(schedule)
    }

    /// Takes up a changed configuration. A sweep that runs ends as it began; what changed holds from the next one on.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a registry's client cannot be set up; then nothing has changed.
    pub fn apply(&self, config: &Config) -> Result<(), ClientError> {
        for target in &config.registries {
            HttpRegistry::new(target, Arc::default())?;
        }
        self.state.configure(&config.registries);
        let mut loops = self.loops();
        let mut before = std::mem::take(&mut *loops);
        for registry in self.state.registries() {
            let Some(target) = config.registries.iter().find(|target| target.name == registry.name) else { continue };
            let running = before.remove(&registry.name).filter(|running| Arc::ptr_eq(&running.registry, &registry));
            let client = Arc::new(HttpRegistry::new(target, Arc::clone(&registry.traffic))?);
            let proofs = registry.proofs();
            let setup = Arc::new(Setup { target: target.clone(), client, proofs, sweep: self.sweep });
            let entry = match running {
                Some(running) => {
                    running.setup.send_replace(setup);
                    running
                }
                None => Loop::start(registry, setup, &self.runtime),
            };
            loops.insert(target.name.clone(), entry);
        }
        Ok(())
    }

    /// Begins a sweep of a registry now instead of at its time.
    ///
    /// # Errors
    ///
    /// [`NotBegun`] if there is no such registry, or it is being swept.
    pub fn sweep_now(&self, registry: &str) -> Result<(), NotBegun> {
        let loops = self.loops();
        let found = loops.get(registry).ok_or(NotBegun::UnknownRegistry)?;
        if found.registry.known().sweeping.is_some() {
            return Err(NotBegun::AlreadySweeping);
        }
        found.now.notify_one();
        Ok(())
    }

    /// Ends all sweeps, wherever they are.
    pub fn end(&self) {
        self.loops().clear();
    }

    fn loops(&self) -> MutexGuard<'_, BTreeMap<String, Loop>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loop {
    fn start(registry: Arc<RegistryState>, setup: Arc<Setup>, runtime: &Handle) -> Self {
        let (setup, receiver) = watch::channel(setup);
        let now = Arc::new(Notify::new());
        let due = Arc::<BlobHasher>::default();
        due.restore(&registry.take_found_beside(), &registry.proofs());
        let hashing = tokio::spawn(again(receiver.clone(), {
            let (registry, due) = (Arc::clone(&registry), Arc::clone(&due));
            move |setup| hash_forever(Arc::clone(&registry), Arc::clone(&due), setup)
        }));
        let task = runtime.spawn(again(receiver, {
            let (registry, now) = (Arc::clone(&registry), Arc::clone(&now));
            move |setup| sweep_forever(Arc::clone(&registry), Arc::clone(&due), setup, Arc::clone(&now))
        }));
        Self { registry, setup, now, task, hashing }
    }
}

type Setups = watch::Receiver<Arc<Setup>>;

/// Begins again what panicked, an interval later: a registry that nobody sweeps any more would go on looking as it did when
/// it was swept last.
async fn again<F: Future<Output = ()> + Send + 'static>(setup: Setups, begin: impl Fn(Setups) -> F) {
    loop {
        // Dropped, it ends what runs in it.
        let mut task = JoinSet::new();
        task.spawn(begin(setup.clone()));
        let Some(Err(error)) = task.join_next().await else { return };
        let (registry, interval) = {
            let setup = setup.borrow();
            (setup.target.name.clone(), setup.target.interval)
        };
        tracing::error!(registry, %error, "the schedule failed and begins again; this is a defect of the probe");
        sleep(interval).await;
    }
}

async fn sweep_forever(registry: Arc<RegistryState>, hashing: Arc<BlobHasher>, mut setup: Setups, now: Arc<Notify>) {
    let mut pace = Pace::default();
    // A restart is no reason to hurry.
    if let Some(report) = registry.known().report {
        pace.learn(&report);
    }
    let mut outcome = None;
    let mut is_asked_for = false;
    loop {
        let current = Arc::clone(&setup.borrow_and_update());
        let began = Instant::now();
        let report = sweep_once(&registry, &hashing, &current, &mut pace, is_asked_for).await;
        log_outcome(&report, outcome.replace(report.outcome));
        if report.empty && registry.known().empty != Some(true) {
            tracing::warn!(
                registry = report.registry,
                "no image was checked: the registry is empty or nothing matches"
            );
        }
        registry.ended_and_kept(report, SystemTime::now()).await;

        let jitter = 1.0 - JITTER + 2.0 * JITTER * fastrand::f64();
        loop {
            let interval = setup.borrow().target.interval;
            tokio::select! {
                () = sleep_until(began + interval.mul_f64(jitter)) => {
                    is_asked_for = false;
                    break;
                }
                () = now.notified() => {
                    is_asked_for = true;
                    break;
                }
                changed = setup.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Hashes what the sweeps name, one blob after the other, whether or not a sweep runs.
async fn hash_forever(registry: Arc<RegistryState>, hashing: Arc<BlobHasher>, setup: Setups) {
    loop {
        let due = hashing.next().await;
        let current = Arc::clone(&setup.borrow());
        if let Some(period) = current.target.evidence.content.filter(|period| !period.is_zero()) {
            let mut task = JoinSet::new();
            task.spawn({
                let (hashing, due) = (Arc::clone(&hashing), due.clone());
                async move {
                    let client = Background(Arc::clone(&current.client));
                    hashing.hash(&due, &client, current.target.confirm, &current.proofs, period).await
                }
            });
            match task.join_next().await {
                Some(Ok(changes)) => registry.found_beside(changes).await,
                Some(Err(error)) => {
                    tracing::error!(registry = registry.name, %error, "hashing a blob failed; this is a defect of the probe");
                }
                None => {}
            }
        }
        hashing.done(&due);
    }
}

/// One sweep in a task of its own: if it panics, that is a failed sweep, not the end of all.
async fn sweep_once(
    registry: &Arc<RegistryState>,
    hashing: &Arc<BlobHasher>,
    setup: &Arc<Setup>,
    pace: &mut Pace,
    is_asked_for: bool,
) -> Report {
    let (started_at, began) = (SystemTime::now(), Instant::now());
    let progress = Arc::new(Progress::default());
    registry.began(started_at, Arc::clone(&progress));
    let mut task = JoinSet::new();
    task.spawn({
        let (registry, hashing, setup) = (Arc::clone(registry), Arc::clone(hashing), Arc::clone(setup));
        async move {
            let known = registry.known();
            let job = Job {
                target: &setup.target,
                evidence_schedule: Arc::clone(&setup.proofs),
                manifests: Arc::clone(&registry.manifests),
                blob_hasher: Some(hashing),
                traffic: Arc::clone(&registry.traffic),
                known: known.failures(),
                catalog: &known.catalog,
                contradictions: Arc::clone(&registry.contradictions),
                progress,
            };
            (setup.sweep)(Arc::clone(&setup.client), job).await
        }
    });
    let held = pace.begin(setup, is_asked_for);
    let ended = async {
        tokio::select! {
            ended = task.join_next() => ended,
            () = sleep(held) => {
                // There is far more than last time: the rest goes as fast as it may.
                setup.client.set_rate(setup.target.rate_limit);
                task.join_next().await
            }
        }
    };
    let ended = registry.keep_proofs_during(ended).await;
    let give_up = |why| {
        let known = registry.known();
        given_up(&setup.target, known.failures(), &known.catalog, started_at, why)
    };
    match ended {
        Some(Ok((report, changes))) => {
            log_changes(&registry.name, &changes);
            pace.learn(&report);
            if report.outcome == Outcome::Complete && !report.empty {
                registry.found_beside(hashing.forget_unasked(began)).await;
            }
            report
        }
        Some(Err(error)) => {
            tracing::error!(registry = registry.name, %error, "a sweep failed; this is a defect of the probe");
            give_up("the probe itself failed; its log says where")
        }
        None => give_up("the sweep was not begun"),
    }
}

/// How fast a sweep goes, from how much the last one had to ask.
#[derive(Default)]
struct Pace {
    requests: Option<u64>,
}

impl Pace {
    /// Sets the client's rate for the sweep that begins, and tells how long it is to hold: longer than the sweep should
    /// take, so that a registry which grew is not hurried at the end, and not so long that the next sweep has to wait. Who
    /// asks for a sweep waits for it, and has it as fast as the other limits allow.
    fn begin(&self, setup: &Setup, is_asked_for: bool) -> Duration {
        let spread = match setup.target.spread {
            _ if is_asked_for => Duration::ZERO,
            Spread::Auto => setup.target.interval / 3,
            Spread::Over(spread) => spread,
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = self.requests.filter(|_| !spread.is_zero()).map(|requests| requests as f64 / spread.as_secs_f64());
        setup.client.set_rate(rate.into_iter().chain(setup.target.rate_limit).reduce(f64::min));
        spread.max((spread * 2).min(setup.target.interval.mul_f64(PACED_AT_MOST)))
    }

    fn learn(&mut self, report: &Report) {
        if report.catalog_accessible {
            self.requests = Some(report.requests.max(1));
        }
    }
}

/// A line when a registry's sweeps begin to end otherwise than before, not one a sweep.
fn log_outcome(report: &Report, before: Option<Outcome>) {
    if before == Some(report.outcome) || (before.is_none() && report.outcome == Outcome::Complete) {
        tracing::debug!(
            registry = report.registry,
            outcome = report.outcome.as_str(),
            requests = report.requests,
            "swept"
        );
        return;
    }
    match report.outcome {
        Outcome::Complete => tracing::info!(registry = report.registry, "everything can be judged again"),
        Outcome::Partial | Outcome::Failed => tracing::warn!(
            registry = report.registry,
            outcome = report.outcome.as_str(),
            unverified = report.unverified.len(),
            first = report.unverified.first().map(|entry| entry.detail.as_str()),
            "not everything could be judged"
        ),
    }
}

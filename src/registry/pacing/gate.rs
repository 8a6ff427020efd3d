//! Protects the registry: bounds the in-flight requests and their rate, and honours `Retry-After`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The longest pause, whatever `Retry-After` says.
const PAUSE_LIMIT: Duration = Duration::from_secs(120);

/// Admits the requests to one registry.
pub struct Gate {
    permits: Arc<Semaphore>,
    /// Number of requests that wait for admission.
    waiting: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    controller: Controller,
    /// Permits to take out of circulation when they come back.
    surplus: usize,
    /// The minimum time between two requests; zero: none.
    spacing: Duration,
    next_slot: Instant,
    paused_until: Instant,
}

/// The outcome of an exchange, for the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response came.
    Answered,
    /// It failed in a way that overload explains: 5xx, a timeout, a broken connection.
    Struggled,
    /// 429.
    Throttled,
}

/// The right to have one request in flight.
pub struct Permit<'a> {
    gate: &'a Gate,
    permit: Option<OwnedSemaphorePermit>,
    since: Instant,
}

/// Counts a request while it waits, also if it is dropped.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn before(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate for at most `concurrency` requests in flight and, if given, `rate_limit` requests a second.
    pub fn new(concurrency: usize, rate_limit: Option<f64>) -> Self {
        let controller = Controller::new(concurrency.max(1));
        let now = Instant::now();
        Self {
            permits: Arc::new(Semaphore::new(controller.limit)),
            waiting: AtomicUsize::new(0),
            state: Mutex::new(State {
                controller,
                surplus: 0,
                spacing: spacing(rate_limit),
                next_slot: now,
                paused_until: now,
            }),
        }
    }

    /// Sets the maximum number of requests per second; `None`: no limit besides concurrency.
    pub fn set_rate(&self, rate: Option<f64>) {
        self.lock().spacing = spacing(rate);
    }

    /// Admits the full concurrency at once, without first finding out how much the registry can handle.
    pub fn open_wide(&self) {
        let mut state = self.lock();
        let grown = state.controller.open_wide();
        self.permits.add_permits(grown);
    }

    /// The current limit of in-flight requests.
    pub fn limit(&self) -> usize {
        self.lock().controller.limit
    }

    /// True if fewer requests wait than may be in flight: enough to keep the registry busy, and a new one is admitted soon.
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.limit()
    }

    /// Waits until a request may begin.
    pub async fn enter(&self) -> Permit<'_> {
        let _waiting = Waiting::before(self);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        self.take_turn(permit).await
    }

    async fn take_turn(&self, permit: Option<OwnedSemaphorePermit>) -> Permit<'_> {
        loop {
            let now = Instant::now();
            let (slot, paused_until) = {
                let mut state = self.lock();
                if state.paused_until > now {
                    (now, state.paused_until)
                } else {
                    let slot = state.next_slot.max(now);
                    state.next_slot = slot + state.spacing;
                    (slot, now)
                }
            };
            let until = paused_until.max(slot);
            if until > now {
                // The runtime's clock ticks in milliseconds: a sleep until now would wait for the next tick.
                tokio::time::sleep_until(until).await;
            }
            if paused_until <= now {
                return Permit { gate: self, permit, since: Instant::now() };
            }
        }
    }

    /// Waits until a background request may begin. It needs no permit: one is reserved for it.
    pub async fn enter_beside(&self) -> Permit<'_> {
        self.take_turn(None).await
    }

    /// Pauses all requests for as long as the registry asked.
    pub fn pause(&self, for_this_long: Duration) {
        let until = Instant::now() + for_this_long.min(PAUSE_LIMIT);
        let mut state = self.lock();
        state.paused_until = state.paused_until.max(until);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spacing(rate: Option<f64>) -> Duration {
    rate.filter(|&rate| rate > 0.0).map_or(Duration::ZERO, |rate| Duration::from_secs_f64((1.0 / rate).min(3600.0)))
}

impl Permit<'_> {
    /// Returns the permit and reports the outcome.
    pub fn done(mut self, outcome: Outcome) {
        let took = self.since.elapsed();
        let mut state = self.gate.lock();
        let before = state.controller.limit;
        state.controller.observe(outcome, took);
        let after = state.controller.limit;
        if after > before {
            let grown = after - before;
            let kept = grown.min(state.surplus);
            state.surplus -= kept;
            self.gate.permits.add_permits(grown - kept);
        } else {
            state.surplus += before - after;
        }
        if state.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            state.surplus -= 1;
            permit.forget();
        }
    }
}

/// Finds the lowest concurrency that keeps the registry busy, as TCP Vegas finds its window: the extra latency compared with
/// few in-flight requests shows how many requests only wait in the registry's queue.
#[derive(Debug)]
struct Controller {
    limit: usize,
    most: usize,
    /// Mean latency with [`FEW`] requests in flight, in seconds.
    among_few: f64,
    /// Windows until that is measured again, because a registry's speed changes.
    trusted_for: u32,
    /// True once a higher limit brought no more throughput.
    is_found: bool,
    /// The limit to restore after a measurement.
    measuring: Option<usize>,
    window: Window,
}

#[derive(Debug, Default)]
struct Window {
    answered: u32,
    struggled: u32,
    throttled: u32,
    seconds: f64,
}

impl Window {
    fn seen(&self) -> u32 {
        self.answered + self.struggled + self.throttled
    }

    /// A few 5xx are caused by an object, many by the registry.
    fn is_of_trouble(&self) -> bool {
        self.throttled > 0 || self.struggled * 4 > self.seen()
    }
}

/// With fewer queued requests than this, or than a sixteenth of the limit, the limit rises by one.
const QUEUE_LOW: f64 = 0.5;
/// With more queued requests than this, and than an eighth of the limit, the limit falls by one, down to [`FEW`]: a few queued
/// requests keep the registry busy between two responses, more only add latency.
const QUEUE_HIGH: f64 = 1.0;
/// Few enough not to queue, and enough that one hanging request does not stop the others.
const FEW: usize = 4;
/// Requests between two decisions while the limit still rises or the registry struggles; more with a limit above 8.
const WINDOW: usize = 16;
/// The same once the limit is found: the mean of fewer requests depends too much on single slow ones.
const WINDOW_OF_FOUND: usize = 64;
/// Windows between two measurements: the slower requests then cost at most a fiftieth of the time.
const TRUSTED_FOR: u32 = 100;

impl Controller {
    fn new(most: usize) -> Self {
        Self {
            limit: FEW.min(most),
            most,
            among_few: f64::INFINITY,
            trusted_for: TRUSTED_FOR,
            is_found: false,
            measuring: Some(FEW.min(most)),
            window: Window::default(),
        }
    }

    /// Returns by how much the limit grew.
    fn open_wide(&mut self) -> usize {
        self.measuring = None;
        self.is_found = true;
        let before = std::mem::replace(&mut self.limit, self.most);
        self.most - before
    }

    fn observe(&mut self, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Answered => {
                self.window.answered += 1;
                self.window.seconds += took.as_secs_f64();
            }
            Outcome::Struggled => self.window.struggled += 1,
            Outcome::Throttled => self.window.throttled += 1,
        }
        let is_over = |enough: usize| self.window.seen() as usize >= enough.max(self.limit * enough / 8);
        let is_found = self.is_found && !self.window.is_of_trouble();
        if is_over(if is_found { WINDOW_OF_FOUND } else { WINDOW }) {
            let window = std::mem::take(&mut self.window);
            self.limit = self.adjusted(&window).clamp(1, self.most);
        }
    }

    fn adjusted(&mut self, window: &Window) -> usize {
        if window.is_of_trouble() {
            self.is_found = false;
            self.measuring = self.measuring.map(|limit| (limit / 2).max(1));
            return self.limit / 2;
        }
        if window.answered == 0 {
            return self.limit;
        }
        let mean = (window.seconds / f64::from(window.answered)).max(1e-6);
        if let Some(limit) = self.measuring.take() {
            self.among_few = mean;
            return limit;
        }
        self.among_few = self.among_few.min(mean);
        self.trusted_for -= 1;
        if self.trusted_for == 0 {
            return self.measure();
        }
        #[expect(clippy::cast_precision_loss, reason = "a limit is a small number")]
        let limit = self.limit as f64;
        let waiting = limit * (1.0 - self.among_few / mean);
        if waiting < QUEUE_LOW.max(limit / 16.0) {
            return self.limit + (self.limit / 8).max(1);
        }
        if !self.is_found {
            // What was measured with short windows was the least that chance brought.
            self.is_found = true;
            return self.measure();
        }
        if waiting > QUEUE_HIGH.max(limit / 8.0) { (self.limit - 1).max(FEW.min(self.limit)) } else { self.limit }
    }

    /// Lets few requests through until it is known how long these take. Gives their number.
    fn measure(&mut self) -> usize {
        self.trusted_for = TRUSTED_FOR;
        self.measuring = Some(self.limit);
        FEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry that serves `cores` requests at once, each in `service` seconds: latency by Little's law.
    fn settle(controller: &mut Controller, cores: f64, service: f64) {
        for _ in 0..20_000 {
            let latency = service * (controller.limit as f64 / cores).max(1.0);
            controller.observe(Outcome::Answered, Duration::from_secs_f64(latency));
        }
        while controller.measuring.is_some() {
            controller.observe(Outcome::Answered, Duration::from_secs_f64(service * (FEW as f64 / cores).max(1.0)));
        }
    }

    /// The same where each answer takes a third of that, or up to five thirds. Gives the limit after each 50 answers, but
    /// while it is measured.
    fn by_chance(cores: f64, seed: u64) -> Vec<usize> {
        let mut controller = Controller::new(32);
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut seen = Vec::new();
        for n in 0..50_000 {
            let latency = 0.001 * (controller.limit as f64 / cores).max(1.0) * (1.0 + 4.0 * chance.f64()) / 3.0;
            controller.observe(Outcome::Answered, Duration::from_secs_f64(latency));
            if n % 50 == 0 && controller.measuring.is_none() {
                seen.push(controller.limit);
            }
        }
        seen
    }

    #[test]
    fn settles_where_more_would_only_wait() {
        let mut controller = Controller::new(64);
        settle(&mut controller, 2.0, 0.001);
        assert!((4..=6).contains(&controller.limit), "{}", controller.limit);
    }

    #[test]
    fn does_not_follow_what_only_happens_to_be_slow() {
        for seed in 0..20 {
            let seen = by_chance(2.0, seed);
            assert!(seen.iter().all(|limit| (4..=6).contains(limit)), "{seed}: {seen:?}");
            let busy = by_chance(1000.0, seed).split_off(500);
            assert!(busy.iter().all(|&limit| limit >= 16), "{seed}: {busy:?}");
        }
    }

    #[test]
    fn an_open_gate_is_not_narrowed_to_measure_first() {
        for seed in 0..20 {
            let mut controller = Controller::new(32);
            controller.open_wide();
            let mut chance = fastrand::Rng::with_seed(seed);
            for n in 0..1_000 {
                controller.observe(Outcome::Answered, Duration::from_secs_f64(0.05 * (0.5 + chance.f64())));
                assert!(controller.limit >= 28, "{seed}: {} after {n}", controller.limit);
            }
        }
    }

    #[test]
    fn uses_all_that_it_may_where_nothing_waits() {
        let mut controller = Controller::new(32);
        settle(&mut controller, 1000.0, 0.05);
        assert_eq!(controller.limit, 32);
    }

    #[test]
    fn halves_when_it_is_throttled_or_the_registry_struggles_and_grows_again() {
        for outcome in [Outcome::Throttled, Outcome::Struggled] {
            let mut controller = Controller::new(32);
            settle(&mut controller, 1000.0, 0.05);
            for _ in 0..600 {
                controller.observe(outcome, Duration::from_millis(1));
            }
            assert_eq!(controller.limit, 1);
            settle(&mut controller, 1000.0, 0.05);
            assert_eq!(controller.limit, 32);
        }
    }

    #[test]
    fn a_few_broken_objects_do_not_slow_it_down() {
        let mut controller = Controller::new(32);
        for n in 0..20_000 {
            let outcome = if n % 10 == 0 { Outcome::Struggled } else { Outcome::Answered };
            controller.observe(outcome, Duration::from_millis(50));
        }
        assert!(controller.limit == 32 || controller.measuring == Some(32), "{controller:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn permits_in_flight_follow_the_limit() {
        let gate = Gate::new(8, None);
        for _ in 0..2_000 {
            gate.enter().await.done(Outcome::Answered);
        }
        assert_eq!(gate.limit(), 8);
        let held: Vec<_> = futures_util::future::join_all((0..8).map(|_| gate.enter())).await;
        assert!(tokio::time::timeout(Duration::from_secs(1), gate.enter()).await.is_err(), "a ninth was let through");
        held.into_iter().for_each(|permit| permit.done(Outcome::Throttled));
        for _ in 0..600 {
            gate.enter().await.done(Outcome::Throttled);
        }
        let _one = gate.enter().await;
        assert!(tokio::time::timeout(Duration::from_secs(1), gate.enter()).await.is_err(), "the limit did not shrink");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_while_fewer_wait_than_may_be_in_flight() {
        let gate = Gate::new(2, None);
        let held = [gate.enter().await, gate.enter().await];
        assert!(gate.has_room());
        let mut waiting = [Box::pin(gate.enter()), Box::pin(gate.enter())];
        for (one, has_room) in waiting.iter_mut().zip([true, false]) {
            assert!(futures_util::poll!(one).is_pending());
            assert_eq!(gate.has_room(), has_room);
        }
        let [given_up, waiting] = waiting;
        drop(given_up);
        assert!(gate.has_room());
        held.into_iter().for_each(|permit| permit.done(Outcome::Answered));
        waiting.await.done(Outcome::Answered);
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_gate_takes_no_time() {
        tokio::time::advance(Duration::from_micros(300)).await;
        let gate = Gate::new(8, None);
        let began = Instant::now();
        for _ in 0..100 {
            gate.enter().await.done(Outcome::Answered);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_spaces_requests_evenly() {
        let gate = Gate::new(8, Some(10.0));
        let began = Instant::now();
        for _ in 0..11 {
            gate.enter().await.done(Outcome::Answered);
        }
        let took = began.elapsed().as_secs_f64();
        assert!((0.99..1.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody_back() {
        let gate = Gate::new(8, None);
        gate.pause(Duration::from_secs(7));
        gate.pause(Duration::from_secs(1));
        let began = Instant::now();
        gate.enter().await.done(Outcome::Answered);
        assert!(began.elapsed() >= Duration::from_secs(7) && began.elapsed() < Duration::from_secs(8));
        gate.pause(Duration::from_secs(u64::MAX / 4));
        gate.enter().await.done(Outcome::Answered);
        assert!(began.elapsed() < Duration::from_secs(140));
    }
}

//! `GET /events`: the progress of sweeps as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State as Extracted};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::render::printable;
use crate::state::State;
use crate::web::api_error::ApiError;
use crate::web::context::Views;
use crate::web::server::Ending;

/// Interval between two reads of the state.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Interval of comments that keep proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Maximum duration of a stream. Browsers then reconnect, and the server checks their credentials again.
const MAX_DURATION: Duration = Duration::from_secs(3600);

/// Limits the number of streams.
#[derive(Clone, Debug)]
pub struct Watchers(Arc<Semaphore>);

impl Watchers {
    /// At most `count` streams at once; further requests get 503.
    pub fn at_most(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }
}

/// A number that changes when an open page is out of date.
pub fn generation(state: &State) -> u64 {
    let sweeps = |known: crate::state::Snapshot| known.sweeps.iter().sum::<u64>();
    let registries = state.registries();
    registries.iter().map(|registry| sweeps(registry.known())).sum::<u64>() * 1000 + registries.len() as u64 % 1000
}

/// One message: everything that changes while a page is open.
#[derive(PartialEq, Serialize)]
struct Update {
    generation: u64,
    sweeping: Vec<Sweep>,
}

#[derive(PartialEq, Serialize)]
struct Sweep {
    registry: String,
    /// Completed repositories.
    walked: u64,
    /// Repositories to check; 0 until the catalog is read.
    repositories: u64,
    objects: u64,
}

impl Update {
    fn of(state: &State) -> Self {
        let sweeping = state.registries().into_iter().filter_map(|registry| {
            let progress = registry.known().sweeping?.progress;
            Some(Sweep {
                registry: printable(&registry.name),
                walked: progress.walked(),
                repositories: progress.repositories(),
                objects: progress.objects(),
            })
        });
        Self { generation: generation(state), sweeping: sweeping.collect() }
    }
}

/// `GET /events`.
pub async fn events(
    Extracted(views): Extracted<Views>,
    Extension(watchers): Extension<Watchers>,
    ending: Option<Extension<Ending>>,
) -> Response {
    let Ok(place) = watchers.0.try_acquire_owned() else {
        let refusal = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many open pages; try again later");
        return ([(header::RETRY_AFTER, "30")], refusal.into_text()).into_response();
    };
    let shutdown = ending.map_or_else(CancellationToken::new, |Extension(Ending(shutdown))| shutdown);
    let events = Sse::new(messages(views.state, shutdown, place)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // nginx would buffer the events.
    ([("x-accel-buffering", "no")], events).into_response()
}

struct Watch {
    state: Arc<State>,
    shutdown: CancellationToken,
    ticks: Interval,
    until: Instant,
    sent: Option<Update>,
    _place: OwnedSemaphorePermit,
}

fn messages(
    state: Arc<State>,
    shutdown: CancellationToken,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch { state, shutdown, ticks, until: Instant::now() + MAX_DURATION, sent: None, _place: place };
    stream::unfold(watch, |mut watch| async move {
        loop {
            let Watch { shutdown, ticks, .. } = &mut watch;
            let tick = shutdown.run_until_cancelled(ticks.tick()).await?;
            if tick > watch.until {
                return None;
            }
            let now = Update::of(&watch.state);
            if watch.sent.as_ref() != Some(&now) {
                let event = Event::default().json_data(&now).ok()?;
                watch.sent = Some(now);
                return Some((Ok(event), watch));
            }
        }
    })
}

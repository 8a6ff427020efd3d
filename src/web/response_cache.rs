//! Cache of rendered responses, so that any number of clients cost the sweeps nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::api_error::ApiError;
use super::rendered::Rendered;
use crate::report::Report;
use crate::state::history::History;
use crate::state::{RegistryState, Reload, State};

/// Maximum number of cached responses.
const MAX_ENTRIES: usize = 64;
/// Maximum size of the cached responses together, before compression.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Lifetime of a response with progress or relative times: too short to be noticed while watching a sweep.
const BRIEFLY: Duration = Duration::from_millis(500);

/// How long a response can be served from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Until a sweep starts or finishes, because it depends on reports only.
    UntilNextSweep,
    /// For half a second, because it contains progress or relative times.
    Briefly,
    /// Not at all.
    Uncached,
}

/// Renders responses, one at a time, and caches the most recent ones.
#[derive(Debug)]
pub struct ResponseCache {
    state: Arc<State>,
    cached: Mutex<Cached>,
    /// Held while rendering, so that clients never take more than one processor from the sweeps.
    rendering: Arc<Semaphore>,
}

/// Responses rendered from one version of the state.
#[derive(Debug, Default)]
struct Cached {
    version: Version,
    entries: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    key: String,
    rendered: Arc<Rendered>,
    expires: Option<Instant>,
}

/// The state that a response was rendered from.
#[derive(Debug, Default, PartialEq)]
struct Version {
    registries: Vec<RegistryVersion>,
    reload: Option<Reload>,
}

/// The state of one registry. Weak pointers free the data, but no other object can get its address.
#[derive(Debug)]
struct RegistryVersion {
    registry: Weak<RegistryState>,
    report: Option<Weak<Report>>,
    history: Weak<History>,
    sweeping_since: Option<SystemTime>,
}

impl ResponseCache {
    /// An empty cache for responses rendered from `state`.
    pub fn new(state: Arc<State>) -> Self {
        Self { state, cached: Mutex::default(), rendering: Arc::new(Semaphore::new(1)) }
    }

    /// The cached response of `key`, or the one that `render` produces.
    ///
    /// # Errors
    ///
    /// The error of `render`, or 500.
    pub async fn get_or_render<E: From<ApiError> + Send + 'static>(
        &self,
        key: String,
        freshness: Freshness,
        request: &HeaderMap,
        render: impl FnOnce(&State) -> Result<Rendered, E> + Send + 'static,
    ) -> Result<Response, E> {
        let ready = || self.find(&key).filter(|rendered| rendered.is_prepared(request));
        if let Some(rendered) = ready() {
            return Ok(rendered.answer(request));
        }
        let failed = |error: &dyn std::error::Error| {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the response could not be rendered: {error}"))
        };
        let permit = Arc::clone(&self.rendering).acquire_owned().await.map_err(|error| failed(&error))?;
        // Another request may have rendered it in the meantime.
        if let Some(rendered) = ready() {
            return Ok(rendered.answer(request));
        }
        let (before, version) = (self.find(&key), self.version());
        let is_cached = before.is_some();
        let (state, headers) = (Arc::clone(&self.state), request.clone());
        // The permit moves into the task, which goes on even if the client disconnects.
        let work = move || -> Result<_, E> {
            let rendered = before.map_or_else(|| render(&state).map(Arc::new), Ok)?;
            rendered.prepare(&headers);
            Ok((rendered, permit))
        };
        let (rendered, _permit) = spawn_blocking(work).await.map_err(|error| failed(&error))??;
        if freshness != Freshness::Uncached && !is_cached {
            let expires = (freshness == Freshness::Briefly).then(|| Instant::now() + BRIEFLY);
            self.insert(version, Entry { key, rendered: Arc::clone(&rendered), expires });
        }
        Ok(rendered.answer(request))
    }

    fn find(&self, key: &str) -> Option<Arc<Rendered>> {
        let version = self.version();
        let cached = self.cached();
        if cached.version != version {
            return None;
        }
        let entry = cached.entries.iter().find(|entry| entry.key == key)?;
        entry.expires.is_none_or(|expires| Instant::now() < expires).then(|| Arc::clone(&entry.rendered))
    }

    /// `version` was read before rendering: if the state has changed since, the entry is never found.
    fn insert(&self, version: Version, entry: Entry) {
        let mut cached = self.cached();
        if cached.version != version {
            *cached = Cached { version, ..Cached::default() };
        }
        if let Some(index) = cached.entries.iter().position(|it| it.key == entry.key) {
            cached.bytes -= cached.entries.remove(index).map_or(0, |it| it.size());
        }
        if entry.size() > MAX_BYTES {
            return;
        }
        cached.bytes += entry.size();
        cached.entries.push_back(entry);
        while cached.entries.len() > MAX_ENTRIES || cached.bytes > MAX_BYTES {
            cached.bytes -= cached.entries.pop_front().map_or(0, |it| it.size());
        }
    }

    fn version(&self) -> Version {
        let of = |registry: &Arc<RegistryState>| {
            let known = registry.known();
            RegistryVersion {
                registry: Arc::downgrade(registry),
                report: known.report.as_ref().map(Arc::downgrade),
                history: Arc::downgrade(&known.history),
                sweeping_since: known.sweeping.map(|sweeping| sweeping.since),
            }
        };
        Version { registries: self.state.registries().iter().map(of).collect(), reload: self.state.last_reload() }
    }

    fn cached(&self) -> MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.key.len() + self.rendered.len()
    }
}

impl PartialEq for RegistryVersion {
    fn eq(&self, other: &Self) -> bool {
        let is_same_report = match (&self.report, &other.report) {
            (Some(ours), Some(theirs)) => ours.ptr_eq(theirs),
            (None, None) => true,
            _ => false,
        };
        is_same_report
            && self.registry.ptr_eq(&other.registry)
            && self.history.ptr_eq(&other.history)
            && self.sweeping_since == other.sweeping_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, bytes: usize) -> Entry {
        let rendered = Arc::new(Rendered::json(&"x".repeat(bytes)).unwrap());
        Entry { key: key.to_string(), rendered, expires: None }
    }

    #[test]
    fn cache_is_bounded_in_entries_and_bytes() {
        let cache = ResponseCache::new(Arc::default());
        for n in 0..2 * MAX_ENTRIES {
            cache.insert(Version::default(), entry(&n.to_string(), 1));
        }
        assert!(cache.find("0").is_none() && cache.find("127").is_some());
        assert_eq!(cache.cached().entries.len(), MAX_ENTRIES);

        for key in ["a", "b", "b", "c"] {
            cache.insert(Version::default(), entry(key, MAX_BYTES / 2 - 100));
        }
        assert!(cache.find("a").is_none() && cache.find("b").is_some() && cache.find("c").is_some());
        cache.insert(Version::default(), entry("too large", MAX_BYTES));
        assert!(cache.find("too large").is_none() && cache.find("b").is_some());
        let cached = cache.cached();
        assert_eq!(cached.bytes, cached.entries.iter().map(Entry::size).sum::<usize>());
    }
}

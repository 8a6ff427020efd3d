//! Pages and answers that were rendered and would be the same again, so that many who ask cost the sweeps nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::{Refusal, Rendered};
use crate::report::Report;
use crate::state::history::History;
use crate::state::{RegistryState, Reload, State};

/// Answers that are kept.
const KEPT_LIMIT: usize = 64;
/// Bytes of them, before compression.
const BYTES_LIMIT: usize = 16 * 1024 * 1024;

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Until a sweep begins or ends: it is made of reports alone.
    UntilSwept,
    /// For a moment, since it also tells of the sweep that runs, or of what is how long ago.
    AMoment,
    /// For who asked for it alone.
    Once,
}

/// Nobody who watches a sweep sees the difference.
const MOMENT: Duration = Duration::from_millis(500);

/// Renders answers, one at a time, and keeps the last ones.
#[derive(Debug)]
pub struct Answers {
    state: Arc<State>,
    kept: Mutex<Kept>,
    /// Whoever renders something has this, so that no number of clients takes more than one processor from the sweeps.
    rendering: Arc<Semaphore>,
}

/// Answers about one version of the state.
#[derive(Debug, Default)]
struct Kept {
    version: Version,
    answers: VecDeque<Answer>,
    bytes: usize,
}

#[derive(Debug)]
struct Answer {
    question: String,
    rendered: Arc<Rendered>,
    until: Option<Instant>,
}

/// What was known when answers were rendered.
#[derive(Debug, Default, PartialEq)]
struct Version {
    registries: Vec<RegistryVersion>,
    reload: Option<Reload>,
}

/// What was known of a registry. What is weakly held is not kept alive, and its address is not given to another.
#[derive(Debug)]
struct RegistryVersion {
    registry: Weak<RegistryState>,
    report: Option<Weak<Report>>,
    history: Weak<History>,
    sweeping_since: Option<SystemTime>,
}

impl Answers {
    /// Answers about a state.
    pub fn new(state: Arc<State>) -> Self {
        Self { state, kept: Mutex::default(), rendering: Arc::new(Semaphore::new(1)) }
    }

    /// Answers a question: with what was rendered before, or with what `render` makes of the state.
    ///
    /// # Errors
    ///
    /// What `render` says, or 500.
    pub async fn to<E: From<Refusal> + Send + 'static>(
        &self,
        question: String,
        holds: Holds,
        request: &HeaderMap,
        render: impl FnOnce(&State) -> Result<Rendered, E> + Send + 'static,
    ) -> Result<Response, E> {
        let ready = || self.find(&question).filter(|rendered| rendered.is_prepared(request));
        if let Some(rendered) = ready() {
            return Ok(rendered.answer(request));
        }
        let failed = |error: &dyn std::error::Error| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer could not be rendered: {error}"))
        };
        let turn = Arc::clone(&self.rendering).acquire_owned().await.map_err(|error| failed(&error))?;
        // Somebody else may have asked the same in the meantime.
        if let Some(rendered) = ready() {
            return Ok(rendered.answer(request));
        }
        let (before, version) = (self.find(&question), self.version());
        let is_kept = before.is_some();
        let (state, headers) = (Arc::clone(&self.state), request.clone());
        // The turn comes along, so that it is over when this is, also if nobody waits for it any more.
        let work = move || -> Result<_, E> {
            let rendered = before.map_or_else(|| render(&state).map(Arc::new), Ok)?;
            rendered.prepare(&headers);
            Ok((rendered, turn))
        };
        let (rendered, _turn) = spawn_blocking(work).await.map_err(|error| failed(&error))??;
        if holds != Holds::Once && !is_kept {
            let until = (holds == Holds::AMoment).then(|| Instant::now() + MOMENT);
            self.keep(version, Answer { question, rendered: Arc::clone(&rendered), until });
        }
        Ok(rendered.answer(request))
    }

    fn find(&self, question: &str) -> Option<Arc<Rendered>> {
        let version = self.version();
        let kept = self.kept();
        if kept.version != version {
            return None;
        }
        let answer = kept.answers.iter().find(|answer| answer.question == question)?;
        answer.until.is_none_or(|until| Instant::now() < until).then(|| Arc::clone(&answer.rendered))
    }

    /// `version` was read before the answer was rendered: if the state changed since then, nothing is found under it.
    fn keep(&self, version: Version, answer: Answer) {
        let mut kept = self.kept();
        if kept.version != version {
            *kept = Kept { version, ..Kept::default() };
        }
        if let Some(index) = kept.answers.iter().position(|it| it.question == answer.question) {
            kept.bytes -= kept.answers.remove(index).map_or(0, |it| it.weight());
        }
        if answer.weight() > BYTES_LIMIT {
            return;
        }
        kept.bytes += answer.weight();
        kept.answers.push_back(answer);
        while kept.answers.len() > KEPT_LIMIT || kept.bytes > BYTES_LIMIT {
            kept.bytes -= kept.answers.pop_front().map_or(0, |it| it.weight());
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

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn weight(&self) -> usize {
        self.question.len() + self.rendered.len()
    }
}

impl PartialEq for RegistryVersion {
    fn eq(&self, other: &Self) -> bool {
        let report_is_same = match (&self.report, &other.report) {
            (Some(ours), Some(theirs)) => ours.ptr_eq(theirs),
            (None, None) => true,
            _ => false,
        };
        report_is_same
            && self.registry.ptr_eq(&other.registry)
            && self.history.ptr_eq(&other.history)
            && self.sweeping_since == other.sweeping_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(question: &str, bytes: usize) -> Answer {
        let rendered = Arc::new(Rendered::json(&"x".repeat(bytes)).unwrap());
        Answer { question: question.to_string(), rendered, until: None }
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_bytes() {
        let answers = Answers::new(Arc::default());
        for n in 0..2 * KEPT_LIMIT {
            answers.keep(Version::default(), answer(&n.to_string(), 1));
        }
        assert!(answers.find("0").is_none() && answers.find("127").is_some());
        assert_eq!(answers.kept().answers.len(), KEPT_LIMIT);

        for question in ["a", "b", "b", "c"] {
            answers.keep(Version::default(), answer(question, BYTES_LIMIT / 2 - 100));
        }
        assert!(answers.find("a").is_none() && answers.find("b").is_some() && answers.find("c").is_some());
        answers.keep(Version::default(), answer("too much", BYTES_LIMIT));
        assert!(answers.find("too much").is_none() && answers.find("b").is_some());
        let kept = answers.kept();
        assert_eq!(kept.bytes, kept.answers.iter().map(Answer::weight).sum::<usize>());
    }
}

//! A registry that is asked no longer than a sweep may last.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{Answer, List, ListEnd, Listing, Question, Registry, Trouble};
use crate::report::Cause;

/// Asks the registry inside until a moment; from then on every question ends at once as a time-out, so that a sweep ends
/// by itself and names what it did not reach.
pub struct Deadline<R> {
    inner: Arc<R>,
    at: Option<Instant>,
}

impl<R> Deadline<R> {
    /// `None` for `at`: never.
    pub fn new(inner: Arc<R>, at: Option<Instant>) -> Self {
        Self { inner, at }
    }

    fn over() -> Trouble {
        Trouble::new(Cause::Timeout, "not reached before sweep_timeout ended the sweep")
    }
}

impl<R: Registry> Registry for Deadline<R> {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        match self.at {
            None => self.inner.ask(question).await,
            Some(at) => timeout_at(at, self.inner.ask(question)).await.unwrap_or_else(|_| Err(Self::over())),
        }
    }

    async fn list(&self, list: &List) -> Listing {
        match self.at {
            None => self.inner.list(list).await,
            Some(at) => timeout_at(at, self.inner.list(list))
                .await
                .unwrap_or_else(|_| Listing { names: Vec::new(), end: ListEnd::Incomplete(Self::over()) }),
        }
    }

    fn has_room(&self) -> bool {
        self.inner.has_room()
    }
}

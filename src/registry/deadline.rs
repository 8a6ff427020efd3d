//! A registry that is asked no longer than a sweep may last.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{Answer, List, Listing, Question, Registry, Trouble};

/// Lets every request fail with a timeout from a deadline on, so that a sweep ends by itself and reports the objects that it
/// did not reach.
pub struct Deadline<R> {
    inner: Arc<R>,
    at: Option<Instant>,
}

impl<R> Deadline<R> {
    /// Without `at`, there is no deadline.
    pub fn new(inner: Arc<R>, at: Option<Instant>) -> Self {
        Self { inner, at }
    }
}

impl<R: Registry> Registry for Deadline<R> {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        match self.at {
            None => self.inner.ask(question).await,
            Some(at) => {
                timeout_at(at, self.inner.ask(question)).await.unwrap_or_else(|_| Err(Trouble::sweep_timeout()))
            }
        }
    }

    async fn list(&self, list: &List) -> Listing {
        match self.at {
            None => self.inner.list(list).await,
            Some(at) => self.inner.list_until(list, at).await,
        }
    }

    fn has_room(&self) -> bool {
        self.inner.has_room()
    }
}

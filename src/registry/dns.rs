//! Addresses of names, kept for a little while: a registry that closes its connections would have the probe ask the name
//! server before every request.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::time::Instant;
use tower_service::Service;

/// A registry that moves is found within this time.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Redirects name hosts that nobody configured: beyond so many, all are asked for again.
const NAMES_LIMIT: usize = 64;

/// By name: what the system said, and when.
type Known = HashMap<String, (Instant, Vec<SocketAddr>)>;

/// Resolves as the system does, and remembers what it said.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Known>>);

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move { names.of(name.as_str()).await.map(Vec::into_iter) })
    }
}

impl Names {
    /// The addresses of a name, without a port.
    pub async fn of(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.known_or(name, async { tokio::net::lookup_host((name, 0)).await.map(Iterator::collect) }).await
    }

    async fn known_or<E>(
        &self,
        name: &str,
        look_up: impl Future<Output = Result<Vec<SocketAddr>, E>>,
    ) -> Result<Vec<SocketAddr>, E> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((at, addresses)) = known
            && at.elapsed() < KEPT_FOR
        {
            return Ok(addresses);
        }
        let addresses = look_up.await?;
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_LIMIT {
            names.clear();
        }
        names.insert(name.to_string(), (Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_for_once_in_a_while_and_a_failure_is_not_kept() {
        let names = Names::default();
        let [old, new] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(names.known_or("r", async { Err("no name server") }).await, Err("no name server"));
        assert_eq!(names.known_or("r", async { Ok::<_, ()>(vec![old]) }).await, Ok(vec![old]));
        assert_eq!(names.known_or("r", async { Ok::<_, ()>(vec![new]) }).await, Ok(vec![old]));
        tokio::time::advance(KEPT_FOR).await;
        assert_eq!(names.known_or("r", async { Ok::<_, ()>(vec![new]) }).await, Ok(vec![new]));
        for n in 0..3 * NAMES_LIMIT {
            assert_eq!(names.known_or(&n.to_string(), async { Ok::<_, ()>(vec![old]) }).await, Ok(vec![old]));
        }
        assert!(names.0.lock().unwrap().len() <= NAMES_LIMIT);
    }
}

//! Addresses of names, kept for a little while: a registry that closes its connections would have the probe ask the name
//! server before every request.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::Instant;

/// A registry that moves is found within this time.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Redirects name hosts that nobody configured: beyond so many, all are asked for again.
const NAMES_LIMIT: usize = 64;

/// Resolves as the system does, and remembers what it said.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<HashMap<String, Known>>>);

/// When a name was asked for, and what it stands for.
type Known = (Instant, Vec<SocketAddr>);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let addresses =
                names.known_or(name, async { tokio::net::lookup_host((name, 0)).await.map(Iterator::collect) }).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl Names {
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

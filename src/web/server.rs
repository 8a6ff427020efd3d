//! Serves the router on its listeners, within limits, until it is told to stop.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A request's line and headers must fit in this many bytes.
const MAX_HEAD: usize = 32 * 1024;

/// What one client may take from the others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, on all listeners together; more wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send a request's head, which is also how long a connection may idle.
    pub header_read: Duration,
    /// How long answers under way may take to end once the service is told to stop.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, header_read: Duration::from_secs(10), shutdown: Duration::from_secs(2) }
    }
}

/// Serves HTTP/1.1 on every listener until `shutdown` is cancelled; then ends idle connections at once and busy ones
/// within [`Limits::shutdown`].
///
/// Request bodies need no limit because no route reads one: what a client sends on is not waited for.
pub async fn serve(listeners: Vec<TcpListener>, app: Router, limits: Limits, shutdown: CancellationToken) {
    let server = Server {
        app,
        limits,
        shutdown,
        slots: Arc::new(Semaphore::new(limits.connections)),
        tasks: TaskTracker::new(),
    };
    for listener in listeners {
        server.tasks.spawn(server.clone().accept(listener));
    }
    server.tasks.close();
    server.tasks.wait().await;
}

#[derive(Clone)]
struct Server {
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Server {
    async fn accept(self, listener: TcpListener) {
        while let Some((stream, slot)) = self.shutdown.run_until_cancelled(self.next(&listener)).await {
            let server = self.clone();
            self.tasks.spawn(async move {
                server.converse(stream).await;
                drop(slot);
            });
        }
    }

    async fn next(&self, listener: &TcpListener) -> (TcpStream, OwnedSemaphorePermit) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("nobody closes this semaphore");
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return (stream, slot),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    // Most likely no file descriptor is left; trying at once would only spin.
                    tracing::warn!(%error, "cannot accept a connection, trying again in a second");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn converse(&self, stream: TcpStream) {
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header_read)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.app.clone()))
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(self.limits.shutdown, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a client's connection ended early");
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

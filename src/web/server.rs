//! Serves the router on its listeners, within limits, until it is told to stop.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::middleware::from_fn_with_state;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::{Guard, Peer, admit};

/// A request's line and headers must fit in this many bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 32;
/// The first byte of whoever speaks TLS.
const TLS_HANDSHAKE: u8 = 0x16;

/// Told to a request, so that an answer without an end can end when the service does.
#[derive(Clone, Debug)]
pub struct Ending(pub CancellationToken);

/// What one client may take from the others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, on all listeners together; more wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send a request's head, which is also how long a connection may idle, and how long its
    /// TLS handshake may take.
    pub header_read: Duration,
    /// How long a client may take no byte of an answer.
    pub write: Duration,
    /// How long a connection of HTTP/2 may last: within it no silence of the client can be told from a pause, as its answers
    /// wait for the client's leave. Afterwards it may end what is under way within [`write`](Self::write).
    pub http2_age: Duration,
    /// How long answers under way may take to end once the service is told to stop.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header_read: Duration::from_secs(10),
            write: Duration::from_secs(30),
            http2_age: Duration::from_secs(300),
            shutdown: Duration::from_secs(2),
        }
    }
}

/// Serves plain HTTP/1.1 to everybody on every listener until `shutdown` is cancelled; then ends idle connections at once
/// and busy ones within [`Limits::shutdown`].
///
/// Request bodies need no limit because no route reads one: what a client sends on is not waited for.
pub async fn serve(listeners: Vec<TcpListener>, app: Router, limits: Limits, shutdown: CancellationToken) {
    serve_guarded(listeners, app, limits, None, shutdown).await;
}

/// The same behind a guard, and over TLS, with HTTP/2 for who wants it, if its configuration says so.
///
/// It runs on a thread of its own: a sweep keeps every worker of the runtime busy, and whoever asks would wait for their turn
/// among its tasks.
pub async fn serve_guarded(
    listeners: Vec<TcpListener>,
    app: Router,
    limits: Limits,
    guard: Option<Arc<Guard>>,
    shutdown: CancellationToken,
) {
    let app = match &guard {
        Some(guard) => app.layer(from_fn_with_state(Arc::clone(guard), admit)),
        None => app,
    };
    let server = Server {
        app,
        limits,
        guard,
        shutdown,
        slots: Arc::new(Semaphore::new(limits.connections)),
        tasks: TaskTracker::new(),
    };
    let moved = Apart::new().and_then(|apart| Ok((apart.take(listeners)?, apart)));
    match moved {
        Ok((listeners, apart)) => apart.run(server.run(listeners)).await,
        Err(error) => tracing::error!(%error, "nothing can be served"),
    }
}

/// A runtime of one thread, which ends when nobody waits for it any more.
struct Apart(Option<Runtime>);

impl Apart {
    fn new() -> io::Result<Self> {
        Builder::new_multi_thread().worker_threads(1).thread_name("web").enable_all().build().map(Some).map(Self)
    }

    /// Listeners belong to the runtime that wakes them.
    fn take(&self, listeners: Vec<TcpListener>) -> io::Result<Vec<TcpListener>> {
        let _context = self.0.as_ref().map(Runtime::enter);
        listeners.into_iter().map(|listener| TcpListener::from_std(listener.into_std()?)).collect()
    }

    async fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            // A panic has been told by the runtime.
            let _ = runtime.spawn(task).await;
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Not the usual way, which would wait for what still runs.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Server {
    app: Router,
    limits: Limits,
    guard: Option<Arc<Guard>>,
    shutdown: CancellationToken,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// A stream that gives up on a client who takes nothing.
type Bounded = Pin<Box<TimeoutStream<TcpStream>>>;

impl Server {
    async fn run(self, listeners: Vec<TcpListener>) {
        for listener in listeners {
            self.tasks.spawn(self.clone().accept(listener));
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn accept(self, listener: TcpListener) {
        while let Some((stream, peer, slot)) = self.shutdown.run_until_cancelled(self.next(&listener)).await {
            let server = self.clone();
            self.tasks.spawn(async move {
                server.converse(stream, peer).await;
                drop(slot);
            });
        }
    }

    async fn next(&self, listener: &TcpListener) -> (TcpStream, IpAddr, OwnedSemaphorePermit) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("nobody closes this semaphore");
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer.ip(), slot),
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    // Most likely no file descriptor is left; trying at once would only spin.
                    tracing::warn!(%error, "cannot accept a connection, trying again in a second");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn converse(&self, stream: TcpStream, peer: IpAddr) {
        let tls = match &self.guard {
            Some(guard) => guard.config.current().await.tls.clone(),
            None => None,
        };
        let Some(tls) = tls else { return self.converse_by_http1(self.bounded(stream), peer).await };
        let handshake = timeout(self.limits.header_read, self.shake_hands(stream, tls));
        match self.shutdown.run_until_cancelled(handshake).await {
            None => {}
            Some(Ok(Ok(stream))) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.converse_by_http2(stream, peer).await;
            }
            Some(Ok(Ok(stream))) => self.converse_by_http1(stream, peer).await,
            Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "a client's TLS handshake failed"),
            Some(Err(_)) => tracing::debug!(%peer, "a client's TLS handshake did not end in time"),
        }
    }

    fn bounded(&self, stream: TcpStream) -> Bounded {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write));
        Box::pin(stream)
    }

    async fn shake_hands(&self, mut stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<TlsStream<Bounded>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
            // What is left unread would reset the connection before the answer is seen.
            let _ = stream.try_read(&mut [0; MAX_HEAD]);
            stream.write_all(b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n").await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
        }
        TlsAcceptor::from(tls).accept(self.bounded(stream)).await
    }

    /// The application, told who asks, and when the service ends.
    fn service(
        &self,
        peer: IpAddr,
    ) -> impl Service<
        Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + Clone
    + use<> {
        let app = TowerToHyperService::new(self.app.clone());
        let ending = Ending(self.shutdown.clone());
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(ending.clone());
            app.call(request)
        })
    }

    async fn converse_by_http1(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: IpAddr) {
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header_read)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), self.service(peer))
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(self.limits.shutdown, connection).await.unwrap_or(Ok(()))
            }
        };
        log_end(ended);
    }

    async fn converse_by_http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: IpAddr) {
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(self.limits.header_read)
                .keep_alive_timeout(self.limits.header_read)
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEAD as u32)
                .serve_connection(TokioIo::new(stream), self.service(peer))
        );
        let grace = tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = self.shutdown.cancelled() => self.limits.shutdown,
            () = sleep(self.limits.http2_age) => self.limits.write,
        };
        connection.as_mut().graceful_shutdown();
        log_end(timeout(grace, connection).await.unwrap_or(Ok(())));
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

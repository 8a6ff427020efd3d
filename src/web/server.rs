//! The HTTP server: listeners, TLS, limits and graceful shutdown.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::middleware::from_fn_with_state;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::{Guard, Peer, admit};

/// Maximum size of a request's line and headers in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 32;
/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request extension that is cancelled on shutdown, so that endless responses end.
#[derive(Clone, Debug)]
pub struct Ending(pub CancellationToken);

/// Limits on clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Concurrent connections on all listeners; further ones wait to be accepted.
    pub connections: usize,
    /// Timeout of a request's head, of an idle connection and of a TLS handshake.
    pub header_read: Duration,
    /// Timeout of a client that reads nothing of a response.
    pub write: Duration,
    /// Maximum age of an HTTP/2 connection, because a client that stalls its streams by flow control does not time out.
    /// Requests in progress may then finish within [`write`](Self::write).
    pub http2_age: Duration,
    /// Time for requests in progress to finish on shutdown.
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

/// Serves plain HTTP/1.1 on every listener until `shutdown` is cancelled. Then it closes idle connections immediately and
/// busy ones within [`Limits::shutdown`].
///
/// Request bodies need no limit, because no route reads one.
pub async fn serve(listeners: Vec<TcpListener>, app: Router, limits: Limits, shutdown: CancellationToken) {
    serve_guarded(listeners, app, limits, None, shutdown).await;
}

/// Serves with a guard. If the web configuration enables TLS, clients can negotiate HTTP/2.
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
    guard: Option<Arc<Guard>>,
    shutdown: CancellationToken,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// A stream with a write timeout.
type Bounded = Pin<Box<TimeoutStream<TcpStream>>>;

impl Server {
    async fn accept(self, listener: TcpListener) {
        while let Some((stream, peer, slot)) = self.shutdown.run_until_cancelled(self.next(&listener)).await {
            let server = self.clone();
            self.tasks.spawn(async move {
                server.serve_connection(stream, peer).await;
                drop(slot);
            });
        }
    }

    async fn next(&self, listener: &TcpListener) -> (TcpStream, IpAddr, OwnedSemaphorePermit) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer.ip(), slot),
                Err(error) if is_client_error(&error) => {}
                Err(error) => {
                    // Most likely no file descriptor is left, and an immediate retry would fail too.
                    tracing::warn!(%error, "cannot accept a connection; retrying in 1 s");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn serve_connection(&self, stream: TcpStream, peer: IpAddr) {
        let tls = match &self.guard {
            Some(guard) => guard.config.current().await.tls.clone(),
            None => None,
        };
        let Some(tls) = tls else { return self.serve_http(self.bounded(stream), peer, false).await };
        let handshake = timeout(self.limits.header_read, self.handshake(stream, tls));
        match self.shutdown.run_until_cancelled(handshake).await {
            None => {}
            Some(Ok(Ok(stream))) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.serve_http(stream, peer, is_http2).await;
            }
            Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Some(Err(_)) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
    }

    fn bounded(&self, stream: TcpStream) -> Bounded {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write));
        Box::pin(stream)
    }

    async fn handshake(&self, mut stream: TcpStream, tls: Arc<ServerConfig>) -> io::Result<TlsStream<Bounded>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
            // Unread data would reset the connection before the client sees the response.
            let _ = stream.try_read(&mut [0; MAX_HEAD]);
            stream.write_all(b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n").await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not use TLS"));
        }
        TlsAcceptor::from(tls).accept(self.bounded(stream)).await
    }

    /// The application, with the client's address and the shutdown token as request extensions.
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

    async fn serve_http(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: IpAddr, is_http2: bool) {
        let limits = self.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read)
            .max_buf_size(MAX_HEAD)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.header_read)
            .keep_alive_timeout(limits.header_read)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32);
        // The builder would wait for the first bytes without a timeout; ALPN has determined the protocol already.
        let builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), self.service(peer)));
        let grace = tokio::select! {
            result = connection.as_mut() => return log_error(result),
            () = self.shutdown.cancelled() => limits.shutdown,
            () = sleep(limits.http2_age), if is_http2 => limits.write,
        };
        connection.as_mut().graceful_shutdown();
        log_error(timeout(grace, connection).await.unwrap_or(Ok(())));
    }
}

fn log_error(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(error, "client connection failed");
    }
}

fn is_client_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

//! A server in front of a registry that keeps what it heard, and changes what it answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::raw_http::ask;

/// Headers that the registry behind is told.
const HANDED_ON: [&str; 3] = ["accept", "range", "authorization"];

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Which connection it came by, the first being 0.
    pub connection: usize,
    /// HTTP's version.
    pub version: Version,
    /// The name that the client's TLS handshake asked for.
    pub server_name: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Where HTTP/2 says it: host and port.
    pub authority: Option<String>,
    /// By name in lower case. One that comes twice is joined by ` and `, which no test expects.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

/// What is going to be answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case. Without `content-length`, the body goes in chunks.
    pub headers: Vec<(String, String)>,
    /// The body, each part of which is sent by itself.
    pub pieces: Vec<Bytes>,
    /// True if the connection ends behind the last piece, whatever the headers promise.
    pub is_cut: bool,
    /// True if a stream of HTTP/2 is reset there, and no error is named.
    pub is_reset_without_error: bool,
}

type Failure = Box<dyn Error + Send + Sync>;

/// Tells the requests of one kind from others.
pub type Selector = fn(&Heard) -> bool;

type Change = Arc<dyn Fn(&Heard, &mut Reply) + Send + Sync>;

/// A front that is not started yet.
pub struct Plan {
    registry: SocketAddr,
    tls: Option<TlsAcceptor>,
    prefix: &'static str,
    change: Change,
    listener: Option<TcpListener>,
    requests_a_connection: usize,
}

/// A front that runs until it is dropped.
pub struct Front {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Heard {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// True for a page of the catalog or of a tag list.
    pub fn is_of_list(&self) -> bool {
        self.target.contains("/v2/_catalog") || self.target.contains("/tags/list")
    }

    /// True for what a tag or digest of a manifest is asked for.
    pub fn is_of_manifest(&self) -> bool {
        self.target.contains("/manifests/")
    }

    /// True for a config's or layer's.
    pub fn is_of_blob(&self) -> bool {
        self.target.contains("/blobs/")
    }
}

impl Reply {
    /// Sets a header, in place of one of the same name.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.remove(name);
        self.headers.push((name.to_string(), value.to_string()));
    }

    /// Removes a header.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(candidate, _)| candidate != name);
    }

    /// The whole body.
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// Sets the body, in one piece, and its length.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        let body = body.into();
        self.set("content-length", body.len());
        self.pieces = vec![body];
    }
}

impl Plan {
    /// In front of a registry's address, with nothing changed.
    pub fn before(registry: SocketAddr) -> Self {
        Self {
            registry,
            tls: None,
            prefix: "",
            change: Arc::new(|_, _| {}),
            listener: None,
            requests_a_connection: usize::MAX,
        }
    }

    /// Behind TLS; HTTP/2 is spoken to whom ALPN agreed on it with.
    pub fn with_tls(self, acceptor: TlsAcceptor) -> Self {
        Self { tls: Some(acceptor), ..self }
    }

    /// The registry is served below this path.
    pub fn under(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    /// Answers are changed on their way.
    pub fn changing(self, change: impl Fn(&Heard, &mut Reply) + Send + Sync + 'static) -> Self {
        Self { change: Arc::new(change), ..self }
    }

    /// On this listener instead of a free port.
    pub fn on(self, listener: TcpListener) -> Self {
        Self { listener: Some(listener), ..self }
    }

    /// A connection of HTTP/2 is told to go away with so many requests.
    pub fn going_away_after(self, requests: usize) -> Self {
        Self { requests_a_connection: requests, ..self }
    }

    /// Starts it.
    pub async fn start(mut self) -> Front {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port"),
        };
        let address = listener.local_addr().expect("a bound listener has an address");
        let (heard, connections) = (Arc::default(), Arc::<AtomicUsize>::default());
        let shared = Shared { plan: Arc::new(self), heard: Arc::clone(&heard) };
        let task = tokio::spawn(accept(listener, shared, Arc::clone(&connections)));
        Front { address, heard, connections, task }
    }
}

impl Front {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it heard so far, oldest first.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Shared {
    plan: Arc<Plan>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

async fn accept(listener: TcpListener, shared: Shared, connections: Arc<AtomicUsize>) {
    let mut tasks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let shared = shared.clone();
        tasks.spawn(async move {
            match &shared.plan.tls {
                None => serve(stream, Carrier { connection, server_name: None, is_http_2: false }, shared).await,
                Some(acceptor) => {
                    // A client that does not trust the certificate goes away here, which is what tests want to see.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let session = stream.get_ref().1;
                    let carrier = Carrier {
                        connection,
                        server_name: session.server_name().map(str::to_string),
                        is_http_2: session.alpn_protocol() == Some(b"h2"),
                    };
                    serve(stream, carrier, shared).await;
                }
            }
        });
    }
}

/// The connection that carries a request.
#[derive(Clone)]
struct Carrier {
    connection: usize,
    server_name: Option<String>,
    is_http_2: bool,
}

/// However a connection ends, what was heard by it is what tests look at.
async fn serve<S>(stream: S, carrier: Carrier, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gone = Arc::new(tokio::sync::Notify::new());
    let (most, last) = (shared.plan.requests_a_connection, Arc::clone(&gone));
    let count = Arc::new(AtomicUsize::new(0));
    let is_http_2 = carrier.is_http_2;
    let service = service_fn(move |request| {
        let (shared, carrier) = (shared.clone(), carrier.clone());
        if count.fetch_add(1, Ordering::SeqCst) + 1 == most {
            last.notify_one();
        }
        async move { Ok::<_, Infallible>(answer(request, carrier, &shared).await) }
    });
    let stream = TokioIo::new(stream);
    if !is_http_2 {
        let _ = http1::Builder::new().serve_connection(stream, service).await;
        return;
    }
    let mut serving = std::pin::pin!(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service));
    tokio::select! {
        _ = serving.as_mut() => return,
        () = gone.notified() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

async fn answer(
    request: Request<Incoming>,
    carrier: Carrier,
    shared: &Shared,
) -> Response<UnsyncBoxBody<Bytes, Failure>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let heard = Heard {
        connection: carrier.connection,
        server_name: carrier.server_name,
        version: head.version,
        method: head.method.to_string(),
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        authority: head.uri.authority().map(ToString::to_string),
        headers: by_name(&head.headers),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    shared.heard.lock().unwrap().push(heard.clone());
    let Plan { registry, prefix, change, .. } = &*shared.plan;
    let mut asked = ask(*registry, &heard.method, heard.target.strip_prefix(prefix).unwrap_or(&heard.target));
    for (name, value) in HANDED_ON.iter().filter_map(|name| Some((name, heard.header(name)?))) {
        asked = asked.header(name, value);
    }
    let answer = asked.send().await;
    let status = answer.status.unwrap_or(502);
    let mut reply = Reply {
        status,
        headers: answer.headers,
        pieces: vec![answer.body],
        is_cut: false,
        is_reset_without_error: false,
    };
    change(&heard, &mut reply);
    response(reply, heard.method == "HEAD")
}

fn by_name(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        by_name.entry(name.to_string()).and_modify(|seen| *seen = format!("{seen} and {value}")).or_insert(value);
    }
    by_name
}

fn response(reply: Reply, is_head: bool) -> Response<UnsyncBoxBody<Bytes, Failure>> {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    let pieces = if is_head { Vec::new() } else { reply.pieces };
    // Apart in time too, so that they are read one by one.
    let pause = Duration::from_millis(u64::from(pieces.len() > 1 && pieces.len() < 100));
    let frames = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(piece))
    });
    let end: Option<Failure> = match () {
        () if is_head => None,
        () if reply.is_reset_without_error => Some(Box::new(h2::Error::from(h2::Reason::NO_ERROR))),
        () => reply.is_cut.then(|| "cut".into()),
    };
    let end = stream::iter(end.map(Err));
    if is_head {
        return builder
            .body(http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync())
            .expect("legal");
    }
    builder.body(StreamBody::new(frames.chain(end)).boxed_unsync()).expect("headers are legal")
}

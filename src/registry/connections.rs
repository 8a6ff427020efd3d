//! Connections that are kept: one request at a time on each with HTTP/1.1, all on one with HTTP/2.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tower_service::Service;

use super::connect::{Connector, Stream};

/// What nobody used for this long is closed.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// Redirects name hosts that nobody configured: beyond so many, connections to those of before are not kept.
const HOSTS_LIMIT: usize = 64;
/// Headers of an answer that hyper makes room for without being told how many.
const HEADERS_BY_DEFAULT: usize = 100;

/// A request as it is sent.
pub type Sent = Request<Full<Bytes>>;

/// Keeps connections, by the scheme and the authority that they were opened for. hyper speaks HTTP on each of them; what is
/// here is which one a request takes. hyper-util's client would do the same with a task and several copies for each
/// request, which costs a sweep a tenth of its processor time (`cargo bench --bench load -- limit`).
pub struct Connections {
    connector: Connector,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    /// Connections of one host that are kept.
    most: usize,
    hosts: Mutex<Vec<Arc<Host>>>,
}

/// Where requests go, and the connections there.
struct Host {
    scheme: Scheme,
    authority: Authority,
    header: HeaderValue,
    proxy_authorization: Option<HeaderValue>,
    open: Mutex<Open>,
    /// Held while a connection is opened that may turn out to carry everything.
    dialing: tokio::sync::Mutex<()>,
}

struct Open {
    /// True as long as the next connection may be one that carries everything.
    is_opened_alone: bool,
    idle: Vec<Idle<Http1>>,
    shared: Option<Idle<Http2>>,
    /// True while somebody sees to it that what is idle is closed in time.
    is_watched: bool,
}

/// A connection, when it was opened, and when it was used last.
struct Idle<T> {
    connection: T,
    opened: Instant,
    since: Instant,
}

impl<T> Idle<T> {
    /// True if a request may take it that wants a connection opened after some moment.
    fn is_opened_after(&self, moment: Option<Instant>) -> bool {
        moment.is_none_or(|moment| self.opened > moment)
    }
}

type Http2 = http2::SendRequest<Full<Bytes>>;

/// A connection that advances only while somebody waits for something on it, and in their task: with a task of its own each
/// request would wake two more times.
struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has come to its end.
    connection: Option<Box<http1::Connection<Stream, Full<Bytes>>>>,
    opened: Instant,
    /// A proxy is told the whole URL.
    is_proxy: bool,
}

/// A connection that an answer's body still comes on. It is kept when the body has come to its end, and closed otherwise.
pub struct Lease {
    connection: Http1,
    host: Weak<Host>,
    most: usize,
}

enum Connection {
    Http1(Http1),
    Http2(Http2),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("no connection")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// A connection that broke, or nothing that is HTTP.
    #[error("no answer")]
    Http(#[source] hyper::Error),
}

impl Connections {
    /// Nothing is open yet.
    pub fn new(connector: Connector, most: usize, response_headers: usize) -> Self {
        let mut http1 = http1::Builder::new();
        // hyper makes room on the stack if it is not told, and clears as much for every answer if it is.
        if response_headers != HEADERS_BY_DEFAULT {
            http1.max_headers(response_headers);
        }
        let http2 = http2::Builder::new(TokioExecutor::new());
        Self { connector, http1, http2, most, hosts: Mutex::default() }
    }

    /// Sends a request to an absolute URL. What comes with an answer is the connection, if somebody else may have it next.
    ///
    /// A kept connection that turns out to be closed before anything was sent on it is followed by the next, for which
    /// `request` makes the request again: so long as it waits for a connection there is none, to be copied with the rest.
    ///
    /// With `opened_after`, only a connection that was opened later carries the request.
    pub async fn send(
        &self,
        uri: &Uri,
        opened_after: Option<Instant>,
        request: impl Fn() -> Sent + Send,
    ) -> Result<(Response<Incoming>, Option<Lease>), Failure> {
        let host = self.host(uri)?;
        loop {
            let (connection, is_new) = match host.take(opened_after) {
                Some(connection) => (connection, false),
                // Rare, and as long as all the rest: what every request carries with it stays small.
                None => Box::pin(self.open(&host, uri, opened_after)).await?,
            };
            let (result, lease) = match connection {
                Connection::Http2(mut sender) => match sender.ready().await {
                    Ok(()) => (sender.try_send_request(request()).await, None),
                    Err(error) if is_new => return Err(Failure::Http(error)),
                    Err(_) => {
                        lock(&host.open).shared = None;
                        continue;
                    }
                },
                Connection::Http1(mut connection) => match connection.ready().await {
                    Ok(()) => {
                        let addressed = host.addressed(request(), connection.is_proxy);
                        let response = connection.sender.try_send_request(addressed);
                        let result = connection.drive(response).await;
                        (result, Some(Lease { connection, host: Arc::downgrade(&host), most: self.most }))
                    }
                    Err(error) if is_new => return Err(Failure::Http(error)),
                    Err(_) => continue,
                },
            };
            let mut unsent = match result {
                Ok(response) => return Ok((response, lease)),
                Err(unsent) => unsent,
            };
            if is_new || unsent.take_message().is_none() {
                return Err(Failure::Http(unsent.into_error()));
            }
            lock(&host.open).shared = None;
        }
    }

    fn host(&self, uri: &Uri) -> Result<Arc<Host>, Failure> {
        let mut hosts = lock(&self.hosts);
        let known = hosts
            .iter()
            .find(|host| uri.scheme() == Some(&host.scheme) && uri.authority().is_some_and(|it| *it == host.authority));
        if let Some(host) = known {
            return Ok(Arc::clone(host));
        }
        let nowhere = || Failure::Connect("the URL names no host".into());
        let (scheme, authority) = uri.scheme().zip(uri.authority()).ok_or_else(nowhere)?;
        let header = HeaderValue::from_str(authority.as_str()).map_err(|error| Failure::Connect(error.into()))?;
        let host = Arc::new(Host {
            scheme: scheme.clone(),
            authority: authority.clone(),
            header,
            proxy_authorization: self.connector.proxy_authorization(uri),
            open: Mutex::new(Open {
                is_opened_alone: *scheme == Scheme::HTTPS,
                idle: Vec::new(),
                shared: None,
                is_watched: false,
            }),
            dialing: tokio::sync::Mutex::default(),
        });
        if hosts.len() >= HOSTS_LIMIT {
            hosts.clear();
        }
        hosts.push(Arc::clone(&host));
        Ok(host)
    }

    /// Opens a connection, and gives whether it is new: another that was opened meanwhile may carry this request too.
    async fn open(
        &self,
        host: &Arc<Host>,
        uri: &Uri,
        opened_after: Option<Instant>,
    ) -> Result<(Connection, bool), Failure> {
        let mut alone = None;
        if lock(&host.open).is_opened_alone {
            alone = Some(host.dialing.lock().await);
            if let Some(connection) = host.take(opened_after) {
                return Ok((connection, false));
            }
            // Who waited for an attempt that failed does not wait for the next one too.
            if !lock(&host.open).is_opened_alone {
                alone = None;
            }
        }
        let opened = match self.connector.clone().call(uri.clone()).await {
            Ok(stream) => self.speak(stream).await.map_err(Failure::Http),
            Err(error) => Err(Failure::Connect(error)),
        };
        let mut open = lock(&host.open);
        open.is_opened_alone = matches!(opened, Ok(Connection::Http2(_)));
        if let Ok(Connection::Http2(sender)) = &opened {
            // What is still under way on the one before ends there.
            let now = Instant::now();
            open.shared = Some(Idle { connection: sender.clone(), opened: now, since: now });
            host.watch(&mut open);
        }
        drop(alone);
        Ok((opened?, true))
    }

    async fn speak(&self, stream: Stream) -> hyper::Result<Connection> {
        let is_proxy = stream.is_proxy;
        if stream.speaks_http2 {
            let (sender, connection) = self.http2.handshake(stream).await?;
            tokio::spawn(connection);
            return Ok(Connection::Http2(sender));
        }
        let (sender, connection) = self.http1.handshake(stream).await?;
        let opened = Instant::now();
        Ok(Connection::Http1(Http1 { sender, connection: Some(Box::new(connection)), opened, is_proxy }))
    }
}

impl Http1 {
    /// Waits until it takes a request.
    async fn ready(&mut self) -> hyper::Result<()> {
        if self.sender.is_ready() {
            return Ok(());
        }
        let Self { sender, connection, .. } = self;
        drive(connection, poll_fn(|context| sender.poll_ready(context))).await
    }

    /// Waits for something that comes on it.
    async fn drive<T>(&mut self, awaited: impl Future<Output = T>) -> T {
        drive(&mut self.connection, awaited).await
    }

    /// Sees what has happened since somebody last waited for something.
    fn is_open(&mut self) -> bool {
        advance(&mut self.connection, &mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && !self.sender.is_closed()
    }

    /// Ends it as its protocols want it, which may take a while.
    fn close(self) {
        drop(self.sender);
        if let Some(connection) = self.connection {
            tokio::spawn(connection);
        }
    }
}

async fn drive<C: Future + Unpin, T>(connection: &mut Option<C>, awaited: impl Future<Output = T>) -> T {
    let mut awaited = pin!(awaited);
    poll_fn(|context| {
        if advance(connection, context) {
            // Only the connection brings it on, so that nobody has to be woken for it.
            awaited.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        } else {
            awaited.as_mut().poll(context)
        }
    })
    .await
}

/// Gives whether the connection goes on.
fn advance<C: Future + Unpin>(connection: &mut Option<C>, context: &mut Context<'_>) -> bool {
    // How it ended, whoever waits for something on it is told.
    connection.take_if(|connection| Pin::new(connection).poll(context).is_ready());
    connection.is_some()
}

impl Host {
    /// A connection that is open as far as is known: of several the one that was used last, so that others get old.
    fn take(&self, opened_after: Option<Instant>) -> Option<Connection> {
        let mut open = lock(&self.open);
        open.shared.take_if(|shared| shared.connection.is_closed());
        if let Some(shared) = open.shared.as_mut().filter(|shared| shared.is_opened_after(opened_after)) {
            shared.since = Instant::now();
            return Some(Connection::Http2(shared.connection.clone()));
        }
        while let Some(last) = open.idle.iter().rposition(|idle| idle.is_opened_after(opened_after)) {
            let Idle { mut connection, .. } = open.idle.remove(last);
            if connection.is_open() {
                return Some(Connection::Http1(connection));
            }
        }
        None
    }

    /// HTTP/1.1 names the host in a header, and the rest in the first line; a proxy is told everything there.
    fn addressed(&self, mut request: Sent, is_proxy: bool) -> Sent {
        request.headers_mut().insert(HOST, self.header.clone());
        if let Some(authorization) = &self.proxy_authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        if !is_proxy {
            let path = request.uri_mut();
            if let Some(path_and_query) = path.path_and_query().cloned() {
                *path = Uri::from(path_and_query);
            }
        }
        request
    }

    fn keep(self: &Arc<Self>, connection: Http1, most: usize) {
        let mut open = lock(&self.open);
        let (opened, since) = (connection.opened, Instant::now());
        let kept = Idle { connection, opened, since };
        if kept.connection.sender.is_closed() {
            return kept.connection.close();
        }
        open.idle.push(kept);
        if open.idle.len() > most {
            // Requests that may not take an old one would have to open one each.
            let oldest = open.idle.iter().enumerate().min_by_key(|(_, idle)| idle.opened).map_or(0, |(at, _)| at);
            open.idle.remove(oldest).connection.close();
        }
        self.watch(&mut open);
    }

    fn watch(self: &Arc<Self>, open: &mut Open) {
        if !std::mem::replace(&mut open.is_watched, true) {
            tokio::spawn(watch_idle(Arc::downgrade(self)));
        }
    }

    /// Closes what is idle for too long, and lets go of what its server has closed. Gives whether anything is left to watch.
    fn close_idle(&self) -> bool {
        let mut open = lock(&self.open);
        let is_kept = |idle: &mut Idle<Http1>| idle.since.elapsed() < IDLE_FOR && idle.connection.is_open();
        open.idle.extract_if(.., |idle| !is_kept(idle)).for_each(|idle| idle.connection.close());
        // What is still under way on it ends before it closes.
        open.shared.take_if(|shared| shared.since.elapsed() >= IDLE_FOR || shared.connection.is_closed());
        open.is_watched = !open.idle.is_empty() || open.shared.is_some();
        open.is_watched
    }
}

impl Lease {
    /// Waits for something that comes on the connection.
    pub async fn drive<T>(&mut self, awaited: impl Future<Output = T>) -> T {
        self.connection.drive(awaited).await
    }

    /// Gives the connection back for the next request.
    pub fn keep(self) {
        if let Some(host) = self.host.upgrade() {
            host.keep(self.connection, self.most);
        }
    }
}

/// Looks at what is idle from time to time, until nothing is.
async fn watch_idle(host: Weak<Host>) {
    loop {
        tokio::time::sleep(IDLE_FOR / 2).await;
        let Some(host) = host.upgrade() else { return };
        if !host.close_idle() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;

    use super::super::connect::Proxies;
    use super::super::payload::Payload;
    use super::super::tls;
    use super::*;

    /// What became of the connections of a server, by their numbers.
    #[derive(Debug, PartialEq, Eq)]
    enum Event {
        Request(usize),
        /// By the client.
        Closed(usize),
        /// By the server.
        Ended(usize),
    }

    /// Answers each request with two bytes. A connection that has carried as many as it may is closed without a word.
    fn server(most: usize) -> (SocketAddr, mpsc::Receiver<Event>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (events, seen) = mpsc::channel();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let events = events.clone();
                thread::spawn(move || serve(stream.unwrap(), number, most, &events));
            }
        });
        (address, seen)
    }

    fn serve(mut stream: TcpStream, number: usize, most: usize, events: &mpsc::Sender<Event>) {
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        for _ in 0..most {
            while !received.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer).unwrap() {
                    0 => return events.send(Event::Closed(number)).unwrap_or_default(),
                    read => received.extend_from_slice(&buffer[..read]),
                }
            }
            received.clear();
            if events.send(Event::Request(number)).is_err() {
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        }
        drop(stream);
        let _ = events.send(Event::Ended(number));
    }

    fn connections() -> Connections {
        let tls = tls::client_config(&crate::config::Tls::default()).unwrap();
        let proxies = Proxies::new(None).unwrap();
        Connections::new(Connector::new(tls, proxies, Duration::from_secs(10)), 4, 100)
    }

    /// One exchange; its body is read to the end if `read` says so.
    async fn exchange(connections: &Connections, address: SocketAddr, read: bool) {
        let uri: Uri = format!("http://{address}/v2/").parse().unwrap();
        let request = || Request::builder().uri(&uri).body(Full::default()).unwrap();
        let (response, lease) = connections.send(&uri, None, request).await.unwrap();
        let (mut head, incoming) = response.into_parts();
        let mut payload = Payload::new(incoming, head.version, &mut head.headers, lease);
        while read && payload.chunk().await.unwrap().is_some() {}
    }

    async fn next(seen: &mpsc::Receiver<Event>) -> Event {
        for _ in 0..10_000 {
            match seen.try_recv() {
                Ok(event) => return event,
                // By the system's clock: the runtime's may stand still.
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
            tokio::task::yield_now().await;
        }
        panic!("nothing came");
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_body_was_read_and_closed_if_it_was_not() {
        let (address, seen) = server(usize::MAX);
        let connections = connections();
        for read in [true, true, false] {
            exchange(&connections, address, read).await;
            assert_eq!(next(&seen).await, Event::Request(0));
        }
        exchange(&connections, address, true).await;
        let both = [next(&seen).await, next(&seen).await];
        assert!(both.contains(&Event::Closed(0)) && both.contains(&Event::Request(1)), "{both:?}");
    }

    #[tokio::test]
    async fn what_a_server_closed_meanwhile_is_followed_by_a_new_connection() {
        let (address, seen) = server(1);
        let connections = connections();
        for number in 0..20 {
            exchange(&connections, address, true).await;
            assert_eq!(next(&seen).await, Event::Request(number));
            // hyper hears of it as soon as it looks; a request that is on its way by then is the caller's to repeat.
            assert_eq!(next(&seen).await, Event::Ended(number));
            let host = Arc::clone(&lock(&connections.hosts)[0]);
            for _ in 0..10_000 {
                if lock(&host.open).idle.iter_mut().all(|idle| !idle.connection.is_open()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    #[tokio::test]
    async fn what_is_idle_is_closed_in_time() {
        let (address, seen) = server(usize::MAX);
        let connections = connections();
        exchange(&connections, address, true).await;
        assert_eq!(next(&seen).await, Event::Request(0));
        tokio::time::pause();
        tokio::task::yield_now().await;
        for _ in 0..2 {
            assert!(seen.try_recv().is_err(), "closed too early");
            tokio::time::advance(IDLE_FOR / 2 + Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(next(&seen).await, Event::Closed(0));
        assert!(!lock(&lock(&connections.hosts)[0].open).is_watched);
    }

    #[tokio::test]
    async fn what_its_server_closes_while_it_is_idle_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            ended.recv().unwrap();
        });
        let connections = connections();
        exchange(&connections, address, true).await;
        let host = Arc::clone(&lock(&connections.hosts)[0]);
        assert!(host.close_idle(), "a connection that is open is kept");
        end.send(()).unwrap();
        for _ in 0..5_000 {
            if !host.close_idle() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("a connection is kept that its server has closed");
    }

    #[tokio::test]
    async fn a_request_takes_no_connection_that_was_opened_before_it_says() {
        let (address, seen) = server(usize::MAX);
        let connections = connections();
        exchange(&connections, address, true).await;
        assert_eq!(next(&seen).await, Event::Request(0));
        let (before, uri) = (Instant::now(), format!("http://{address}/").parse::<Uri>().unwrap());
        for number in [1, 1] {
            let request = || Request::builder().uri(&uri).body(Full::default()).unwrap();
            let (response, lease) = connections.send(&uri, Some(before), request).await.unwrap();
            let (mut head, incoming) = response.into_parts();
            let mut payload = Payload::new(incoming, head.version, &mut head.headers, lease);
            while payload.chunk().await.unwrap().is_some() {}
            assert_eq!(next(&seen).await, Event::Request(number), "opened once, then kept");
        }
    }

    #[tokio::test]
    async fn no_more_is_kept_than_may_be() {
        let (address, _seen) = server(usize::MAX);
        let connections = connections();
        let all = (0..20).map(|_| exchange(&connections, address, true));
        futures_util::future::join_all(all).await;
        assert_eq!(lock(&lock(&connections.hosts)[0].open).idle.len(), 4);
        for port in 1..200u16 {
            let uri = format!("http://127.0.0.1:{port}/").parse().unwrap();
            connections.host(&uri).unwrap();
        }
        assert!(lock(&connections.hosts).len() <= HOSTS_LIMIT);
    }
}

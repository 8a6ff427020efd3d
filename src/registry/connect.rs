//! Opens connections: directly or through a proxy, in the clear or inside TLS.

use std::error::Error;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::Url;

use super::dns::Names;

/// How the probe names itself.
pub const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("registry-integrity-probe/", env!("CARGO_PKG_VERSION")));
/// A peer that went away is noticed within about a minute.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;
/// What was sent and is not acknowledged within this time ends a connection.
const UNACKNOWLEDGED_FOR: Duration = Duration::from_secs(30);

/// Which proxy is asked for what: the one of the configuration for everything, or else those of the environment, as curl
/// reads them (`http_proxy`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
pub struct Proxies(Matcher);

impl Proxies {
    /// The configured proxy, or those of the environment; `None` if the configured one is of no use, since to go without
    /// it is not what was asked for.
    pub fn new(configured: Option<&Url>) -> Option<Self> {
        let Some(url) = configured else { return Some(Self(Matcher::from_env())) };
        let proxies = Self(Matcher::builder().all(url.as_str()).build());
        proxies.0.intercept(&Uri::from_static("http://registry/")).map(|_| proxies)
    }
}

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Parts>);

struct Parts {
    tcp: HttpConnector<Names>,
    names: Names,
    tls: Arc<ClientConfig>,
    /// The same without HTTP/2, which is not spoken with proxies.
    tls_to_proxies: Arc<ClientConfig>,
    proxies: Proxies,
    time: Duration,
}

impl Connector {
    /// A connector that gives up after some time.
    pub fn new(tls: ClientConfig, proxies: Proxies, time: Duration) -> Self {
        let names = Names::default();
        let mut tcp = HttpConnector::new_with_resolver(names.clone());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED_FOR));
        // Divided among the addresses of a name, so that one of several which is dead does not take it all.
        tcp.set_connect_timeout(Some(time));
        let mut tls_to_proxies = tls.clone();
        tls_to_proxies.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (tls, tls_to_proxies) = (Arc::new(tls), Arc::new(tls_to_proxies));
        Self(Arc::new(Parts { tcp, names, tls, tls_to_proxies, proxies, time }))
    }

    /// What a proxy that hands requests on is to be told with each of them; a tunnel says it when it is opened.
    pub fn proxy_authorization(&self, to: &Uri) -> Option<HeaderValue> {
        if to.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        self.0.proxies.0.intercept(to)?.basic_auth().cloned()
    }
}

type Failure = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let parts = Arc::clone(&self.0);
        Box::pin(async move {
            tokio::time::timeout(parts.time, parts.connect(&to)).await.map_err(|_| {
                let time = humantime::format_duration(parts.time);
                io::Error::new(io::ErrorKind::TimedOut, format!("it was not open after {time}"))
            })?
        })
    }
}

impl Parts {
    async fn connect(&self, to: &Uri) -> Result<Stream, Failure> {
        let is_https = to.scheme() == Some(&Scheme::HTTPS);
        let Some(proxy) = self.proxies.0.intercept(to) else {
            let io = self.dial(to).await?;
            return if is_https { secured(&self.tls, to, io).await } else { Ok(Stream::plain(io)) };
        };
        let io = self.dial(proxy.uri()).await?;
        let io = match proxy.uri().scheme_str() {
            Some("socks4" | "socks4a" | "socks5" | "socks5h") => self.through_socks(&proxy, to, io).await?,
            Some("https") => Box::new(secured(&self.tls_to_proxies, proxy.uri(), io).await?),
            _ => io,
        };
        let hands_on = matches!(proxy.uri().scheme_str(), Some("http" | "https"));
        match (is_https, hands_on) {
            (false, _) => Ok(Stream { is_proxy: hands_on, ..Stream::plain(io) }),
            (true, false) => secured(&self.tls, to, io).await,
            (true, true) => {
                let headers = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
                let mut tunnel = Tunnel::new(proxy.uri().clone(), Opened(Some(io))).with_headers(headers);
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                let io = tunnel.call(to.clone()).await?;
                secured(&self.tls, to, io).await
            }
        }
    }

    async fn dial(&self, to: &Uri) -> Result<Io, Failure> {
        Ok(Box::new(self.tcp.clone().call(to.clone()).await?))
    }

    /// `socks5h` and `socks4a` leave it to the proxy to look a name up.
    async fn through_socks(&self, proxy: &Intercept, to: &Uri, io: Io) -> Result<Io, Failure> {
        let scheme = proxy.uri().scheme_str().unwrap_or_default();
        let host = to.host().unwrap_or_default();
        // Written out, since the handshake takes 443 for the port of every URL without one.
        let port = to.port_u16().unwrap_or(if to.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
        let target = if matches!(scheme, "socks4" | "socks5") {
            let addresses = self.names.of(host.trim_matches(['[', ']'])).await?;
            let address = addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
            let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
            SocketAddr::new(address.ip(), port).to_string()
        } else {
            format!("{host}:{port}")
        };
        let target = Uri::builder().scheme("http").authority(target).path_and_query("/").build()?;
        let opened = Opened(Some(io));
        if scheme.starts_with("socks4") {
            return Ok(SocksV4::new(proxy.uri().clone(), opened).call(target).await?);
        }
        let mut socks = SocksV5::new(proxy.uri().clone(), opened);
        if let Some((username, password)) = proxy.raw_auth() {
            socks = socks.with_auth(username.to_string(), password.to_string());
        }
        Ok(socks.call(target).await?)
    }
}

async fn secured(tls: &Arc<ClientConfig>, to: &Uri, io: Io) -> Result<Stream, Failure> {
    let host = to.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_string())?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, TokioIo::new(io)).await?;
    let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Stream { io: Box::new(TokioIo::new(stream)), is_proxy: false, speaks_http2 })
}

/// Bytes both ways.
type Io = Box<dyn Duplex>;

trait Duplex: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Duplex for T {}

/// A connection that is open, for a handshake that thinks that it opens it.
struct Opened(Option<Io>);

impl Service<Uri> for Opened {
    type Response = Io;
    type Error = io::Error;
    type Future = Ready<io::Result<Io>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::Error::other("the connection is in use")))
    }
}

/// An open connection to a registry, or to the proxy that hands requests on to it.
pub struct Stream {
    io: Io,
    /// True if requests are handed on, to which the whole URL has to be told.
    pub is_proxy: bool,
    /// True if the server chose HTTP/2.
    pub speaks_http2: bool,
}

impl Stream {
    fn plain(io: Io) -> Self {
        Self { io, is_proxy: false, speaks_http2: false }
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

//! One HTTP exchange over reqwest: no redirect, no challenge and no retry of an answer. What is above it decides those.
#![expect(clippy::disallowed_types, reason = "the one place that sends requests to registries")]

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{HOST, HeaderMap, HeaderValue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Proxy};
use rustls::ClientConfig;
use tokio::time::Instant;
use url::{Host, Url};

use super::Trouble;
use super::payload::Payload;
use super::proxy::Proxies;
use crate::report::Cause;

/// How the probe names itself.
const USER_AGENT: &str = concat!("registry-integrity-probe/", env!("CARGO_PKG_VERSION"));
/// Opening a connection takes no longer, whatever an entire request may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// An idle connection is closed after this long.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// A peer that went away is noticed within about a minute.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;
/// A connection of HTTP/2 that leaves a ping unanswered for this long is closed.
const PING_LIMIT: Duration = Duration::from_secs(10);
/// Sent bytes that stay unacknowledged for this long end a connection.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_FOR: Duration = Duration::from_secs(30);

/// How the connections to a registry are made and kept.
pub struct Settings {
    /// The registry's own URL.
    pub registry: Url,
    /// TLS towards the registry's own host: its certificate authority, client certificate and server name.
    pub tls: ClientConfig,
    /// TLS towards any other host: the same authorities, but nothing of the probe's identity.
    pub foreign_tls: ClientConfig,
    /// The name of `tls_config.server_name`.
    pub server_name: Option<String>,
    pub proxies: Proxies,
    /// What an entire request may take.
    pub request_timeout: Duration,
    /// Idle connections that are kept for each host.
    pub connections: usize,
    /// Headers of a response that are read; a response with more is rejected.
    pub response_headers: usize,
}

/// Sends requests. Connections are pooled; one that hangs or has received GOAWAY is not used again.
pub struct Transport {
    settings: Settings,
    clients: Clients,
    /// Clients whose connections were all opened after a moment: see [`Transport::send`].
    newer: Mutex<Option<(Instant, Clients)>>,
}

#[derive(Clone)]
struct Clients {
    /// For the registry's own host.
    own: Client,
    /// Set where the TLS handshake names another host than the URL.
    alias: Option<String>,
    /// For the hosts of token services and of redirects.
    foreign: Client,
}

/// A response's head, and its body as it arrives.
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub payload: Payload,
    /// The host that answered, if a redirect led to another origin than the request's.
    pub redirected_to: Option<Box<str>>,
}

impl Transport {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// In words, if reqwest rejects the settings.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let clients = Clients::new(&settings).map_err(|error| innermost(&error))?;
        Ok(Self { settings, clients, newer: Mutex::default() })
    }

    /// Sends a request to an absolute URL, and gives the response, whatever its status. With `opened_after`, over a
    /// connection that was opened later: behind a balancer, an older one leads to the same replica again.
    ///
    /// # Errors
    ///
    /// [`Trouble`] if no response came, or none that is HTTP.
    pub async fn send(
        &self,
        mut request: reqwest::Request,
        opened_after: Option<Instant>,
    ) -> Result<Box<Response>, Trouble> {
        let clients = match opened_after {
            None => self.clients.clone(),
            Some(moment) => self.opened_after(moment)?,
        };
        let is_own = request.url().host() == self.settings.registry.host();
        if let Some(alias) = clients.alias.as_deref().filter(|_| is_own) {
            rename(&mut request, alias)?;
        }
        let client = if is_own { &clients.own } else { &clients.foreign };
        let response = client.execute(request).await.map_err(|error| explain(&error))?;
        let (mut head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let payload = Payload::new(body, head.version, &mut head.headers);
        Ok(Box::new(Response { status: head.status.as_u16(), headers: head.headers, payload, redirected_to: None }))
    }

    /// Clients without a connection from before a moment. They are shared by all requests whose moment has passed when the
    /// clients are made, so that confirming many objects opens few connections.
    fn opened_after(&self, moment: Instant) -> Result<Clients, Trouble> {
        let mut newer = self.newer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, clients)) = &*newer
            && *since >= moment
        {
            return Ok(clients.clone());
        }
        let clients = Clients::new(&self.settings).map_err(|error| Trouble::new(Cause::Protocol, innermost(&error)))?;
        *newer = Some((Instant::now(), clients.clone()));
        Ok(clients)
    }
}

impl Clients {
    fn new(settings: &Settings) -> reqwest::Result<Self> {
        let alias = alias(settings);
        let mut tls = settings.tls.clone();
        let own = match &alias {
            // In HTTP/2 the name of the handshake is also the `:authority` of each request, which has to be the URL's.
            Some(name) => {
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                let host = settings.registry.host_str().unwrap_or_default().to_string();
                common(settings).http1_only().dns_resolver(Alias { name: name.clone(), host })
            }
            None => common(settings),
        };
        let own = own.tls_backend_preconfigured(tls).build()?;
        let foreign = common(settings).tls_backend_preconfigured(settings.foreign_tls.clone()).build()?;
        Ok(Self { own, alias, foreign })
    }
}

/// What all clients have in common. Proxies, redirects and retries are decided here and above, never by reqwest.
fn common(settings: &Settings) -> ClientBuilder {
    let connect_limit = settings.request_timeout.min(CONNECT_LIMIT);
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(connect_limit)
        .pool_idle_timeout(IDLE_FOR)
        .pool_max_idle_per_host(settings.connections)
        .http1_max_headers(settings.response_headers)
        // A wedged connection is noticed within the time of two requests, so that their retries take another.
        .http2_keep_alive_interval(settings.request_timeout.min(KEEPALIVE))
        .http2_keep_alive_timeout(settings.request_timeout.min(PING_LIMIT))
        .http2_keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .tcp_keepalive_retries(KEEPALIVE_PROBES);
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(UNACKNOWLEDGED_FOR);
    if settings.proxies.is_empty() {
        return builder.no_proxy();
    }
    let proxies = settings.proxies.clone();
    builder.proxy(Proxy::custom(move |url| proxies.of(url).cloned()))
}

/// The host that requests are addressed to so that the TLS handshake names `tls_config.server_name`: reqwest takes that name
/// from the URL. A proxy would be asked for it, so that behind one only the certificate is checked against the name.
fn alias(settings: &Settings) -> Option<String> {
    let name = settings.server_name.as_deref().filter(|name| matches!(Host::parse(name), Ok(Host::Domain(_))))?;
    let is_direct = settings.registry.scheme() == "https" && settings.proxies.of(&settings.registry).is_none();
    (is_direct && settings.registry.host_str() != Some(name)).then(|| name.to_string())
}

/// Addresses a request to the alias, with the URL's own authority as its `Host`.
fn rename(request: &mut reqwest::Request, alias: &str) -> Result<(), Trouble> {
    let invalid = || Trouble::new(Cause::Protocol, "not a valid URL");
    let authority = match (request.url().host_str().ok_or_else(invalid)?, request.url().port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_string(),
    };
    let authority = HeaderValue::from_str(&authority).map_err(|_| invalid())?;
    request.headers_mut().insert(HOST, authority);
    request.url_mut().set_host(Some(alias)).map_err(|_| invalid())
}

/// Resolves the alias to the addresses of the registry's own host.
struct Alias {
    name: String,
    host: String,
}

impl Resolve for Alias {
    fn resolve(&self, name: Name) -> Resolving {
        let host =
            if name.as_str().eq_ignore_ascii_case(&self.name) { self.host.clone() } else { name.as_str().into() };
        Box::pin(async move {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The cause at the bottom of an error. The errors above it show URLs, and a presigned URL is a credential.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.is::<reqwest::Error>() { String::new() } else { innermost.to_string().chars().take(200).collect() }
}

/// Why there is no response, without the URL.
fn explain(error: &reqwest::Error) -> Trouble {
    let (mut is_parse, mut is_late) = (false, error.is_timeout());
    let mut source = error.source();
    while let Some(cause) = source {
        is_parse |= cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        is_late |= cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        source = cause.source();
    }
    let reason = innermost(error);
    if is_late {
        Trouble::new(Cause::Timeout, format!("no connection in time: {reason}"))
    } else if is_parse {
        Trouble::refusal(Cause::Protocol, format!("the answer is not HTTP: {reason}"))
    } else if error.is_connect() {
        Trouble::new(Cause::Unreachable, format!("no connection: {reason}"))
    } else {
        Trouble::refusal(Cause::Unreachable, format!("the connection broke before an answer: {reason}"))
    }
}

//! One exchange over HTTP. Every header that is sent stands here or is the caller's, but for what a connection wants: `Host`, and a
//! proxy's password.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::Uri;
use http::header::{HeaderMap, USER_AGENT};
use rustls::ClientConfig;
use tokio::time::Instant;
use url::Url;

use super::Trouble;
use super::connect::{AGENT, Connector, Proxies};
use super::connections::{Connections, Failure, Sent};
use super::payload::Payload;
use crate::report::Cause;

/// Opening a connection takes no longer, whatever a whole request may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How the connections to a registry are made and kept.
pub struct Settings {
    pub tls: ClientConfig,
    pub proxies: Proxies,
    /// What a whole request may take.
    pub request_timeout: Duration,
    /// Connections that are kept.
    pub connections: usize,
    /// Headers of an answer that are read; with more it is none.
    pub response_headers: usize,
}

/// Sends requests and follows nothing: no redirect, no challenge.
pub struct Transport(Connections);

/// An answer's head, and its body as it comes. It is handed on through many hands, in a place of its own so that none copies it.
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub payload: Payload,
    /// The host that answered, if a redirect led to another one than the request names.
    pub redirected_to: Option<Box<str>>,
}

impl Transport {
    /// Connects to nothing yet.
    pub fn new(settings: Settings) -> Self {
        let time = settings.request_timeout.min(CONNECT_LIMIT);
        let connector = Connector::new(settings.tls, settings.proxies, time);
        Self(Connections::new(connector, settings.connections, settings.response_headers))
    }

    /// Sends the request that `request` makes to an absolute URL, and gives what comes back, whatever its status. With
    /// `opened_after`, over a connection that was opened later.
    ///
    /// # Errors
    ///
    /// [`Trouble`] if nothing came, or nothing that is HTTP.
    pub async fn send(
        &self,
        uri: &Uri,
        opened_after: Option<Instant>,
        request: impl Fn() -> Sent + Send,
    ) -> Result<Box<Response>, Trouble> {
        let named = move || {
            let mut request = request();
            request.headers_mut().insert(USER_AGENT, AGENT);
            request
        };
        let (response, lease) = self.0.send(uri, opened_after, named).await.map_err(|failure| explain(&failure))?;
        let (mut head, incoming) = response.into_parts();
        let payload = Payload::new(incoming, head.version, &mut head.headers, lease);
        Ok(Box::new(Response { status: head.status.as_u16(), headers: head.headers, payload, redirected_to: None }))
    }
}

/// An absolute URL as HTTP sends it, without a user's name or password.
///
/// # Errors
///
/// [`Trouble`] if it holds what no request can hold.
pub fn uri_of(url: &Url) -> Result<Uri, Trouble> {
    let mut url = url.clone();
    // Both fail only where there is no host, which is found out below.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    let uri = Uri::try_from(String::from(url)).ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    uri.ok_or_else(|| Trouble::new(Cause::Protocol, "a URL that cannot be asked for"))
}

/// What went wrong, without the URL: a presigned one is a credential.
fn explain(failure: &Failure) -> Trouble {
    let (mut is_nonsense, mut is_late) = (false, false);
    let mut innermost: Option<&(dyn Error + 'static)> = None;
    let mut source = failure.source();
    while let Some(cause) = source {
        is_nonsense |= cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        is_late |= cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        innermost = Some(cause);
        source = cause.source();
    }
    let reason: String = innermost.map(|cause| cause.to_string().chars().take(200).collect()).unwrap_or_default();
    if is_late {
        Trouble::new(Cause::Timeout, format!("no connection in time: {reason}"))
    } else if is_nonsense {
        Trouble::refusal(Cause::Protocol, format!("the answer is not HTTP: {reason}"))
    } else if matches!(failure, Failure::Connect(_)) {
        Trouble::new(Cause::Unreachable, format!("no connection: {reason}"))
    } else {
        Trouble::refusal(Cause::Unreachable, format!("the connection broke before an answer: {reason}"))
    }
}

//! Middleware of the web configuration: rate limit, headers and users.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::web::config::{Admission, LiveWebConfig, Passwords, WebConfig};

/// The address of the client.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The web configuration and the cache of successful logins.
pub struct Guard {
    /// The web configuration.
    pub config: LiveWebConfig,
    passwords: Passwords,
}

impl Guard {
    /// A guard for this configuration.
    ///
    /// # Errors
    ///
    /// If the system provides no random numbers.
    pub fn new(config: LiveWebConfig) -> Result<Self, &'static str> {
        Ok(Self { config, passwords: Passwords::new()? })
    }
}

/// Passes a request on, or rejects it.
pub async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let config = guard.config.current().await;
    let peer = request.extensions().get().copied();
    let mut response = match rejection(&guard, &config, peer, request.headers()).await {
        Some(rejection) => rejection,
        None => next.run(request).await,
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn rejection(guard: &Guard, config: &WebConfig, peer: Option<Peer>, headers: &HeaderMap) -> Option<Response> {
    if let Some(limit) = &config.rate_limit
        && !limit.admits(Instant::now())
    {
        let seconds = limit.interval().as_secs_f64().ceil();
        return Some(too_many("Too Many Requests\n", seconds as u64));
    }
    if config.users.is_empty() {
        return None;
    }
    let Some(Peer(client)) = peer else { return Some(unauthorized()) };
    let Some((user, password)) = credentials(headers) else { return Some(unauthorized()) };
    match guard.passwords.check(&config.users, client, &user, &password).await {
        Admission::Admitted => None,
        Admission::Refused => Some(unauthorized()),
        Admission::Busy => Some(too_many("too many logins in progress; try again later\n", 1)),
    }
}

fn too_many(why: &'static str, seconds: u64) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, HeaderValue::from(seconds))], why).into_response()
}

fn unauthorized() -> Response {
    let challenge = r#"Basic realm="registry-integrity-probe", charset="UTF-8""#;
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], "Unauthorized\n").into_response()
}

/// The user name ends at the first colon (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

//! Bearer tokens, one for each scope, from a registry's token service (distribution's "Token Authentication").

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::login::Login;
use crate::oci::Object;
use crate::registry::Trouble;
use crate::report::Cause;

/// How long a token is good for if its service does not say (distribution's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// A refused login is not shown for the same scope again within this time: repeated refusals lock accounts.
const REFUSAL_KEPT: Duration = Duration::from_secs(60);
/// Tokens of at most this many scopes are kept; a registry with more repositories has older ones fetched again.
const TOKENS_KEPT: usize = 4096;

/// The tokens of one registry.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<String, Slot>>);

/// One scope's token. The lock is held while it is fetched, so that a hundred requests of one scope fetch one token.
pub type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// The last outcome of a request for a scope's token.
pub enum Kept {
    /// A token.
    Token(Token),
    /// The service refused this login.
    Refused {
        /// The login.
        login: Arc<Login>,
        /// When.
        at: Instant,
        /// The service's status.
        status: u16,
    },
}

/// A token and its lifetime.
#[derive(Clone)]
pub struct Token {
    /// The `Authorization` header.
    pub header: HeaderValue,
    /// The scope that was asked for.
    scope: Option<String>,
    refresh_at: Instant,
}

/// Where a registry's tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// URL of the token service.
    pub realm: Url,
    /// The service to name there.
    pub service: Option<String>,
}

/// Why there is no token.
#[derive(Debug)]
pub enum TokenError {
    /// The service answered 401 or 403.
    Refused(u16),
    /// There was no answer, or none with a token.
    Trouble(Trouble),
}

/// Sends requests on behalf of an authenticator. The HTTP client implements it, so that limits and counters apply.
pub trait AuthRequests {
    /// Requests a token with an `Authorization` header and, for an OAuth 2 grant, a form: the status and the body.
    fn token(
        &self,
        url: Url,
        authorization: Option<HeaderValue>,
        form: Option<String>,
    ) -> impl Future<Output = Result<(u16, Vec<u8>), Trouble>> + Send;

    /// Requests `GET /v2/`; `None` if a redirect led to another host.
    fn base(
        &self,
        authorization: Option<&HeaderValue>,
    ) -> impl Future<Output = Result<Option<(u16, http::HeaderMap)>, Trouble>> + Send;
}

impl Tokens {
    /// The place of a scope's token.
    pub fn slot(&self, scope: &str) -> Slot {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_KEPT && !tokens.contains_key(scope) {
            tokens.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(tokens.entry(scope.to_string()).or_default())
    }
}

impl Kept {
    /// The token, unless it ends soon or is the one that was refused.
    pub fn usable(&self, refused: Option<&HeaderValue>) -> Option<&HeaderValue> {
        match self {
            Self::Token(token) => {
                Some(&token.header).filter(|header| Some(*header) != refused && Instant::now() < token.refresh_at)
            }
            Self::Refused { .. } => None,
        }
    }

    /// The scope of the token, which a challenge may have widened.
    pub fn scope(&self) -> Option<String> {
        match self {
            Self::Token(token) => token.scope.clone(),
            Self::Refused { .. } => None,
        }
    }

    /// The service's status if it refused this login lately.
    pub fn refusal(&self, login: &Login) -> Option<u16> {
        match self {
            Self::Refused { login: refused, at, status } if at.elapsed() < REFUSAL_KEPT && refused.is_same(login) => {
                Some(*status)
            }
            _ => None,
        }
    }
}

impl TokenError {
    /// As a request reports it.
    pub fn for_scope(self, scope: &str) -> Trouble {
        match self {
            Self::Trouble(trouble) => trouble,
            Self::Refused(status) => {
                Trouble::new(Cause::Unauthorized, format!("the token service answered {status} for {scope}"))
            }
        }
    }
}

/// The header of a Basic login.
///
/// # Errors
///
/// [`Cause::Unauthorized`] if no header can hold it.
pub fn basic_header(username: &str, password: &SecretString) -> Result<HeaderValue, Trouble> {
    sensitive(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose_secret()))))
}

/// A header that is never shown.
///
/// # Errors
///
/// [`Cause::Unauthorized`] if the text holds what no header may hold.
pub fn sensitive(text: &str) -> Result<HeaderValue, Trouble> {
    let mut header = HeaderValue::from_str(text).map_err(|_| {
        Trouble::new(Cause::Unauthorized, "the credentials hold characters that no HTTP header may hold")
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// Fetches a token; without a scope, one that shows only that the login is accepted.
///
/// # Errors
///
/// [`TokenError`] if the service gives none.
pub async fn fetch(
    login: &Login,
    scope: Option<&str>,
    source: &TokenSource,
    requests: &impl AuthRequests,
) -> Result<Token, TokenError> {
    let began = Instant::now();
    let (status, body) = match login {
        Login::IdentityToken { username, token } => {
            let form = refresh_form(token, scope, source);
            match requests.token(source.realm.clone(), None, Some(form)).await.map_err(TokenError::Trouble)? {
                // A service without OAuth 2; GET is the method that all of them know.
                (404 | 405, _) => get(Some((username.as_str(), token)), scope, source, requests).await?,
                answer => answer,
            }
        }
        Login::Password { username, password } => get(Some((username, password)), scope, source, requests).await?,
        Login::Anonymous | Login::Header(_) => get(None, scope, source, requests).await?,
    };
    let trouble = |cause, detail: String| TokenError::Trouble(Trouble::new(cause, detail));
    match status {
        200..=299 => {}
        401 | 403 => return Err(TokenError::Refused(status)),
        429 => return Err(trouble(Cause::RateLimited, "the token service answered 429".to_string())),
        500..=599 => return Err(trouble(Cause::ServerError, format!("the token service answered {status}"))),
        _ => return Err(trouble(Cause::Protocol, format!("the token service answered {status}"))),
    }
    // Nothing of the body is quoted: it may hold a token.
    let rubbish = || trouble(Cause::Protocol, "the token service's answer holds no token".to_string());
    let (header, lifetime) = read_token(&body).ok_or_else(rubbish)?;
    // A fifth of its life early: it must still be good when the registry checks it.
    Ok(Token { header, scope: scope.map(str::to_string), refresh_at: began + lifetime.mul_f64(0.8) })
}

fn refresh_form(token: &SecretString, scope: Option<&str>, source: &TokenSource) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token")
        .append_pair("client_id", "registry-integrity-probe")
        .append_pair("refresh_token", token.expose_secret());
    scope.map(|scope| form.append_pair("scope", scope));
    source.service.as_ref().map(|service| form.append_pair("service", service));
    form.finish()
}

async fn get(
    login: Option<(&str, &SecretString)>,
    scope: Option<&str>,
    source: &TokenSource,
    requests: &impl AuthRequests,
) -> Result<(u16, Vec<u8>), TokenError> {
    let header = login.map(|(username, password)| basic_header(username, password)).transpose();
    let mut url = source.realm.clone();
    if source.service.is_some() || scope.is_some() {
        let mut query = url.query_pairs_mut();
        source.service.as_ref().map(|service| query.append_pair("service", service));
        scope.map(|scope| query.append_pair("scope", scope));
    }
    requests.token(url, header.map_err(TokenError::Trouble)?, None).await.map_err(TokenError::Trouble)
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

/// The `Authorization` header that a token service's answer allows, and for how long; `None` if it makes no sense.
pub(in crate::registry) fn read_token(body: &[u8]) -> Option<(HeaderValue, Duration)> {
    let Object(TokenAnswer { token, access_token, expires_in }) = serde_json::from_slice(body).ok()?;
    let is_said = |token: &String| !token.is_empty();
    let token = token.filter(is_said).or(access_token.filter(is_said))?;
    let lifetime = match expires_in {
        Some(seconds) if seconds > 0.0 => Duration::from_secs_f64(seconds.min(86_400.0)),
        _ => DEFAULT_LIFETIME,
    };
    Some((sensitive(&format!("Bearer {token}")).ok()?, lifetime))
}

//! Answers a registry's challenges: Basic, or a Bearer token for each scope from a token service.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::Trouble;
use super::challenge::{Challenge, parse_challenges};
use super::credentials::{self, Login};
use crate::config::Credentials;
use crate::oci::Object;
use crate::report::Cause;

/// How long a token is good for if its service does not say (distribution's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// Tokens of at most this many scopes are kept; a registry with more repositories has older ones fetched again.
const TOKENS_KEPT: usize = 4096;
/// Actions that a challenge may name: distribution's, and Azure's for lists.
const READING: [&str; 2] = ["pull", "metadata_read"];

/// Knows how to authorize requests to one registry.
pub struct Authenticator {
    credentials: Credentials,
    /// The registry's URL: the realm is resolved against it, and credentials are looked up by its host.
    registry: Url,
    scheme: Mutex<Option<Scheme>>,
    tokens: Mutex<HashMap<String, TokenSlot>>,
}

/// One scope's token. The lock is held while it is fetched, so that a hundred requests of one scope fetch one token.
type TokenSlot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// What the registry has asked for.
#[derive(Clone)]
enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    refresh_at: Instant,
}

/// Sends a request to a token service. The HTTP client implements it, so that limits and counters hold there too.
pub trait TokenService {
    /// Asks with an `Authorization` header and, for an OAuth 2 grant, a form; gives the status and the body.
    fn fetch(
        &self,
        url: Url,
        authorization: Option<HeaderValue>,
        form: Option<String>,
    ) -> impl Future<Output = Result<(u16, Vec<u8>), Trouble>> + Send;
}

impl Authenticator {
    /// An authenticator that has met no challenge yet.
    pub fn new(credentials: Credentials, registry: Url) -> Self {
        Self { credentials, registry, scheme: Mutex::default(), tokens: Mutex::default() }
    }

    /// The `Authorization` header for a request of a scope, by what the registry has asked for so far.
    pub async fn authorize(
        &self,
        scope: &(impl Display + ?Sized),
        service: &impl TokenService,
    ) -> Result<Option<HeaderValue>, Trouble> {
        if let Credentials::Authorization { .. } = self.credentials {
            return match self.login(&scope.to_string()).await? {
                Login::Header(header) => Ok(Some(sensitive(header.expose_secret())?)),
                _ => Ok(None),
            };
        }
        match self.scheme() {
            None => Ok(None),
            Some(Scheme::Basic) => self.basic(&scope.to_string()).await,
            Some(Scheme::Bearer { realm, service: name }) => {
                let scope = &scope.to_string();
                self.token(scope, scope, &realm, name.as_deref(), None, service).await.map(Some)
            }
        }
    }

    /// Answers a 401: another `Authorization` header to try, or `None` if there is nothing else to say than what was
    /// sent already.
    pub async fn answer(
        &self,
        headers: &HeaderMap,
        scope: &str,
        sent: Option<&HeaderValue>,
        service: &impl TokenService,
    ) -> Result<Option<HeaderValue>, Trouble> {
        if let Credentials::Authorization { .. } = self.credentials {
            let again = self.authorize(scope, service).await?;
            return Ok(again.filter(|header| Some(header) != sent));
        }
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        match parse_challenges(challenges) {
            None => Ok(None),
            Some(Challenge::Basic) => {
                self.set_scheme(Scheme::Basic);
                Ok(self.basic(scope).await?.filter(|header| Some(header) != sent))
            }
            Some(Challenge::Bearer { realm, service: name, scope: asked }) => {
                let realm = self.realm(&realm)?;
                self.set_scheme(Scheme::Bearer { realm: realm.clone(), service: name.clone() });
                let asked = asked.filter(|asked| only_reads_the_same(asked, scope));
                let asked = asked.unwrap_or_else(|| scope.to_string());
                self.token(scope, &asked, &realm, name.as_deref(), sent, service).await.map(Some)
            }
        }
    }

    fn scheme(&self) -> Option<Scheme> {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_scheme(&self, scheme: Scheme) {
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
    }

    /// Reads the credentials off the executor's threads: a file may lie on a slow mount.
    async fn login(&self, scope: &str) -> Result<Login, Trouble> {
        let credentials = self.credentials.clone();
        let host = host_and_port(&self.registry);
        let repository = repository_of(scope).map(str::to_string);
        let unauthorized = |error: &dyn std::fmt::Display| Trouble::new(Cause::Unauthorized, error.to_string());
        tokio::task::spawn_blocking(move || credentials::login(&credentials, &host, repository.as_deref()))
            .await
            .map_err(|error| unauthorized(&error))?
            .map_err(|error| unauthorized(&error))
    }

    async fn basic(&self, scope: &str) -> Result<Option<HeaderValue>, Trouble> {
        match self.login(scope).await? {
            Login::Password { username, password } => basic_header(&username, &password).map(Some),
            Login::Anonymous | Login::IdentityToken(_) | Login::Header(_) => Ok(None),
        }
    }

    /// The token service's URL. A registry behind TLS must not make the probe say its password in the clear.
    fn realm(&self, realm: &str) -> Result<Url, Trouble> {
        let realm = self
            .registry
            .join(realm)
            .map_err(|_| Trouble::new(Cause::Protocol, "the challenge names a token service that is no URL"))?;
        match (self.registry.scheme(), realm.scheme()) {
            (_, "https") | ("http", "http") => Ok(realm),
            _ => Err(Trouble::new(Cause::Protocol, "the challenge names a token service that is not https")),
        }
    }

    async fn token(
        &self,
        key: &str,
        scope: &str,
        realm: &Url,
        service_name: Option<&str>,
        refused: Option<&HeaderValue>,
        service: &impl TokenService,
    ) -> Result<HeaderValue, Trouble> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some(token) = &*slot
            && Some(&token.header) != refused
            && Instant::now() < token.refresh_at
        {
            return Ok(token.header.clone());
        }
        *slot = None;
        // Once in a token's lifetime: apart, so that what every request carries with it stays small.
        let token = Box::pin(fetch(self.login(scope).await?, scope, realm, service_name, service)).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }

    fn slot(&self, key: &str) -> TokenSlot {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_KEPT && !tokens.contains_key(key) {
            tokens.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(tokens.entry(key.to_string()).or_default())
    }
}

/// The host, with its port if one is written: the name under which credentials are kept.
fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

/// The repository of a scope such as `repository:team/app:pull`.
fn repository_of(scope: &str) -> Option<&str> {
    scope.strip_prefix("repository:")?.rsplit_once(':').map(|(repository, _)| repository)
}

/// True if a challenge's scope is for what the probe wants to read, and for nothing else. The registry chooses the scope and
/// is then shown the token: it shall get none for another repository, and none that can write.
fn only_reads_the_same(asked: &str, wanted: &str) -> bool {
    let Some(((asked_of, actions), (wanted_of, _))) = asked.rsplit_once(':').zip(wanted.rsplit_once(':')) else {
        return false;
    };
    asked == wanted || (asked_of == wanted_of && actions.split(',').all(|action| READING.contains(&action)))
}

fn basic_header(username: &str, password: &SecretString) -> Result<HeaderValue, Trouble> {
    sensitive(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose_secret()))))
}

fn sensitive(text: &str) -> Result<HeaderValue, Trouble> {
    let mut header = HeaderValue::from_str(text).map_err(|_| {
        Trouble::new(Cause::Unauthorized, "the credentials hold characters that no HTTP header may hold")
    })?;
    header.set_sensitive(true);
    Ok(header)
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

async fn fetch(
    login: Login,
    scope: &str,
    realm: &Url,
    service_name: Option<&str>,
    service: &impl TokenService,
) -> Result<Token, Trouble> {
    let mut url = realm.clone();
    let (authorization, form) = match login {
        Login::IdentityToken(token) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "registry-integrity-probe")
                .append_pair("refresh_token", token.expose_secret())
                .append_pair("scope", scope);
            service_name.map(|name| form.append_pair("service", name));
            (None, Some(form.finish()))
        }
        login => {
            let mut query = url.query_pairs_mut();
            service_name.map(|name| query.append_pair("service", name));
            query.append_pair("scope", scope);
            drop(query);
            match login {
                Login::Password { username, password } => (Some(basic_header(&username, &password)?), None),
                _ => (None, None),
            }
        }
    };
    let asked_at = Instant::now();
    let (status, body) = service.fetch(url, authorization, form).await?;
    match status {
        200..=299 => {}
        401 | 403 => {
            return Err(Trouble::new(Cause::Unauthorized, format!("the token service answered {status} for {scope}")));
        }
        429 => return Err(Trouble::new(Cause::RateLimited, "the token service answered 429")),
        500..=599 => return Err(Trouble::new(Cause::ServerError, format!("the token service answered {status}"))),
        _ => return Err(Trouble::new(Cause::Protocol, format!("the token service answered {status}"))),
    }
    // Nothing of the body is quoted: it may hold a token.
    let rubbish = || Trouble::new(Cause::Protocol, "the token service's answer holds no token");
    let (header, lifetime) = read_token(&body).ok_or_else(rubbish)?;
    // A fifth of its life early: it must still be good when the request that carries it is looked at.
    Ok(Token { header, refresh_at: asked_at + lifetime.mul_f64(0.8) })
}

/// The `Authorization` header that a token service's answer allows, and for how long; `None` if it makes no sense.
pub(super) fn read_token(body: &[u8]) -> Option<(HeaderValue, Duration)> {
    let Object(TokenAnswer { token, access_token, expires_in }) = serde_json::from_slice(body).ok()?;
    let is_said = |token: &String| !token.is_empty();
    let token = token.filter(is_said).or(access_token.filter(is_said))?;
    let lifetime = match expires_in {
        Some(seconds) if seconds > 0.0 => Duration::from_secs_f64(seconds.min(86_400.0)),
        _ => DEFAULT_LIFETIME,
    };
    Some((sensitive(&format!("Bearer {token}")).ok()?, lifetime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    /// Hands out numbered tokens, and remembers how it was asked.
    #[derive(Default)]
    struct Service {
        asked: Mutex<Vec<(String, Option<String>)>>,
        status: u16,
        expires_in: f64,
    }

    impl TokenService for Service {
        async fn fetch(
            &self,
            url: Url,
            authorization: Option<HeaderValue>,
            form: Option<String>,
        ) -> Result<(u16, Vec<u8>), Trouble> {
            tokio::task::yield_now().await;
            let mut asked = self.asked.lock().unwrap();
            let authorization = authorization.map(|header| header.to_str().unwrap().to_string());
            asked.push((form.unwrap_or_else(|| url.to_string()), authorization));
            let body = format!(r#"{{"access_token":"t{}","expires_in":{}}}"#, asked.len(), self.expires_in);
            Ok((self.status, body.into_bytes()))
        }
    }

    fn service() -> Service {
        Service { status: 200, expires_in: 300.0, ..Service::default() }
    }

    fn challenge(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_str(text).unwrap())])
    }

    fn authenticator() -> Authenticator {
        let credentials =
            Credentials::Basic { username: Secret::Inline("u".into()), password: Secret::Inline("p".into()) };
        Authenticator::new(credentials, "https://r.example/".parse().unwrap())
    }

    const BEARER: &str = r#"Bearer realm="/token",service="s",scope="repository:a:pull""#;

    #[tokio::test]
    async fn a_scope_s_token_is_fetched_once_and_again_when_it_is_refused() {
        let (auth, service) = (authenticator(), service());
        assert_eq!(auth.authorize("repository:a:pull", &service).await.unwrap(), None);
        let first = auth.answer(&challenge(BEARER), "repository:a:pull", None, &service).await.unwrap().unwrap();
        assert_eq!(first, "Bearer t1");
        let (x, y) =
            tokio::join!(auth.authorize("repository:b:pull", &service), auth.authorize("repository:b:pull", &service));
        assert_eq!(
            (x.unwrap().unwrap(), y.unwrap().unwrap()),
            ("Bearer t2".parse().unwrap(), "Bearer t2".parse().unwrap())
        );
        let renewed =
            auth.answer(&challenge(BEARER), "repository:a:pull", Some(&first), &service).await.unwrap().unwrap();
        assert_eq!(renewed, "Bearer t3");
        let asked = service.asked.lock().unwrap();
        assert_eq!(asked[0].0, "https://r.example/token?service=s&scope=repository%3Aa%3Apull");
        assert_eq!(asked[0].1.as_deref(), Some("Basic dTpw"));
        assert_eq!(asked.len(), 3);
    }

    #[tokio::test]
    async fn a_challenge_gets_no_token_for_another_repository_and_none_that_can_write() {
        let own = "repository:team/app:pull";
        for (asked, granted) in [
            (own, own),
            ("repository:team/app:metadata_read", "repository:team/app:metadata_read"),
            ("repository:team/app:pull,push", own),
            ("repository:team/app:*", own),
            ("repository:team/app:", own),
            ("repository:team/app", own),
            ("repository:team/other:pull", own),
            ("repository:team/app/inner:pull", own),
            ("repository:team:pull", own),
            ("repository:team/app:pull repository:team/other:pull", own),
            ("registry:catalog:*", own),
            ("", own),
        ] {
            let (auth, service) = (authenticator(), service());
            let challenge = challenge(&format!("Bearer realm=\"/token\",scope=\"{asked}\""));
            auth.answer(&challenge, own, None, &service).await.unwrap();
            let url: Url = service.asked.lock().unwrap()[0].0.parse().unwrap();
            let scopes: Vec<_> =
                url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, scope)| scope).collect();
            assert_eq!(scopes, [granted], "{asked}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_ends() {
        let (auth, service) = (authenticator(), Service { expires_in: 0.000_001, ..service() });
        auth.answer(&challenge(BEARER), "a", None, &service).await.unwrap();
        let again = auth.authorize("a", &service).await.unwrap().unwrap();
        assert_eq!(again, "Bearer t2");
    }

    #[tokio::test]
    async fn basic_is_said_once_asked_for_and_not_again_when_refused() {
        let (auth, service) = (authenticator(), service());
        let header = auth.answer(&challenge("Basic realm=x"), "a", None, &service).await.unwrap().unwrap();
        assert_eq!(header, "Basic dTpw");
        assert_eq!(auth.authorize("a", &service).await.unwrap().as_ref(), Some(&header));
        assert_eq!(auth.answer(&challenge("Basic realm=x"), "a", Some(&header), &service).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_password_is_never_sent_in_the_clear_for_a_registry_behind_tls() {
        let (auth, service) = (authenticator(), service());
        for realm in ["http://r.example/token", "ftp://x/", "//[/"] {
            let trouble =
                auth.answer(&challenge(&format!("Bearer realm=\"{realm}\"")), "a", None, &service).await.unwrap_err();
            assert_eq!(trouble.cause, Cause::Protocol, "{realm}");
        }
        assert!(service.asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_refusing_token_service_is_unauthorized_and_a_broken_one_is_not() {
        for (status, cause) in [(401, Cause::Unauthorized), (503, Cause::ServerError), (404, Cause::Protocol)] {
            let service = Service { status, ..service() };
            let trouble = authenticator().answer(&challenge(BEARER), "a", None, &service).await.unwrap_err();
            assert_eq!(trouble.cause, cause);
        }
    }
}

//! Authorizes requests to one registry: Basic, or a Bearer token for each scope from a token service.

pub(super) mod challenge;
pub(super) mod credentials;
pub(super) mod docker_config;
pub(super) mod error;
pub(super) mod helper;
pub(super) mod introduce;
pub(super) mod introduction;
pub(super) mod login;
pub(super) mod login_cache;
pub(super) mod requests;
pub(super) mod schemes;
pub(super) mod secret_file;
pub(super) mod tokens;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use secrecy::ExposeSecret;
use url::Url;

use self::challenge::{Challenge, parse_challenges};
use self::docker_config::Host;
use self::introduction::Introduction;
use self::login::Login;
use self::login_cache::LoginCache;
use self::schemes::{Scheme, Schemes, Scope};
use self::tokens::{AuthRequests, Kept, TokenError, TokenSource, Tokens, basic_header, fetch, sensitive};
use crate::config::Credentials;
use crate::registry::Trouble;
use crate::report::Cause;

/// Actions that a challenge may name: distribution's, and Azure's for lists.
const READING: [&str; 2] = ["pull", "metadata_read"];

/// Knows how to authorize requests to one registry.
pub struct Authenticator {
    pub(in crate::registry) has_credentials: bool,
    /// True if the credentials come from where docker and podman keep them, which may know nothing of this registry.
    pub(in crate::registry) may_lack_login: bool,
    /// True if the configuration has the header itself, which no challenge changes.
    has_header: bool,
    /// The registry's URL: the realm is resolved against it.
    registry: Url,
    pub(in crate::registry) logins: LoginCache,
    schemes: Mutex<Schemes>,
    tokens: Tokens,
    pub(in crate::registry) introduction: Introduction,
}

impl Authenticator {
    /// An authenticator that has met no challenge yet.
    pub fn new(credentials: Credentials, registry: Url) -> Self {
        Self {
            has_credentials: !matches!(credentials, Credentials::None),
            has_header: matches!(credentials, Credentials::Authorization { .. }),
            may_lack_login: matches!(credentials, Credentials::DockerConfigs(_)),
            logins: LoginCache::new(credentials, Host::of(&registry)),
            registry,
            schemes: Mutex::default(),
            tokens: Tokens::default(),
            introduction: Introduction::default(),
        }
    }

    /// The `Authorization` header for a request of a scope, as far as the registry's challenges are known.
    ///
    /// # Errors
    ///
    /// [`Trouble`] if the credentials cannot be read, or the token service gives no token.
    pub async fn authorize(&self, scope: &Scope, requests: &impl AuthRequests) -> Result<Option<HeaderValue>, Trouble> {
        if self.has_header {
            return header_of(&*self.login(scope).await?);
        }
        let scheme = self.schemes().of(scope);
        match scheme {
            Some(Scheme::Bearer(source)) => self.token(scope, None, &source, None, requests).await.map(Some),
            Some(Scheme::Basic) if self.has_credentials => header_of(&*self.login(scope).await?),
            Some(Scheme::Basic) | None => Ok(None),
        }
    }

    /// Answers a 401: another `Authorization` header to try. `None` if there is none but the one that was sent.
    ///
    /// # Errors
    ///
    /// [`Trouble`] if the credentials cannot be read, or the token service gives no token.
    pub async fn answer(
        &self,
        headers: &HeaderMap,
        scope: &Scope,
        sent: Option<&HeaderValue>,
        requests: &impl AuthRequests,
    ) -> Result<Option<HeaderValue>, Trouble> {
        let accepted_bearer = self.schemes().accepted_bearer(scope).filter(|_| is_of(sent, "Bearer "));
        let answer = match challenge_of(headers) {
            _ if self.has_header => self.password(scope, sent).await?,
            Some(Challenge::Bearer { realm, service, scope: asked }) => {
                let source = Arc::new(TokenSource { realm: self.realm(&realm)?, service });
                self.schemes().challenged(scope, Scheme::Bearer(Arc::clone(&source)));
                let asked = asked.and_then(|asked| also_reading(&asked, &scope.to_string()));
                Some(self.token(scope, asked, &source, sent, requests).await?)
            }
            Some(Challenge::Basic) => match accepted_bearer {
                // Harbor challenges with Basic whatever it refuses, also an expired token.
                Some(source) => Some(self.token(scope, None, &source, sent, requests).await?),
                None => {
                    self.schemes().challenged(scope, Scheme::Basic);
                    self.password(scope, sent).await?
                }
            },
            None if is_of(sent, "Basic ") => self.password(scope, sent).await?,
            None => None,
        };
        if answer.is_none() && sent.is_some() {
            self.introduction.distrust();
        }
        Ok(answer)
    }

    /// Notes that the registry accepted the `Authorization` header of a request.
    pub fn accepted(&self, scope: &Scope, sent: &HeaderValue) {
        self.schemes().accepted(scope, is_of(Some(sent), "Basic "));
    }

    pub(in crate::registry) fn schemes(&self) -> MutexGuard<'_, Schemes> {
        self.schemes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::registry) async fn login(&self, scope: &Scope) -> Result<Arc<Login>, Trouble> {
        self.logins.login(scope.repository()).await
    }

    /// The header of the login, unless it is the one that was sent: then that of a login that has replaced it.
    async fn password(&self, scope: &Scope, sent: Option<&HeaderValue>) -> Result<Option<HeaderValue>, Trouble> {
        let login = self.login(scope).await?;
        let header = header_of(&login)?;
        if header.is_none() || header.as_ref() != sent {
            return Ok(header);
        }
        let other = self.logins.login_instead_of(&login, scope.repository()).await?;
        other.map_or(Ok(None), |login| header_of(&login))
    }

    /// The token service's URL. A registry with TLS must not make the probe send its password in clear text.
    pub(in crate::registry) fn realm(&self, realm: &str) -> Result<Url, Trouble> {
        let realm = self
            .registry
            .join(realm)
            .map_err(|_| Trouble::new(Cause::Protocol, "the challenge names a token service that is no URL"))?;
        match (self.registry.scheme(), realm.scheme()) {
            (_, "https") | ("http", "http") => Ok(realm),
            _ => Err(Trouble::new(Cause::Protocol, "the challenge names a token service that is not https")),
        }
    }

    /// The token of a scope; `asked` is what the token service is asked for, if a challenge named it.
    async fn token(
        &self,
        scope: &Scope,
        asked: Option<String>,
        source: &TokenSource,
        refused: Option<&HeaderValue>,
        requests: &impl AuthRequests,
    ) -> Result<HeaderValue, Trouble> {
        let own = scope.to_string();
        let slot = self.tokens.slot(&own);
        let mut slot = slot.lock().await;
        if let Some(header) = slot.as_ref().and_then(|kept| kept.usable(refused)) {
            return Ok(header.clone());
        }
        let login = self.login(scope).await?;
        if let Some(status) = slot.as_ref().and_then(|kept| kept.refusal(&login)) {
            return Err(TokenError::Refused(status).for_scope(&own));
        }
        let asked = asked.or_else(|| slot.as_ref().and_then(Kept::scope)).unwrap_or_else(|| own.clone());
        *slot = None;
        // Once in a token's lifetime: boxed, so that the future of every request stays small.
        let fetched = Box::pin(self.fetch(login, scope, &asked, source, requests)).await;
        match fetched {
            Ok(Kept::Refused { login, at, status }) => {
                *slot = Some(Kept::Refused { login, at, status }).filter(|_| self.has_credentials);
                Err(TokenError::Refused(status).for_scope(&own))
            }
            Ok(Kept::Token(token)) => {
                let header = token.header.clone();
                *slot = Some(Kept::Token(token));
                Ok(header)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Fetches a token. If the service refuses the login, it is tried once more with the one that has replaced it.
    async fn fetch(
        &self,
        login: Arc<Login>,
        scope: &Scope,
        asked: &str,
        source: &TokenSource,
        requests: &impl AuthRequests,
    ) -> Result<Kept, Trouble> {
        let mut login = login;
        let mut fetched = fetch(&login, Some(asked), source, requests).await;
        if matches!(fetched, Err(TokenError::Refused(_)))
            && let Some(other) = self.logins.login_instead_of(&login, scope.repository()).await?
        {
            login = other;
            fetched = fetch(&login, Some(asked), source, requests).await;
        }
        match fetched {
            Ok(token) => Ok(Kept::Token(token)),
            Err(TokenError::Refused(status)) => {
                if status == 401 {
                    self.introduction.distrust();
                }
                Ok(Kept::Refused { login, at: Instant::now(), status })
            }
            Err(TokenError::Trouble(trouble)) => Err(trouble),
        }
    }
}

/// The first challenge of a response that can be answered.
pub(in crate::registry) fn challenge_of(headers: &HeaderMap) -> Option<Challenge> {
    parse_challenges(headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()))
}

/// The header that a login is sent as to the registry itself.
pub(in crate::registry) fn header_of(login: &Login) -> Result<Option<HeaderValue>, Trouble> {
    match login {
        Login::Password { username, password } => basic_header(username, password).map(Some),
        Login::Header(header) => sensitive(header.expose_secret()).map(Some),
        Login::Anonymous | Login::IdentityToken { .. } => Ok(None),
    }
}

fn is_of(sent: Option<&HeaderValue>, scheme: &str) -> bool {
    sent.is_some_and(|sent| sent.as_bytes().starts_with(scheme.as_bytes()))
}

/// The scope to ask for if a challenge names one: what the probe wants to read, with the other reading actions that the
/// challenge names. `None` if it names another repository or more than reading: the registry chooses the scope and is then
/// shown the token, so it must get none for another repository, and none that can write.
fn also_reading(asked: &str, wanted: &str) -> Option<String> {
    let (asked_of, actions) = asked.rsplit_once(':')?;
    let (wanted_of, own) = wanted.rsplit_once(':')?;
    let is_reading = asked_of == wanted_of && actions.split(',').all(|action| READING.contains(&action));
    let has_own = actions.split(',').any(|action| action == own);
    is_reading.then(|| if has_own { asked.to_string() } else { format!("{asked},{own}") })
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

    impl AuthRequests for Service {
        async fn base(&self, _: Option<&HeaderValue>) -> Result<Option<(u16, HeaderMap)>, Trouble> {
            Ok(None)
        }

        async fn token(
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

    fn pull(repository: &str) -> Scope {
        Scope::Pull(repository.parse().unwrap())
    }

    const BEARER: &str = r#"Bearer realm="/token",service="s",scope="repository:a:pull""#;

    #[tokio::test]
    async fn a_scope_s_token_is_fetched_once_and_again_when_it_is_refused() {
        let (auth, service) = (authenticator(), service());
        assert_eq!(auth.authorize(&pull("a"), &service).await.unwrap(), None);
        let first = auth.answer(&challenge(BEARER), &pull("a"), None, &service).await.unwrap().unwrap();
        assert_eq!(first, "Bearer t1");
        let b = pull("b");
        let (x, y) = tokio::join!(auth.authorize(&b, &service), auth.authorize(&b, &service));
        assert_eq!(
            (x.unwrap().unwrap(), y.unwrap().unwrap()),
            ("Bearer t2".parse().unwrap(), "Bearer t2".parse().unwrap())
        );
        let renewed = auth.answer(&challenge(BEARER), &pull("a"), Some(&first), &service).await.unwrap().unwrap();
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
            ("repository:team/app:metadata_read", "repository:team/app:metadata_read,pull"),
            ("repository:team/app:pull,metadata_read", "repository:team/app:pull,metadata_read"),
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
            auth.answer(&challenge, &pull("team/app"), None, &service).await.unwrap();
            let url: Url = service.asked.lock().unwrap()[0].0.parse().unwrap();
            let scopes: Vec<_> =
                url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, scope)| scope).collect();
            assert_eq!(scopes, [granted], "{asked}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_ends() {
        let (auth, service) = (authenticator(), Service { expires_in: 0.000_001, ..service() });
        auth.answer(&challenge(BEARER), &pull("a"), None, &service).await.unwrap();
        let again = auth.authorize(&pull("a"), &service).await.unwrap().unwrap();
        assert_eq!(again, "Bearer t2");
    }

    #[tokio::test]
    async fn basic_is_said_once_asked_for_and_not_again_when_refused() {
        let (auth, service) = (authenticator(), service());
        let header = auth.answer(&challenge("Basic realm=x"), &pull("a"), None, &service).await.unwrap().unwrap();
        assert_eq!(header, "Basic dTpw");
        assert_eq!(auth.authorize(&pull("a"), &service).await.unwrap().as_ref(), Some(&header));
        assert_eq!(auth.answer(&challenge("Basic realm=x"), &pull("a"), Some(&header), &service).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_password_is_never_sent_in_the_clear_for_a_registry_behind_tls() {
        let (auth, service) = (authenticator(), service());
        for realm in ["http://r.example/token", "ftp://x/", "//[/"] {
            let trouble = auth
                .answer(&challenge(&format!("Bearer realm=\"{realm}\"")), &pull("a"), None, &service)
                .await
                .unwrap_err();
            assert_eq!(trouble.cause, Cause::Protocol, "{realm}");
        }
        assert!(service.asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_refusing_token_service_is_unauthorized_and_a_broken_one_is_not() {
        for (status, cause) in [(401, Cause::Unauthorized), (503, Cause::ServerError), (404, Cause::Protocol)] {
            let service = Service { status, ..service() };
            let trouble = authenticator().answer(&challenge(BEARER), &pull("a"), None, &service).await.unwrap_err();
            assert_eq!(trouble.cause, cause);
        }
    }

    #[tokio::test]
    async fn an_expired_token_is_renewed_where_the_challenge_is_basic() {
        let (auth, service) = (authenticator(), service());
        let scope = pull("a");
        let first = auth.answer(&challenge(BEARER), &scope, None, &service).await.unwrap().unwrap();
        auth.accepted(&scope, &first);
        let harbor = challenge("Basic realm=\"harbor\"");
        let renewed = auth.answer(&harbor, &scope, Some(&first), &service).await.unwrap().unwrap();
        assert_eq!(renewed, "Bearer t2");
        assert_eq!(auth.authorize(&scope, &service).await.unwrap(), Some(renewed));
        // The catalog, where no token was accepted, gets the password.
        let token = auth.authorize(&Scope::Catalog, &service).await.unwrap().unwrap();
        let password = auth.answer(&harbor, &Scope::Catalog, Some(&token), &service).await.unwrap().unwrap();
        assert_eq!((token, password.clone()), ("Bearer t3".parse().unwrap(), "Basic dTpw".parse().unwrap()));
        auth.accepted(&Scope::Catalog, &password);
        assert_eq!(auth.authorize(&Scope::Catalog, &service).await.unwrap(), Some(password));
        assert_eq!(auth.authorize(&pull("b"), &service).await.unwrap().unwrap(), "Bearer t4");
    }

    #[tokio::test]
    async fn a_refused_scope_is_not_asked_for_again_and_hides_no_other() {
        let (auth, refusing) = (authenticator(), Service { status: 401, ..service() });
        let scope = pull("a");
        for _ in 0..3 {
            let trouble = auth.answer(&challenge(BEARER), &scope, None, &refusing).await.unwrap_err();
            assert_eq!(trouble.cause, Cause::Unauthorized);
        }
        assert_eq!(refusing.asked.lock().unwrap().len(), 1);
        let granting = service();
        assert!(auth.authorize(&pull("b"), &granting).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_widened_scope_is_kept_for_the_next_token() {
        let (auth, service) = (authenticator(), Service { expires_in: 0.000_001, ..service() });
        let scope = pull("a");
        let lists = challenge(r#"Bearer realm="/token",scope="repository:a:metadata_read""#);
        auth.answer(&lists, &scope, None, &service).await.unwrap();
        auth.authorize(&scope, &service).await.unwrap();
        let asked = service.asked.lock().unwrap();
        assert_eq!(asked.len(), 2);
        assert!(asked.iter().all(|(url, _)| url.ends_with("scope=repository%3Aa%3Ametadata_read%2Cpull")), "{asked:?}");
    }
}

//! Introduces the probe to a registry before its first request.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};

use super::challenge::Challenge;
use super::introduction::Settled;
use super::login::Login;
use super::schemes::{Scheme, Scope};
use super::tokens::{AuthRequests, TokenError, TokenSource, fetch};
use super::{Authenticator, challenge_of, header_of};
use crate::registry::{Trouble, may_pass};
use crate::report::Cause;

/// The credentials as they were read, and as they are after the registry refused those.
const TRIES: usize = 2;

impl Authenticator {
    /// Introduces the probe to the registry, unless that was done or there are no credentials for it.
    ///
    /// # Errors
    ///
    /// [`Trouble`] if the credentials are refused or cannot be read, or if `/v2/` is not answered; only a refusal is
    /// remembered.
    pub async fn introduce(&self, scope: &Scope, requests: &impl AuthRequests) -> Result<(), Trouble> {
        if !self.has_credentials {
            return Ok(());
        }
        let login = match self.login(scope).await {
            Err(_) if self.may_lack_login => return Ok(()),
            login => login?,
        };
        match self.introduction.result(&login) {
            _ if matches!(*login, Login::Anonymous) => Ok(()),
            Some(result) => result,
            // Once in a client's lifetime: boxed, so that the future of every request stays small.
            None => Box::pin(self.introduce_alone(login, scope, requests)).await,
        }
    }

    async fn introduce_alone(
        &self,
        login: Arc<Login>,
        scope: &Scope,
        requests: &impl AuthRequests,
    ) -> Result<(), Trouble> {
        let failures = self.introduction.failures();
        let _alone = self.introduction.alone.lock().await;
        if let Some(result) = self.introduction.result(&login) {
            return result;
        }
        if let Some(trouble) = self.introduction.failure_since(failures) {
            return Err(trouble);
        }
        match self.offer(login, scope, requests).await {
            Ok(settled) => self.introduction.settle(settled),
            Err(trouble) => Err(self.introduction.fail(trouble)),
        }
    }

    /// Requests `/v2/` and offers the login in the way that the response asks for.
    async fn offer(&self, login: Arc<Login>, scope: &Scope, requests: &impl AuthRequests) -> Result<Settled, Trouble> {
        let ready = match &*login {
            Login::Header(_) => header_of(&login)?,
            _ => None,
        };
        let Some((status, headers)) = base(ready.as_ref(), requests).await? else {
            return Ok(Settled::accepted(login));
        };
        match (status, &*login) {
            (_, Login::Header(_) | Login::Anonymous) => Ok(Settled::accepted(login)),
            (401, _) => match challenge_of(&headers) {
                Some(Challenge::Bearer { realm, service, .. }) => {
                    self.offer_to_token_service(login, scope, &realm, service, requests).await
                }
                Some(Challenge::Basic) | None => self.offer_password(login, scope, false, requests).await,
            },
            // Anonymous requests are allowed, and would see the public part only. The credentials are for this host.
            (200..=299, Login::Password { .. }) => self.offer_password(login, scope, true, requests).await,
            // No answer to go by: each request answers its own challenge.
            _ => Ok(Settled::accepted(login)),
        }
    }

    async fn offer_password(
        &self,
        mut login: Arc<Login>,
        scope: &Scope,
        is_anonymous_allowed: bool,
        requests: &impl AuthRequests,
    ) -> Result<Settled, Trouble> {
        for _ in 0..TRIES {
            let Some(header) = header_of(&login)? else {
                let detail = "the registry asks for a user name and a password, but the credentials are an identity \
                              token; configure a password";
                return Ok(Settled::refused(login, detail));
            };
            match base(Some(&header), requests).await? {
                Some((401, headers)) => {
                    if let Some(Challenge::Bearer { realm, service, .. }) = challenge_of(&headers) {
                        return self.offer_to_token_service(login, scope, &realm, service, requests).await;
                    }
                }
                Some((status, _)) if is_anonymous_allowed && !(200..300).contains(&status) => {
                    return Ok(Settled::accepted(login));
                }
                _ => {
                    self.schemes().challenged_at_base(Scheme::Basic);
                    return Ok(Settled::accepted(login));
                }
            }
            match self.logins.login_instead_of(&login, scope.repository()).await? {
                Some(other) => login = other,
                None => break,
            }
        }
        Ok(Settled::refused(login, "GET /v2/ answered 401 to the configured user name and password; correct them"))
    }

    async fn offer_to_token_service(
        &self,
        mut login: Arc<Login>,
        scope: &Scope,
        realm: &str,
        service: Option<String>,
        requests: &impl AuthRequests,
    ) -> Result<Settled, Trouble> {
        let source = Arc::new(TokenSource { realm: self.realm(realm)?, service });
        self.schemes().challenged_at_base(Scheme::Bearer(Arc::clone(&source)));
        for _ in 0..TRIES {
            // Some services refuse an identity token without a scope, and it locks no account.
            if !matches!(*login, Login::Password { .. }) {
                return Ok(Settled::accepted(login));
            }
            match fetch(&login, None, &source, requests).await {
                Err(TokenError::Refused(401)) => {}
                Err(TokenError::Trouble(trouble)) if may_pass(trouble.cause) => return Err(trouble),
                // A service that gives nothing without a scope says nothing about the login.
                Ok(_) | Err(_) => return Ok(Settled::accepted(login)),
            }
            match self.logins.login_instead_of(&login, scope.repository()).await? {
                Some(other) => login = other,
                None => break,
            }
        }
        let detail = "the token service answered 401 to the configured user name and password; correct them";
        Ok(Settled::refused(login, detail))
    }
}

/// `GET /v2/`; `None` if its answer says nothing about this registry, such as one of another host.
async fn base(
    authorization: Option<&HeaderValue>,
    requests: &impl AuthRequests,
) -> Result<Option<(u16, HeaderMap)>, Trouble> {
    let answer = match requests.base(authorization).await {
        // Nothing to go by, such as a redirect that leads nowhere.
        Err(trouble) if !may_pass(trouble.cause) => None,
        Err(trouble) => {
            let detail = format!("GET /v2/, which comes first where credentials are configured: {}", trouble.detail);
            return Err(Trouble::new(trouble.cause, detail));
        }
        Ok(answer) => answer,
    };
    let outage = |cause, status: u16| Err(Trouble::new(cause, format!("GET /v2/ answered {status}")));
    match answer.as_ref().map(|(status, _)| *status) {
        Some(408) => outage(Cause::Timeout, 408),
        Some(429) => outage(Cause::RateLimited, 429),
        // 501 does not pass: a registry without `/v2/`.
        Some(status @ (500 | 502..=599)) => outage(Cause::ServerError, status),
        _ => Ok(answer),
    }
}

//! Authentication: none, HTTP Basic, or Bearer tokens (distribution's "Token Authentication").

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::api;
use super::route::Route;
use super::wire::{Answer, Request};

/// The `service` of challenges.
const SERVICE: &str = "demo-registry";

/// Harbor's challenge where it does not offer a token.
const HARBOR_CHALLENGE: &str = "Basic realm=\"harbor\"";

/// The authentication of a registry.
#[derive(Clone, Debug)]
pub enum Auth {
    /// No authentication.
    None,
    /// A user name and password with every request.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// Tokens of this service.
    Bearer {
        /// The token service.
        tokens: TokenService,
        /// Its URL in the challenge; `None` for `/token` on the requested host.
        realm: Option<String>,
    },
    /// Anonymous clients see only these repositories: lists omit the others, and their content answers 404. Requests with
    /// credentials follow `auth`.
    PartlyPublic {
        /// The public repositories.
        repositories: Vec<String>,
        /// Whether `/v2/` challenges; otherwise it answers 200 to anonymous clients.
        has_challenge: bool,
        /// The authentication for the other repositories.
        auth: Box<Auth>,
    },
    /// Like Harbor: challenges the catalog with Basic, everything else with Bearer, and a rejected `Authorization` with Basic.
    Harbor {
        /// User name.
        username: String,
        /// Password.
        password: String,
        /// The token service at `/token`.
        tokens: TokenService,
    },
}

/// Issues tokens and validates them. Clones share the tokens, so that a registry accepts those of another one.
#[derive(Clone, Debug)]
pub struct TokenService {
    user: Option<(String, String)>,
    expires_in: Option<Duration>,
    member: &'static str,
    /// The status for POST; `None` to handle it like GET.
    post_status: Option<u16>,
    issued: Arc<Mutex<HashMap<String, Grant>>>,
}

/// What a token grants.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The requested scopes.
    pub scopes: Vec<String>,
    until: Instant,
}

/// The lifetime of a token without `expires_in` (distribution's specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

impl Default for TokenService {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenService {
    /// A service that issues tokens to anonymous clients.
    pub fn new() -> Self {
        Self { user: None, expires_in: None, member: "token", post_status: None, issued: Arc::default() }
    }

    /// Issues tokens to this user only.
    pub fn for_user(mut self, username: &str, password: &str) -> Self {
        self.user = Some((username.to_string(), password.to_string()));
        self
    }

    /// Sends `expires_in`; without it, tokens expire after a minute.
    pub fn expiring_in(mut self, lifetime: Duration) -> Self {
        self.expires_in = Some(lifetime);
        self
    }

    /// Names the token `access_token`, as in OAuth 2.
    pub fn as_access_token(mut self) -> Self {
        self.member = "access_token";
        self
    }

    /// Answers POST with this status, like services without OAuth 2.
    pub fn refusing_post(mut self, status: u16) -> Self {
        self.post_status = Some(status);
        self
    }

    /// Invalidates all tokens.
    pub fn revoke_all(&self) {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All valid tokens.
    pub fn grants(&self) -> Vec<Grant> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The scopes of a valid token.
    pub fn scopes_of(&self, token: &str) -> Option<Vec<String>> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.get(token).map(|grant| grant.scopes.clone())
    }

    /// Handles a token request.
    pub(super) fn issue(&self, request: &Request) -> Answer {
        if let Some(status) = self.post_status.filter(|_| request.method == "POST") {
            return api::error(status, "UNSUPPORTED", "the operation is unsupported", Value::Null);
        }
        if let Some((username, password)) = &self.user
            && !has_basic(request, username, password)
        {
            return api::error(401, "UNAUTHORIZED", "authentication required", Value::Null);
        }
        let token = format!("token-{:032x}", fastrand::u128(..));
        let scopes = request.parameters("scope").flat_map(|scope| split_scopes(&scope)).collect();
        let grant = Grant { scopes, until: Instant::now() + self.expires_in.unwrap_or(DEFAULT_LIFETIME) };
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.retain(|_, grant| grant.until > Instant::now());
        issued.insert(token.clone(), grant);
        let mut body = json!({self.member: token});
        if let Some(lifetime) = self.expires_in {
            body["expires_in"] = lifetime.as_secs().into();
        }
        api::json_answer(200, &body)
    }

    fn admits(&self, request: &Request, scope: &str) -> Result<(), &'static str> {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).ok_or("")?;
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = issued.get(token).filter(|grant| grant.until > Instant::now()).ok_or("invalid_token")?;
        let covers = scope.is_empty() || grant.scopes.iter().any(|granted| granted == scope);
        covers.then_some(()).ok_or("insufficient_scope")
    }
}

/// A `scope` parameter may contain several scopes, separated by spaces.
fn split_scopes(scope: &str) -> Vec<String> {
    scope.split(' ').map(str::to_string).collect()
}

impl Auth {
    /// HTTP Basic.
    pub fn basic(username: &str, password: &str) -> Self {
        Self::Basic { username: username.to_string(), password: password.to_string() }
    }

    /// Bearer tokens from the registry's own `/token`.
    pub fn bearer(tokens: &TokenService) -> Self {
        Self::Bearer { tokens: tokens.clone(), realm: None }
    }

    /// Bearer tokens from another URL.
    pub fn bearer_from(realm: &str, tokens: &TokenService) -> Self {
        Self::Bearer { tokens: tokens.clone(), realm: Some(realm.to_string()) }
    }

    /// Anonymous clients see these repositories, and `/v2/` does not challenge.
    pub fn partly_public(repositories: &[&str], auth: Self) -> Self {
        let repositories = repositories.iter().map(ToString::to_string).collect();
        Self::PartlyPublic { repositories, has_challenge: false, auth: Box::new(auth) }
    }

    /// Anonymous clients see these repositories, and only `/v2/` challenges.
    pub fn challenging_at_base(repositories: &[&str], auth: Self) -> Self {
        let repositories = repositories.iter().map(ToString::to_string).collect();
        Self::PartlyPublic { repositories, has_challenge: true, auth: Box::new(auth) }
    }

    /// Like Harbor; tokens are for the same user.
    pub fn harbor(username: &str, password: &str, tokens: TokenService) -> Self {
        let tokens = tokens.for_user(username, password);
        Self::Harbor { username: username.to_string(), password: password.to_string(), tokens }
    }

    /// The registry's own token service.
    pub(super) fn own_tokens(&self) -> Option<&TokenService> {
        match self {
            Self::Bearer { tokens, realm: None } | Self::Harbor { tokens, .. } => Some(tokens),
            Self::PartlyPublic { auth, .. } => auth.own_tokens(),
            Self::None | Self::Basic { .. } | Self::Bearer { .. } => None,
        }
    }

    /// Removes repositories from a list that the client may not see.
    pub(super) fn conceal(&self, request: &Request, answer: &mut Answer) {
        let Self::PartlyPublic { repositories, .. } = self else { return };
        if request.route != Route::Catalog || request.header("authorization").is_some() {
            return;
        }
        let Ok(mut page) = serde_json::from_slice::<Value>(&answer.body.bytes) else { return };
        if let Some(Value::Array(names)) = page.get_mut("repositories") {
            names.retain(|name| repositories.iter().any(|public| name == public));
            answer.body.bytes = format!("{page}\n").into();
        }
    }

    /// The response to an unauthorized request.
    pub(super) fn refusal(&self, request: &Request) -> Option<Answer> {
        let is_anonymous = request.header("authorization").is_none();
        let challenge = match self {
            Self::PartlyPublic { repositories, has_challenge, auth } if is_anonymous => {
                let is_public = |name: &str| repositories.iter().any(|public| public == name);
                return match (&request.route, request.route.repository()) {
                    (Route::Ping, _) if *has_challenge => auth.refusal(request),
                    (_, Some(name)) if !is_public(name) => {
                        Some(api::error(404, "NAME_UNKNOWN", "repository name not known to registry", Value::Null))
                    }
                    _ => None,
                };
            }
            Self::PartlyPublic { auth, .. } => return auth.refusal(request),
            Self::Harbor { username, password, .. } if has_basic(request, username, password) => return None,
            Self::Harbor { .. } if request.route == Route::Catalog => HARBOR_CHALLENGE.to_string(),
            Self::Harbor { tokens, .. } => {
                let bearer = Self::bearer(tokens).refusal(request)?;
                if is_anonymous {
                    return Some(bearer);
                }
                HARBOR_CHALLENGE.to_string()
            }
            Self::Basic { username, password } if !has_basic(request, username, password) => {
                "Basic realm=\"demo registry\"".to_string()
            }
            Self::Bearer { tokens, realm } => {
                let scope = scope_of(&request.route);
                let error = tokens.admits(request, &scope).err()?;
                let here = || format!("http://{}/token", request.header("host").unwrap_or_default());
                let mut challenge =
                    format!("Bearer realm=\"{}\",service=\"{SERVICE}\"", realm.clone().unwrap_or_else(here));
                for (name, value) in [("scope", scope.as_str()), ("error", error)] {
                    if !value.is_empty() {
                        challenge.push_str(&format!(",{name}=\"{value}\""));
                    }
                }
                challenge
            }
            Self::None | Self::Basic { .. } => return None,
        };
        let refusal = api::error(401, "UNAUTHORIZED", "authentication required", Value::Null);
        Some(refusal.header("Www-Authenticate", challenge))
    }
}

fn has_basic(request: &Request, username: &str, password: &str) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    request.header("authorization") == Some(&expected)
}

fn scope_of(route: &Route) -> String {
    match (route, route.repository()) {
        (Route::Catalog, _) => "registry:catalog:*".to_string(),
        (_, Some(repository)) => format!("repository:{repository}:pull"),
        _ => String::new(),
    }
}

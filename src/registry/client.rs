//! The HTTP client of one registry: its settings, and what it has learned of the registry so far.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::auth::Authenticator;
use super::body::BodyMemory;
use super::pacing::breaker::CircuitBreaker;
use super::pacing::budget::Budget;
use super::pacing::gate::Gate;
use super::paging::sizes::PageSizes;
use super::proxy::Proxies;
use super::request::{Kind, Request, Requests};
use super::tls::{self, TlsError};
use super::traffic::Traffic;
use super::transport::{Settings, Transport};
use crate::config::{Limits, Mode, ProxyUrl, Target};

/// A registry behind HTTP. Redirects, retries, authorization and reading are in files of their own.
pub struct HttpRegistry {
    pub(super) transport: Transport,
    pub(super) requests: Requests,
    pub(super) authenticator: Authenticator,
    pub(super) gate: Gate,
    /// True if sweeps leave one permit free, so that a blob can be hashed in the background.
    pub(super) has_background_permit: bool,
    pub(super) budget: Budget,
    pub(super) request_timeout: Duration,
    pub(super) limits: Limits,
    pub(super) traffic: Arc<Traffic>,
    /// Endpoints that refuse HEAD and serve GET: manifests, blobs.
    pub(super) head_refused: [AtomicBool; 2],
    /// False for a cache: a GET would make it download what it does not hold.
    pub(super) may_get_instead_of_head: bool,
    pub(super) body_memory: BodyMemory,
    pub(super) breakers: [CircuitBreaker; Kind::COUNT],
    pub(super) page_sizes: PageSizes,
    /// The last request of each kind that was served, sent again before a breaker opens.
    pub(super) canaries: [Mutex<Option<Arc<Request>>>; Kind::COUNT],
    /// Held while a canary is requested.
    pub(super) probing: tokio::sync::Mutex<()>,
    /// True once any response came.
    pub(super) has_answered: AtomicBool,
}

/// A client that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS settings are unusable.
    #[error("registry {registry}: {source}")]
    Tls {
        /// The registry's name.
        registry: String,
        /// What is wrong.
        source: TlsError,
    },
    /// Requests cannot be sent to the registry's URL, or through its proxy.
    #[error("registry {registry}: {reason}")]
    Http {
        /// The registry's name.
        registry: String,
        /// What is wrong, without any password.
        reason: String,
    },
}

impl HttpRegistry {
    /// A client for a registry; its requests are counted in `traffic`.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a TLS file cannot be read, or the proxy's URL is unusable.
    pub fn new(target: &Target, traffic: Arc<Traffic>) -> Result<Self, ClientError> {
        let tls = |source| ClientError::Tls { registry: target.name.clone(), source };
        let unusable = |reason: String| ClientError::Http { registry: target.name.clone(), reason };
        let requests = Requests::new(&target.url, target.limits).map_err(|trouble| unusable(trouble.to_string()))?;
        let proxies = Proxies::new(target.proxy_url.as_ref().map(ProxyUrl::expose)).map_err(|scheme| {
            unusable(format!("proxy_url cannot be used as a proxy: unsupported scheme {scheme:?}"))
        })?;
        let transport = Transport::new(Settings {
            registry: target.url.clone(),
            tls: tls::client_config(&target.tls).map_err(tls)?,
            foreign_tls: tls::foreign_client_config(&target.tls).map_err(tls)?,
            server_name: target.tls.server_name.clone(),
            proxies,
            request_timeout: target.request_timeout,
            connections: target.concurrency,
            response_headers: target.limits.response_headers,
        })
        .map_err(unusable)?;
        let hashes_in_background = target.evidence.content.is_some_and(|period| !period.is_zero());
        let has_background_permit = hashes_in_background && target.concurrency > 1;
        let gate = Gate::new(target.concurrency - usize::from(has_background_permit), target.rate_limit);
        traffic.set_concurrency(gate.limit());
        Ok(Self {
            transport,
            requests,
            authenticator: Authenticator::new(target.credentials.clone(), target.url.clone()),
            gate,
            has_background_permit,
            budget: Budget::new(target.evidence.content_budget),
            request_timeout: target.request_timeout,
            limits: target.limits,
            traffic,
            head_refused: Default::default(),
            may_get_instead_of_head: target.mode == Mode::Authoritative,
            body_memory: BodyMemory::default(),
            breakers: Default::default(),
            page_sizes: PageSizes::default(),
            canaries: Default::default(),
            probing: tokio::sync::Mutex::default(),
            has_answered: AtomicBool::new(false),
        })
    }

    /// Uses all of `concurrency` from the first request on, for a command that waits for a few objects.
    pub fn skip_slow_start(&self) {
        self.gate.open_wide();
        self.traffic.set_concurrency(self.gate.limit());
    }

    /// Limits the requests from now on, in requests per second; `None`: as fast as `concurrency` allows.
    pub fn set_rate(&self, rate: Option<f64>) {
        self.gate.set_rate(rate);
    }
}

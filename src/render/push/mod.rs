//! Pushes the metrics of a one-shot sweep to a Prometheus Pushgateway.
//!
//! Each registry has its own group, which a push replaces (PUT). The grouping key is `job` and `registry` without
//! `instance`, because the next sweep may run on another host and must replace this one. Metrics of the program have no
//! `registry` label, so their group has only `job`. In a sharded setup, `shard` is part of every key.

mod address;

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use rustls::RootCertStore;
use rustls::crypto::ring;

pub use address::{Address, AddressError};

use crate::render::metrics::{self, Group};

/// Attempts per group; their pauses are long enough for the gateway to restart.
const ATTEMPTS: u32 = 4;
/// Timeout of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of the gateway's message in an error.
const MAX_REASON: usize = 300;

/// A Pushgateway.
#[expect(clippy::disallowed_types, reason = "the gateway is not a registry")]
pub struct Gateway {
    /// The pause before the second attempt, doubled before each further one.
    pub first_pause: Duration,
    /// The shard of the grouping key, so that shards do not replace each other's groups.
    pub shard: Option<String>,
    address: Address,
    client: reqwest::Client,
}

/// Why metrics were not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client for the Pushgateway: {0}")]
    Client(String),
    /// The gateway did not answer, or with a temporary error.
    #[error(
        "cannot push the metrics to {gateway}: {reason} ({attempts} attempts); check that the Pushgateway is running"
    )]
    Unavailable {
        /// Its URL, without credentials.
        gateway: String,
        /// Number of attempts.
        attempts: u32,
        /// The error of the last attempt.
        reason: String,
    },
    /// The gateway rejected some or all of the metrics.
    #[error("the Pushgateway {gateway} rejected {}", refused.join("; "))]
    Refused {
        /// Its URL, without credentials.
        gateway: String,
        /// Each rejected group with the gateway's message.
        refused: Vec<String>,
    },
}

/// Why one attempt failed.
struct AttemptError {
    is_temporary: bool,
    reason: String,
}

impl Gateway {
    /// A client for the gateway.
    ///
    /// # Errors
    ///
    /// [`PushError::Client`] if the TLS or proxy settings of the system are invalid.
    #[expect(clippy::disallowed_types, reason = "the gateway is not a registry")]
    pub fn new(address: Address) -> Result<Self, PushError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| PushError::Client(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("registry-integrity-probe/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| PushError::Client(innermost(&error)))?;
        Ok(Self { first_pause: Duration::from_secs(1), shard: None, address, client })
    }

    /// Replaces every group. If one is rejected, the others are pushed anyway.
    ///
    /// # Errors
    ///
    /// [`PushError::Unavailable`] immediately if a temporary error persists, [`PushError::Refused`] at the end.
    pub async fn push(&self, job: &str, groups: &[Group]) -> Result<(), PushError> {
        let mut refused = Vec::new();
        for group in groups {
            let group_name = match &group.registry {
                Some(registry) => format!("the metrics of registry {registry}"),
                None => "the metrics of the program".to_string(),
            };
            match self.replace(job, group).await {
                Ok(()) => tracing::debug!(gateway = self.address.shown(), group.registry, "metrics pushed"),
                Err(AttemptError { is_temporary: true, reason }) => {
                    let gateway = self.address.shown().to_string();
                    return Err(PushError::Unavailable { gateway, attempts: ATTEMPTS, reason });
                }
                Err(AttemptError { reason, .. }) => refused.push(format!("{group_name}: {reason}")),
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(PushError::Refused { gateway: self.address.shown().to_string(), refused })
    }

    async fn replace(&self, job: &str, group: &Group) -> Result<(), AttemptError> {
        for retry in 0..ATTEMPTS - 1 {
            match self.put(job, group).await {
                Err(error) if error.is_temporary => {
                    tracing::warn!(gateway = self.address.shown(), reason = error.reason, "push failed, retrying");
                    tokio::time::sleep(self.first_pause * 2_u32.pow(retry)).await;
                }
                result => return result,
            }
        }
        self.put(job, group).await
    }

    async fn put(&self, job: &str, group: &Group) -> Result<(), AttemptError> {
        let url = self.address.of_group(job, self.shard.as_deref(), group.registry.as_deref());
        let request = self.client.put(url).header(CONTENT_TYPE, metrics::CONTENT_TYPE).body(group.text.clone());
        let mut response =
            request.send().await.map_err(|error| AttemptError { is_temporary: true, reason: innermost(&error) })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let message = response.chunk().await.ok().flatten().unwrap_or_default();
        let is_temporary =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Err(AttemptError {
            is_temporary,
            reason: format!("{status} {}", printable(&String::from_utf8_lossy(&message))),
        })
    }
}

/// The root cause, without the URL, which may contain credentials.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) if error.is_timeout() => format!("no answer within {}", humantime::format_duration(TIMEOUT)),
        Some(_) => "no HTTP answer".to_string(),
        None => printable(&cause.to_string()),
    }
}

/// One line without control characters.
fn printable(text: &str) -> String {
    text.trim().chars().take(MAX_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

//! Hands the metrics of a one-shot sweep to a Prometheus Pushgateway.
//!
//! Each registry has a group of its own, replaced as a whole (PUT), with `job` and `registry` as its grouping key and
//! without `instance`: the sweep of tomorrow runs elsewhere and replaces the one of today. What describes the program
//! alone has no `registry` label, and the gateway would add one, so that it goes into a group of `job` alone. Where there
//! are shards, `shard` is a part of every key.

mod address;

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use rustls::RootCertStore;
use rustls::crypto::ring;

pub use address::{Address, AddressError};

use crate::render::metrics::{self, Group};

/// Attempts at what passing trouble prevents: a gateway that restarts is back within their pauses.
const ATTEMPTS: u32 = 4;
/// One attempt takes no longer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of the gateway's own words that are told.
const MAX_REASON: usize = 300;

/// A Pushgateway.
#[expect(clippy::disallowed_types, reason = "it speaks to the gateway and never to a registry")]
pub struct Gateway {
    /// The pause before the second attempt, doubled before each further one.
    pub first_pause: Duration,
    /// The shard whose metrics these are: a part of the grouping key, so that shards do not replace each other's groups.
    pub shard: Option<String>,
    address: Address,
    client: reqwest::Client,
}

/// Why metrics were not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The HTTP client cannot be set up.
    #[error("the HTTP client for the Pushgateway cannot be set up: {0}")]
    Client(String),
    /// The gateway did not answer, or not sensibly.
    #[error("the Pushgateway {gateway} could not be reached, {attempts} times: {reason}; the metrics were not pushed")]
    Unavailable {
        /// Its URL, without credentials.
        gateway: String,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        reason: String,
    },
    /// The gateway answered and took some of the metrics or none.
    #[error("the Pushgateway {gateway} refused {}", refused.join("; "))]
    Refused {
        /// Its URL, without credentials.
        gateway: String,
        /// Each group that it refused, and with what words.
        refused: Vec<String>,
    },
}

/// How one attempt failed.
struct Trouble {
    may_pass: bool,
    reason: String,
}

impl Gateway {
    /// A client for the gateway.
    ///
    /// # Errors
    ///
    /// [`PushError::Client`]: this machine's TLS or proxy settings are of no use.
    #[expect(clippy::disallowed_types, reason = "it speaks to the gateway and never to a registry")]
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

    /// Replaces every group. One that is refused does not keep the others from being pushed.
    ///
    /// # Errors
    ///
    /// [`PushError::Unavailable`] as soon as passing trouble did not pass, [`PushError::Refused`] at the end.
    pub async fn push(&self, job: &str, groups: &[Group]) -> Result<(), PushError> {
        let mut refused = Vec::new();
        for group in groups {
            let whose = match &group.registry {
                Some(registry) => format!("the metrics of registry {registry}"),
                None => "the metrics of the program".to_string(),
            };
            match self.replace(job, group).await {
                Ok(()) => tracing::debug!(gateway = self.address.shown(), group.registry, "metrics pushed"),
                Err(Trouble { may_pass: true, reason }) => {
                    let gateway = self.address.shown().to_string();
                    return Err(PushError::Unavailable { gateway, attempts: ATTEMPTS, reason });
                }
                Err(Trouble { reason, .. }) => refused.push(format!("{whose}: {reason}")),
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(PushError::Refused { gateway: self.address.shown().to_string(), refused })
    }

    async fn replace(&self, job: &str, group: &Group) -> Result<(), Trouble> {
        for retry in 0..ATTEMPTS - 1 {
            match self.put(job, group).await {
                Err(trouble) if trouble.may_pass => {
                    tracing::warn!(gateway = self.address.shown(), trouble.reason, "the push failed, trying again");
                    tokio::time::sleep(self.first_pause * 2_u32.pow(retry)).await;
                }
                settled => return settled,
            }
        }
        self.put(job, group).await
    }

    async fn put(&self, job: &str, group: &Group) -> Result<(), Trouble> {
        let url = self.address.of_group(job, self.shard.as_deref(), group.registry.as_deref());
        let request = self.client.put(url).header(CONTENT_TYPE, metrics::CONTENT_TYPE).body(group.text.clone());
        let mut response =
            request.send().await.map_err(|error| Trouble { may_pass: true, reason: innermost(&error) })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let said = response.chunk().await.ok().flatten().unwrap_or_default();
        let may_pass =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Err(Trouble { may_pass, reason: format!("{status} {}", printable(&String::from_utf8_lossy(&said))) })
    }
}

/// The cause, without the URL, which may hold credentials.
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

/// One line that cannot steer a terminal.
fn printable(text: &str) -> String {
    text.trim().chars().take(MAX_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

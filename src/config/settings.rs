//! The settings themselves.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use secrecy::SecretString;
use url::Url;

use super::limits::Limits;
use super::pattern;
use super::shard::Shard;
use crate::oci::{Image, Platform, Repository};

/// The settings of a configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The registries, with unique names, in the file's order.
    pub registries: Vec<Target>,
}

/// One registry to check.
#[derive(Clone, Debug)]
pub struct Target {
    /// The value of the `registry` label.
    pub name: String,
    /// Its `http` or `https` URL, without credentials, query and fragment.
    pub url: Url,
    /// Whether it is authoritative or a cache.
    pub mode: Mode,
    /// Time between the starts of two sweeps.
    pub interval: Duration,
    /// Limit for a request and its response; for a blob that is hashed, between two reads.
    pub request_timeout: Duration,
    /// Limit for a sweep; `None`: no limit.
    pub sweep_timeout: Option<Duration>,
    /// Maximum in-flight requests; at least 1.
    pub concurrency: usize,
    /// Maximum requests per second; `None`: no limit.
    pub rate_limit: Option<f64>,
    /// How a sweep of `serve` is spread over time.
    pub spread: Spread,
    /// Evidence for blobs.
    pub evidence: Evidence,
    /// How a failure is confirmed before it is reported.
    pub confirm: Confirm,
    /// Bounds of what is read, stored and retried.
    pub limits: Limits,
    /// Repositories of the catalog to check.
    pub repositories: Filter,
    /// Tags to check.
    pub tags: Filter,
    /// Platforms whose images must exist; empty: all.
    pub platforms: Vec<Platform>,
    /// The shard to check, set by flags; `None`: all repositories.
    pub shard: Option<Shard>,
    /// Repositories and images to check instead of reading the catalog; empty: the catalog.
    pub images: Vec<ImageSelector>,
    /// How the probe authenticates.
    pub credentials: Credentials,
    /// TLS settings, as in Prometheus's `tls_config`.
    pub tls: Tls,
    /// Proxy; `None`: from the environment (`HTTPS_PROXY`, ...).
    pub proxy_url: Option<ProxyUrl>,
}

impl Target {
    /// True if this process checks a repository.
    pub fn admits(&self, repository: &str) -> bool {
        self.repositories.admits(repository) && self.is_of_its_shard(repository)
    }

    /// True unless a repository belongs to another shard.
    pub fn is_of_its_shard(&self, repository: &str) -> bool {
        self.shard.is_none_or(|shard| shard.holds(repository))
    }

    /// True if this process checks all repositories, not only those of its shard.
    pub fn is_all_in_its_shard(&self) -> bool {
        self.shard.is_none_or(Shard::is_only_one)
    }

    /// The URL without a trailing slash.
    pub fn url_text(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_string()
    }
}

/// Whether a registry must hold everything that it lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must hold everything that it lists.
    Authoritative,
    /// It caches another registry: absence is normal, and a request can cause a download.
    PullThrough,
}

/// How a sweep is spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Over a third of the interval; the first sweep, which has no estimate yet, is not spread.
    Auto,
    /// Over this time; zero: as fast as concurrency and rate limit allow.
    Over(Duration),
}

/// Evidence for blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When the last byte of a blob is read.
    pub byte: ByteEvidence,
    /// Period in which every blob is hashed; `None`: never.
    pub content: Option<Duration>,
    /// Maximum bytes per second for hashing; `None`: no limit.
    pub content_budget: Option<u64>,
}

/// When the last byte of a blob is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteEvidence {
    /// Never: only HEAD.
    Off,
    /// Within this period; zero: in every sweep.
    Within(Duration),
}

/// How a failure is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Responses that must agree, in addition to the first; at least 1.
    pub attempts: u32,
    /// Delay before each.
    pub delay: Duration,
}

/// Anchored regular expressions for names.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these must match; empty: all do.
    pub include: Vec<Regex>,
    /// None of these may match.
    pub exclude: Vec<Regex>,
}

impl Filter {
    /// True if a name is included and not excluded.
    pub fn admits(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|regex| regex.is_match(name)))
            && !self.exclude.iter().any(|regex| regex.is_match(name))
    }

    /// Positions of the `include` patterns that match one of the names.
    pub fn matched(&self, names: &[String]) -> BTreeSet<usize> {
        let patterns = self.include.iter().enumerate();
        patterns.filter(|(_, regex)| names.iter().any(|name| regex.is_match(name))).map(|(place, _)| place).collect()
    }

    /// The other `include` patterns, as written in the configuration.
    pub fn unmatched<'a>(&'a self, matched: &'a BTreeSet<usize>) -> impl Iterator<Item = &'a str> {
        let patterns = self.include.iter().enumerate();
        patterns.filter(|(place, _)| !matched.contains(place)).map(|(_, regex)| pattern::written(regex))
    }
}

/// An entry of `images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSelector {
    /// Every tag of a repository.
    Repository(Repository),
    /// One tag or digest.
    Image(Image),
}

/// How the probe authenticates. Secret files are read when needed, so that rotated secrets are used.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Anonymously.
    None,
    /// `basic_auth`: for Basic challenges, and for the token service of Bearer ones.
    Basic {
        /// The user name.
        username: Secret,
        /// The password.
        password: Secret,
    },
    /// `authorization`: sent unchanged with every request.
    Authorization {
        /// The scheme, by default `Bearer`.
        scheme: String,
        /// The value after the scheme.
        credentials: Secret,
    },
    /// `docker_config`: docker's or podman's credentials file.
    DockerConfig(PathBuf),
    /// The first of these files that has an entry for the registry's host; absent files are skipped.
    DockerConfigs(Vec<PathBuf>),
}

/// A secret, or the file that contains it.
#[derive(Clone, Debug)]
pub enum Secret {
    /// From the configuration; never shown.
    Inline(SecretString),
    /// From this file, without the final newline.
    File(PathBuf),
}

/// The URL of a proxy. [`fmt::Debug`] hides its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(pub(super) Url);

impl ProxyUrl {
    /// The URL with its credentials.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "ProxyUrl({}://{host})", self.0.scheme())
    }
}

/// TLS settings, as in Prometheus's `tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// CA certificates that replace the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate; requires `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Private key of the client certificate.
    pub key_file: Option<PathBuf>,
    /// Expected name in the registry's certificate, if different from the URL's host.
    pub server_name: Option<String>,
    /// Skip certificate verification (insecure).
    pub insecure_skip_verify: bool,
}

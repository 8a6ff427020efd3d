//! What was asked: the settings of a run, validated and frozen.
//!
//! A file becomes a tree whose nodes know their place (`yaml`), which is read key by key (`section`, `target`,
//! `http_client`) with all faults collected on the way (`fault`). Only a file without any becomes a [`Config`].

mod fault;
mod http_client;
mod limits;
mod load;
mod pattern;
mod registry_url;
mod section;
pub mod shard;
mod target;
pub mod units;
mod yaml;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use secrecy::SecretString;
use url::Url;

use crate::config::shard::Shard;
use crate::oci::{Image, Platform, Repository};

pub use fault::{ConfigError, Fault};
pub(crate) use http_client::boolean;
pub use limits::Limits;
pub(crate) use load::{read_bounded, read_document};
pub(crate) use section::{Elsewhere, Section, read_mapping_among};

/// Everything that a configuration file says.
#[derive(Clone, Debug)]
pub struct Config {
    /// The registries, with unique names, in the file's order.
    pub registries: Vec<Target>,
}

/// One registry to watch.
#[derive(Clone, Debug)]
pub struct Target {
    /// The value of the `registry` label.
    pub name: String,
    /// Where it is: `http` or `https`, a host, perhaps a port; without credentials, query and fragment.
    pub url: Url,
    /// What may be asked of it, and what its answers mean.
    pub mode: Mode,
    /// Between the starts of two sweeps.
    pub interval: Duration,
    /// Bounds one whole exchange, or the silence between two reads when a blob is hashed.
    pub request_timeout: Duration,
    /// Bounds a sweep; `None`: nothing does.
    pub sweep_timeout: Option<Duration>,
    /// Requests in flight at most; at least 1.
    pub concurrency: usize,
    /// Requests a second at most; `None`: no limit.
    pub rate_limit: Option<f64>,
    /// How a sweep of `serve` is paced.
    pub spread: Spread,
    /// How blobs are proved.
    pub evidence: Evidence,
    /// How a failure is confirmed before it is believed.
    pub confirm: Confirm,
    /// What the registry may cost at most.
    pub limits: Limits,
    /// Which repositories of the catalog are looked at.
    pub repositories: Filter,
    /// Which of their tags.
    pub tags: Filter,
    /// Children that must exist; empty: all.
    pub platforms: Vec<Platform>,
    /// The part of its repositories that is looked at; `None`: all. A process's flags say so, not a file.
    pub shard: Option<Shard>,
    /// What is looked at instead of the catalog; empty: the catalog.
    pub images: Vec<ImageSelector>,
    /// How the probe says who it is.
    pub credentials: Credentials,
    /// TLS as Prometheus's `tls_config` names it.
    pub tls: Tls,
    /// The proxy to go through; `None`: as the environment says.
    pub proxy_url: Option<ProxyUrl>,
}

impl Target {
    /// True if a repository is to be looked at by this process.
    pub fn admits(&self, repository: &str) -> bool {
        self.repositories.admits(repository) && self.is_of_its_shard(repository)
    }

    /// True unless a repository is another shard's to look at.
    pub fn is_of_its_shard(&self, repository: &str) -> bool {
        self.shard.is_none_or(|shard| shard.holds(repository))
    }

    /// True if this process checks all repositories, not only those of its shard.
    pub fn is_all_in_its_shard(&self) -> bool {
        self.shard.is_none_or(Shard::is_only_one)
    }

    /// The URL as people write it, without a slash at its end.
    pub fn url_text(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_string()
    }
}

/// What a registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must hold everything that it lists.
    Authoritative,
    /// It caches another registry, so that absence is normal and asking costs a download.
    PullThrough,
}

/// How a sweep is paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// A third of the interval, once a first sweep has told how much there is.
    Auto,
    /// Over this long; zero: as fast as concurrency and rate limit allow.
    Over(Duration),
}

/// How blobs are proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When the last byte of a blob is read.
    pub byte: ByteEvidence,
    /// Every blob is hashed within this period; `None`: never.
    pub content: Option<Duration>,
    /// Bytes a second at most for hashing; `None`: no limit.
    pub content_budget: Option<u64>,
}

/// When the last byte of a blob is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteEvidence {
    /// Never: HEAD alone.
    Off,
    /// At least this often; zero: in every sweep.
    Within(Duration),
}

/// How a failure is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// More answers after the first, at least 1.
    pub attempts: u32,
    /// Before each.
    pub delay: Duration,
}

/// Anchored regular expressions over names.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these must match; empty: all do.
    pub include: Vec<Regex>,
    /// None of these may match.
    pub exclude: Vec<Regex>,
}

impl Filter {
    /// True if the name is to be looked at.
    pub fn admits(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|regex| regex.is_match(name)))
            && !self.exclude.iter().any(|regex| regex.is_match(name))
    }

    /// Which patterns of `include` match one of the names, by their place.
    pub fn matched(&self, names: &[String]) -> BTreeSet<usize> {
        let patterns = self.include.iter().enumerate();
        patterns.filter(|(_, regex)| names.iter().any(|name| regex.is_match(name))).map(|(place, _)| place).collect()
    }

    /// The patterns of `include` that are not among these places, as they were written.
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

/// How the probe says who it is. Files are read when they are needed, so that a rotated secret is taken up.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// It does not.
    None,
    /// `basic_auth`: for Basic challenges, and for the token service of Bearer ones.
    Basic {
        /// The user's name.
        username: Secret,
        /// Their password.
        password: Secret,
    },
    /// `authorization`: sent as it is with every request.
    Authorization {
        /// The scheme, `Bearer` unless something else is said.
        scheme: String,
        /// What follows it.
        credentials: Secret,
    },
    /// `docker_config`: what docker's or podman's file says of this registry's host.
    DockerConfig(PathBuf),
    /// What the first of these files that knows this registry's host says; absent ones are passed over.
    DockerConfigs(Vec<PathBuf>),
}

/// A secret, or the file that holds it.
#[derive(Clone, Debug)]
pub enum Secret {
    /// As the configuration says; never shown.
    Inline(SecretString),
    /// In this file, without its final newline.
    File(PathBuf),
}

/// The URL of a proxy. It may hold credentials, which [`fmt::Debug`] does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

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

/// TLS as Prometheus's `tls_config` names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate; set together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// The name that the registry's certificate must have, if it is not the URL's host.
    pub server_name: Option<String>,
    /// Believe any certificate.
    pub insecure_skip_verify: bool,
}

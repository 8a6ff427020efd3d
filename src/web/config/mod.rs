//! The web configuration file of Prometheus's exporters (exporter-toolkit): TLS, users, headers and a rate limit of what
//! `serve` listens on.
//!
//! The file and those that it names become a [`WebConfig`] (`schema`, `tls`, `client_certificate`), with every fault at
//! once and its line. [`LiveWebConfig`] reads them again for each connection and request (`live`), and `passwords` checks
//! who may come in.

mod client_certificate;
mod files;
mod live;
mod passwords;
mod rate_limit;
mod schema;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use secrecy::SecretString;

pub use live::LiveWebConfig;
pub use passwords::{Admission, Passwords};
pub use rate_limit::RateLimit;

/// Everything that a web configuration file says. The default is what no file says: plain HTTP for everybody.
#[derive(Debug, Default)]
pub struct WebConfig {
    /// `None`: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Headers of every answer, which replace those of the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Users and the bcrypt hashes of their passwords; none: everybody may come in.
    pub users: BTreeMap<String, SecretString>,
    /// `None`: no limit.
    pub rate_limit: Option<RateLimit>,
}

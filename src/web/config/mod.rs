//! The web configuration file of Prometheus exporters (exporter-toolkit): TLS, users, headers and a rate limit for `serve`.
//!
//! `schema`, `tls` and `client_certificate` parse the file and the files that it names into a [`WebConfig`] and report all
//! errors with their lines. [`LiveWebConfig`] reloads them for each connection and request (`live`). `passwords` checks
//! logins.

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

/// A web configuration. The default, without a file, is plain HTTP without users.
#[derive(Debug, Default)]
pub struct WebConfig {
    /// `None` for plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Headers of every response, which replace others of the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Users and the bcrypt hashes of their passwords; if empty, no login is required.
    pub users: BTreeMap<String, SecretString>,
    /// `None` for no limit.
    pub rate_limit: Option<RateLimit>,
}

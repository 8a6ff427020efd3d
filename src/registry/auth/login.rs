//! How the probe identifies itself to a registry.

use secrecy::{ExposeSecret, SecretString};

/// How the probe identifies itself to a registry.
#[derive(Clone, Debug)]
pub enum Login {
    /// It does not.
    Anonymous,
    /// For Basic challenges, and for the token service of Bearer ones.
    Password {
        /// The user's name.
        username: String,
        /// Their password.
        password: SecretString,
    },
    /// For the token service only: an OAuth 2 refresh token.
    IdentityToken {
        /// The user's name, for token services without OAuth 2; it may be empty.
        username: String,
        /// The token.
        token: SecretString,
    },
    /// A ready `Authorization` header for every request.
    Header(SecretString),
}

impl Login {
    /// True if both send the same secret.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Password { username: a, password: x }, Self::Password { username: b, password: y })
            | (Self::IdentityToken { username: a, token: x }, Self::IdentityToken { username: b, token: y }) => {
                a == b && same(x, y)
            }
            (Self::Header(x), Self::Header(y)) => same(x, y),
            _ => false,
        }
    }
}

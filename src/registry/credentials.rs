//! Where the probe's credentials come from. Files are read each time, so that a rotated secret is taken up.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::credential_helper::HelperError;
use super::docker_config;
use crate::config::{Credentials, Secret};

/// A credentials file is not larger than this, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// What the probe can say of itself.
#[derive(Clone, Debug)]
pub enum Login {
    /// Nothing.
    Anonymous,
    /// For Basic challenges, and for the token service of Bearer ones.
    Password {
        /// The user's name.
        username: String,
        /// Their password.
        password: SecretString,
    },
    /// For the token service alone: an OAuth 2 refresh token.
    IdentityToken(SecretString),
    /// A ready `Authorization` header for every request.
    Header(SecretString),
}

/// Credentials that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file could not be read.
    #[error("cannot read the credentials file {path}: {source}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be. Its text is not quoted: it holds secrets.
    #[error("the credentials file {path} {fault}")]
    Invalid {
        /// Which.
        path: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A helper that the file names gave no credentials.
    #[error("{source}, which {path} names")]
    Helper {
        /// The file.
        path: String,
        /// What went wrong.
        source: HelperError,
    },
}

/// Reads the credentials for a repository at a registry's `host` (with its port, if one is written); `None`: for what
/// belongs to no repository.
///
/// # Errors
///
/// [`CredentialsError`] if a file cannot be read or understood.
pub fn login(credentials: &Credentials, host: &str, repository: Option<&str>) -> Result<Login, CredentialsError> {
    match credentials {
        Credentials::None => Ok(Login::Anonymous),
        Credentials::Basic { username, password } => {
            Ok(Login::Password { username: secret(username)?.expose_secret().to_string(), password: secret(password)? })
        }
        Credentials::Authorization { scheme, credentials } => {
            let credentials = secret(credentials)?;
            Ok(Login::Header(format!("{scheme} {}", credentials.expose_secret()).into()))
        }
        Credentials::DockerConfig(path) => {
            docker_config::login(path, host, repository).map(|login| login.unwrap_or(Login::Anonymous))
        }
        Credentials::DockerConfigs(paths) => {
            for path in paths.iter().filter(|path| path.exists()) {
                if let Some(login) = docker_config::login(path, host, repository)? {
                    return Ok(login);
                }
            }
            Ok(Login::Anonymous)
        }
    }
}

fn secret(secret: &Secret) -> Result<SecretString, CredentialsError> {
    match secret {
        Secret::Inline(text) => Ok(text.clone()),
        Secret::File(path) => {
            let text = read(path)?;
            Ok(text.strip_suffix('\n').map_or(text.as_str(), |line| line.trim_end_matches('\r')).into())
        }
    }
}

pub(super) fn read(path: &Path) -> Result<String, CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable { path: path.display().to_string(), source };
    let invalid = |fault| CredentialsError::Invalid { path: path.display().to_string(), fault };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_LIMIT {
        return Err(invalid("is not a file of at most 1 MiB"));
    }
    String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|_| invalid("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn password(login: Login) -> Option<(String, String)> {
        match login {
            Login::Password { username, password } => Some((username, password.expose_secret().to_string())),
            _ => None,
        }
    }

    #[test]
    fn a_file_s_final_newline_is_not_part_of_the_password() {
        let file = file("pass word\r\n");
        let credentials = Credentials::Basic {
            username: Secret::Inline("probe".into()),
            password: Secret::File(file.path().to_path_buf()),
        };
        assert_eq!(
            password(login(&credentials, "x", None).unwrap()),
            Some(("probe".to_string(), "pass word".to_string()))
        );
        std::fs::write(file.path(), "rotated").unwrap();
        assert_eq!(
            password(login(&credentials, "x", None).unwrap()),
            Some(("probe".to_string(), "rotated".to_string()))
        );
    }

    #[test]
    fn the_first_file_that_knows_the_host_decides_and_absent_ones_are_passed_over() {
        let (other, known) = (file("{}"), file(r#"{"auths":{"r.example":{"username":"u","password":"p"}}}"#));
        let paths = [Path::new("/nonexistent/auth.json"), other.path(), known.path()].map(Path::to_path_buf);
        let credentials = Credentials::DockerConfigs(paths.to_vec());
        let of = |host| login(&credentials, host, None).unwrap();
        assert_eq!(password(of("r.example")), Some(("u".to_string(), "p".to_string())));
        assert!(matches!(of("other.example"), Login::Anonymous));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let file = file(r#"{"auths":{"a":{"auth":"hunter2-not-base64"}}}"#);
        let error = login(&Credentials::DockerConfig(file.path().to_path_buf()), "a", None).unwrap_err().to_string();
        assert!(error.contains("is not the base64") && !error.contains("hunter2"), "{error}");
        let missing = Credentials::DockerConfig("/nonexistent/config.json".into());
        assert!(login(&missing, "a", None).unwrap_err().to_string().contains("/nonexistent/config.json"));
    }
}

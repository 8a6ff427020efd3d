//! The probe's credentials, and where they are read from.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::docker_config::{self, Host, HostLogins};
use super::error::CredentialsError;
use super::login::Login;
use super::secret_file::read;
use crate::config::{Credentials, Secret};

/// Credentials as they were read, for every repository of one registry.
pub enum Logins {
    /// One login for all repositories.
    One(Arc<Login>),
    /// The files that know the registry's host; the first that has a login for a repository decides.
    Files(Vec<HostLogins>),
}

impl Logins {
    /// The login for a repository; `None`: for requests that belong to none.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if the entry that decides cannot be understood.
    pub fn login(&self, repository: Option<&str>) -> Result<Arc<Login>, CredentialsError> {
        match self {
            Self::One(login) => Ok(Arc::clone(login)),
            Self::Files(files) => {
                for file in files {
                    if let Some(login) = file.login(repository)? {
                        return Ok(login);
                    }
                }
                Ok(Arc::new(Login::Anonymous))
            }
        }
    }
}

/// Reads all credentials for a registry's host. This may run a credential helper.
///
/// # Errors
///
/// [`CredentialsError`] if a file cannot be read or understood, or a helper failed.
pub fn read_all(credentials: &Credentials, host: &Host) -> Result<Logins, CredentialsError> {
    let one = |login| Ok(Logins::One(Arc::new(login)));
    match credentials {
        Credentials::None => one(Login::Anonymous),
        Credentials::Basic { username, password } => one(Login::Password {
            username: secret(username)?.expose_secret().to_string(),
            password: secret(password)?,
        }),
        Credentials::Authorization { scheme, credentials } => {
            let credentials = secret(credentials)?;
            one(Login::Header(format!("{scheme} {}", credentials.expose_secret()).into()))
        }
        Credentials::DockerConfig(path) => Ok(Logins::Files(vec![docker_config::read_logins(path, host)?])),
        Credentials::DockerConfigs(paths) => {
            let mut files = Vec::new();
            for path in paths.iter().filter(|path| path.exists()) {
                let file = docker_config::read_logins(path, host)?;
                // No helper of a later file runs if this one decides.
                let decides = file.covers_host();
                files.push(file);
                if decides {
                    break;
                }
            }
            Ok(Logins::Files(files))
        }
    }
}

/// The files that [`read_all`] reads; some may be absent.
pub fn files(credentials: &Credentials) -> Vec<PathBuf> {
    let of = |secret: &Secret| match secret {
        Secret::Inline(_) => None,
        Secret::File(path) => Some(path.clone()),
    };
    match credentials {
        Credentials::None => Vec::new(),
        Credentials::Basic { username, password } => [username, password].into_iter().filter_map(of).collect(),
        Credentials::Authorization { credentials, .. } => of(credentials).into_iter().collect(),
        Credentials::DockerConfig(path) => vec![path.clone()],
        Credentials::DockerConfigs(paths) => paths.clone(),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn login(credentials: &Credentials, host: &str) -> Result<Arc<Login>, CredentialsError> {
        read_all(credentials, &Host::of(&format!("https://{host}/").parse().unwrap()))?.login(None)
    }

    fn password(login: Arc<Login>) -> Option<(String, String)> {
        match &*login {
            Login::Password { username, password } => Some((username.clone(), password.expose_secret().to_string())),
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
        assert_eq!(password(login(&credentials, "x").unwrap()), Some(("probe".to_string(), "pass word".to_string())));
        std::fs::write(file.path(), "rotated").unwrap();
        assert_eq!(password(login(&credentials, "x").unwrap()), Some(("probe".to_string(), "rotated".to_string())));
    }

    #[test]
    fn the_first_file_that_knows_the_host_decides_and_absent_ones_are_passed_over() {
        let (other, known) = (file("{}"), file(r#"{"auths":{"r.example":{"username":"u","password":"p"}}}"#));
        let paths = [Path::new("/nonexistent/auth.json"), other.path(), known.path()].map(Path::to_path_buf);
        let credentials = Credentials::DockerConfigs(paths.to_vec());
        let of = |host| login(&credentials, host).unwrap();
        assert_eq!(password(of("r.example")), Some(("u".to_string(), "p".to_string())));
        assert!(matches!(*of("other.example"), Login::Anonymous));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let file = file(r#"{"auths":{"a":{"auth":"hunter2-not-base64"}}}"#);
        let error = login(&Credentials::DockerConfig(file.path().to_path_buf()), "a").unwrap_err().to_string();
        assert!(error.contains("is not the base64") && !error.contains("hunter2"), "{error}");
        let missing = Credentials::DockerConfig("/nonexistent/config.json".into());
        assert!(login(&missing, "a").unwrap_err().to_string().contains("/nonexistent/config.json"));
    }
}

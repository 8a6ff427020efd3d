//! The file in which `docker login` and `podman login` leave credentials: docker's `config.json`, podman's `auth.json`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

use super::credential_helper;
use super::credentials::{CredentialsError, Login, read};

/// The name under which docker keeps Docker Hub's credentials, in its file and with its helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: SecretString,
    username: String,
    password: SecretString,
    identitytoken: SecretString,
}

/// Where docker and podman keep credentials by default, in the order in which they are looked through. `REGISTRY_AUTH_FILE`
/// stands alone, as for podman; `DOCKER_CONFIG`, which somebody has set on purpose, comes before what lies about.
pub fn default_places() -> Vec<PathBuf> {
    // The process's own folder in /proc is its user's; without /proc there is no podman either.
    let user = std::fs::metadata("/proc/self").ok().map(|metadata| metadata.uid());
    places(|name| std::env::var_os(name), user)
}

fn places(variable: impl Fn(&str) -> Option<OsString>, user: Option<u32>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = path("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = path("HOME");
    let in_home = |folder: &str| home.as_ref().map(|home| home.join(folder));
    let config_home = path("XDG_CONFIG_HOME").or_else(|| in_home(".config"));
    let runtime = path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers"));
    let runtime = runtime.or_else(|| user.map(|user| PathBuf::from(format!("/run/containers/{user}"))));
    [
        path("DOCKER_CONFIG").map(|folder| folder.join("config.json")),
        runtime.map(|folder| folder.join("auth.json")),
        config_home.map(|folder| folder.join("containers/auth.json")),
        in_home(".docker/config.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a file says of a repository at a host: the helper for the host, else the store for all hosts, else what stands in
/// the file itself. `None` if it says nothing.
///
/// # Errors
///
/// [`CredentialsError`] if the file cannot be read or understood, or a helper failed.
pub fn login(path: &Path, host: &str, repository: Option<&str>) -> Result<Option<Login>, CredentialsError> {
    let invalid = |fault| CredentialsError::Invalid { path: path.display().to_string(), fault };
    let text = read(path)?;
    // serde would take a list for the members in their order, and run what stands in a helper's place.
    let config = Some(text.trim_start()).filter(|text| text.starts_with('{'));
    let mut config: DockerConfig = config
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| invalid("is not a docker config.json"))?;
    let host = canonical(host);
    let own = config.helpers.iter().find(|(key, _)| canonical(key) == host).map(|(_, helper)| helper);
    let helper = own.or_else(|| Some(&config.store).filter(|store| !store.is_empty()));
    if let Some(helper) = helper {
        let asked = if host == "docker.io" { DOCKER_HUB_KEY } else { &host };
        let login = credential_helper::get(helper, asked)
            .map_err(|source| CredentialsError::Helper { path: path.display().to_string(), source })?;
        if login.is_some() {
            return Ok(login);
        }
    }
    let key = config.auths.keys().filter(|key| covers(key, &host, repository)).max_by_key(|key| key.len()).cloned();
    match key.and_then(|key| config.auths.remove(&key)) {
        Some(auth) => inline(auth).map_err(invalid),
        None => Ok(None),
    }
}

fn inline(auth: Auth) -> Result<Option<Login>, &'static str> {
    use secrecy::ExposeSecret;
    let Auth { auth, username, password, identitytoken } = auth;
    if !identitytoken.expose_secret().is_empty() {
        return Ok(Some(Login::IdentityToken(identitytoken)));
    }
    if !username.is_empty() {
        return Ok(Some(Login::Password { username, password }));
    }
    if auth.expose_secret().is_empty() {
        return Ok(None);
    }
    let decoded = STANDARD.decode(auth.expose_secret().trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = decoded
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .ok_or("has an auth that is not the base64 of user:password")?;
    // docker pads its own with NUL
    Ok(Some(Login::Password { username: username.to_string(), password: password.trim_end_matches('\0').into() }))
}

/// True if a key of `auths` stands for a repository: docker's are a host, or a URL with it; podman's may go on with the
/// beginning of the repository's name.
fn covers(key: &str, host: &str, repository: Option<&str>) -> bool {
    if canonical(key) == host {
        return true;
    }
    let Some((key_host, namespace)) = key.split_once('/').filter(|_| !key.contains("://")) else { return false };
    canonical(key_host) == host
        && repository
            .and_then(|repository| repository.strip_prefix(namespace))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The host of a key, under one name for each registry: Docker Hub has several, and one account. A key with a namespace
/// is no host.
fn canonical(key: &str) -> String {
    let host = match key.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => key.strip_suffix("/v1/").or_else(|| key.strip_suffix("/v2/")).unwrap_or(key),
    };
    match host.trim_end_matches('/') {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => "docker.io".to_string(),
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn user(login: Option<Login>) -> Option<String> {
        match login {
            Some(Login::Password { username, password }) => Some(format!("{username}:{}", password.expose_secret())),
            _ => None,
        }
    }

    #[test]
    fn the_host_decides_and_docker_hub_has_several_names() {
        let file = file(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"aHViOnB3"},"r.example:5000":{"username":"u","password":"p"},
               "id.example":{"auth":"eDp5","identitytoken":"tok"},"stored.example":{}},"HttpHeaders":{}}"#,
        );
        let of = |host: &str| login(file.path(), host, None).unwrap();
        assert_eq!(user(of("registry-1.docker.io")).as_deref(), Some("hub:pw"));
        assert_eq!(user(of("R.example:5000")).as_deref(), Some("u:p"));
        assert!(matches!(of("id.example"), Some(Login::IdentityToken(_))));
        assert!(of("r.example").is_none() && of("stored.example").is_none());
    }

    #[test]
    fn the_longest_namespace_decides_as_for_podman() {
        let file = file(
            r#"{"auths":{"q.example":{"username":"all","password":""},"q.example/team":{"username":"team","password":""},
               "q.example/team/app":{"username":"app","password":""}}}"#,
        );
        let of = |repository: &str| user(login(file.path(), "q.example", Some(repository)).unwrap());
        assert_eq!(of("team/app").as_deref(), Some("app:"));
        assert_eq!(of("team/application").as_deref(), Some("team:"));
        assert_eq!(of("other/app").as_deref(), Some("all:"));
    }

    #[test]
    fn a_list_names_no_helper() {
        let file = file(r#"[{},{"r.example":"nobody"}]"#);
        assert!(matches!(login(file.path(), "r.example", None), Err(CredentialsError::Invalid { .. })));
    }

    #[test]
    fn places_by_what_is_set() {
        let found = |set: &[(&str, &str)]| {
            let of = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
            places(of, Some(7)).iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(&[("REGISTRY_AUTH_FILE", "/f"), ("DOCKER_CONFIG", "/d"), ("HOME", "/h")]), ["/f"]);
        assert_eq!(
            found(&[("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/run/u"), ("HOME", "/h")]),
            [
                "/d/config.json",
                "/run/u/containers/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json"
            ]
        );
        assert_eq!(found(&[("REGISTRY_AUTH_FILE", "")]), ["/run/containers/7/auth.json"]);
    }
}

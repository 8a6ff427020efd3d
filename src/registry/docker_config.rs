//! The file in which `docker login` and `podman login` leave credentials: docker's `config.json`, podman's `auth.json`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::credential_helper;
use super::credentials::{CredentialsError, Login, read};
use crate::oci::Object;

/// The name under which docker keeps Docker Hub's credentials, in its file and with its helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A member that is `null` is one that is absent, as for docker.
#[derive(Deserialize)]
struct DockerConfig {
    auths: Option<BTreeMap<String, Option<Object<Auth>>>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, Option<String>>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    auth: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
    identitytoken: Option<SecretString>,
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
    let Object(DockerConfig { auths, helpers, store }) =
        serde_json::from_str(&text).map_err(|_| invalid(fault_of(&text)))?;
    let host = canonical(host);
    let own = helpers.unwrap_or_default().into_iter().find(|(key, _)| canonical(key) == host);
    // As for docker, a host's own entry decides also if it is empty: then what stands in the file counts.
    let helper = own.map_or(store, |(_, helper)| helper).filter(|helper| !helper.is_empty());
    if let Some(helper) = helper {
        let asked = if host == "docker.io" { DOCKER_HUB_KEY } else { &host };
        let login = credential_helper::get(&helper, asked)
            .map_err(|source| CredentialsError::Helper { path: path.display().to_string(), source })?;
        if login.is_some() {
            return Ok(login);
        }
    }
    let entries = auths.unwrap_or_default().into_iter();
    match entries.filter(|(key, _)| covers(key, &host, repository)).max_by_key(|(key, _)| key.len()) {
        Some((_, Some(Object(auth)))) => inline(auth).map_err(invalid),
        _ => Ok(None),
    }
}

/// What is wrong with a file that could not be understood. Nothing of it is quoted: it holds secrets, and they may stand
/// in any place.
fn fault_of(text: &str) -> &'static str {
    let Ok(config) = serde_json::from_str::<Value>(text) else { return "is not JSON" };
    let Some(config) = config.as_object() else { return "is not a docker config.json, which is a JSON object" };
    let texts = |members: &Map<String, Value>| members.values().all(|member| member.is_string() || member.is_null());
    match (config.get("auths"), config.get("credHelpers"), config.get("credsStore")) {
        (Some(Value::Object(entries)), ..) if !entries.values().all(|entry| entry.is_object() || entry.is_null()) => {
            "has an entry in \"auths\" that is not a JSON object"
        }
        (Some(Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_)), ..) => {
            "has \"auths\" that are not a JSON object"
        }
        (_, Some(Value::Object(helpers)), _) if !texts(helpers) => {
            "has an entry in \"credHelpers\" that is not the name of a helper"
        }
        (_, Some(Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_)), _) => {
            "has \"credHelpers\" that are not a JSON object"
        }
        (.., Some(store)) if !store.is_string() && !store.is_null() => {
            "has a \"credsStore\" that is not the name of a helper"
        }
        _ => "has a member that is not a text, or one that stands there twice",
    }
}

fn inline(auth: Auth) -> Result<Option<Login>, &'static str> {
    use secrecy::ExposeSecret;
    let is_said = |secret: &SecretString| !secret.expose_secret().is_empty();
    let Auth { auth, username, password, identitytoken } = auth;
    if let Some(identitytoken) = identitytoken.filter(is_said) {
        return Ok(Some(Login::IdentityToken(identitytoken)));
    }
    if let Some(username) = username.filter(|username| !username.is_empty()) {
        return Ok(Some(Login::Password { username, password: password.unwrap_or_default() }));
    }
    let Some(auth) = auth.filter(is_said) else { return Ok(None) };
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
    fn a_list_is_no_entry_and_what_is_wrong_is_said_without_what_stands_there() {
        for (text, wanted) in [
            (
                r#"{"auths":{"r.example":["","hunter2","hunter2",""]}}"#,
                "an entry in \"auths\" that is not a JSON object",
            ),
            (r#"{"auths":{"other.example":["hunter2"]}}"#, "an entry in \"auths\" that is not a JSON object"),
            (r#"{"auths":{"r.example":"hunter2"}}"#, "an entry in \"auths\" that is not a JSON object"),
            (r#"{"auths":["hunter2"]}"#, "\"auths\" that are not a JSON object"),
            (r#"{"auths":{"r.example":{"password":["hunter2"]}}}"#, "a member that is not a text"),
            (r#"{"auths":{"r.example":{"auth":"hunter2","auth":"hunter2"}}}"#, "one that stands there twice"),
            (r#"{"credHelpers":["hunter2"]}"#, "\"credHelpers\" that are not a JSON object"),
            (r#"{"credHelpers":{"r.example":["hunter2"]}}"#, "is not the name of a helper"),
            (r#"{"credsStore":["hunter2"]}"#, "is not the name of a helper"),
            (r#"["hunter2"]"#, "which is a JSON object"),
            (r#"{"auths":{"r.example":{"auth":"hunter2"}}"#, "is not JSON"),
        ] {
            let file = file(text);
            let error = login(file.path(), "r.example", None).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains(&*file.path().to_string_lossy()), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_null_is_absent_as_for_docker() {
        for text in [
            r#"{"auths":null,"credHelpers":null,"credsStore":null}"#,
            r#"{"auths":{"r.example":null}}"#,
            r#"{"auths":{"r.example":{"auth":null,"username":null,"password":null,"identitytoken":null}}}"#,
        ] {
            assert!(login(file(text).path(), "r.example", None).unwrap().is_none(), "{text}");
        }
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

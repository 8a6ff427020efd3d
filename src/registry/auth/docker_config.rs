//! The file in which `docker login` and `podman login` leave credentials: docker's `config.json`, podman's `auth.json`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::error::{CredentialsError, HelperError};
use super::helper;
use super::login::Login;
use super::secret_file::read;
use crate::oci::Object;

/// The host under which this module knows Docker Hub.
const DOCKER_HUB: &str = "docker.io";
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
/// replaces the others, as in podman; `DOCKER_CONFIG`, set on purpose, comes before the default locations.
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

/// A registry's host as the keys of a file name it.
pub struct Host {
    /// In lower case, with its port unless that is the scheme's default.
    name: String,
    /// The port that a key may name although the registry's URL needs none.
    default_port: Option<u16>,
}

impl Host {
    /// The host of a registry's URL.
    pub fn of(registry: &Url) -> Self {
        let host = registry.host_str().unwrap_or_default();
        let name = registry.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let default_port = registry.port_or_known_default().filter(|_| registry.port().is_none());
        Self { name: without_alias(name.to_ascii_lowercase()), default_port }
    }

    /// True if a key names this host; a key with a namespace names none.
    fn is(&self, key: &str) -> bool {
        let host = host_of(key);
        let port = self.default_port.map(|port| format!(":{port}")).unwrap_or_default();
        without_alias(host.strip_suffix(&port).map(str::to_string).unwrap_or(host)) == self.name
    }

    /// The namespace of a key of `auths` for this host: docker's keys are a host, or a URL with it, and have an empty one;
    /// podman's may go on with the beginning of a repository's name.
    fn namespace<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.is(key) {
            return Some("");
        }
        let (host, namespace) = key.split_once('/').filter(|_| !key.contains("://"))?;
        self.is(host).then_some(namespace)
    }

    /// The names under which a helper may keep this host's credentials; `key` is how the file spells the host.
    fn names(&self, key: Option<&str>) -> Vec<String> {
        if self.name == DOCKER_HUB {
            return vec![DOCKER_HUB_KEY.to_string()];
        }
        let with_port = self.default_port.map(|port| format!("{}:{port}", self.name));
        let mut names: Vec<String> = key.map(host_of).into_iter().chain([self.name.clone()]).chain(with_port).collect();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

/// The login of an entry, which may be empty or faulty.
type EntryLogin = Result<Option<Arc<Login>>, &'static str>;

/// The logins that a file holds for one host.
pub struct HostLogins {
    path: String,
    /// The answer of the host's credential helper; it decides for all repositories.
    helper: Option<Arc<Login>>,
    /// The namespace and login of each entry, the longest namespace first. A faulty entry matters only where it decides.
    entries: Vec<(String, EntryLogin)>,
}

impl HostLogins {
    /// The login for a repository, or for requests that belong to none. `None` if the file has none.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if the entry cannot be understood.
    pub fn login(&self, repository: Option<&str>) -> Result<Option<Arc<Login>>, CredentialsError> {
        if let Some(login) = &self.helper {
            return Ok(Some(Arc::clone(login)));
        }
        let invalid = |fault| CredentialsError::Invalid { path: self.path.clone(), fault };
        let entry = self.entries.iter().find(|(namespace, _)| covers(namespace, repository));
        entry.map_or(Ok(None), |(_, login)| login.clone().map_err(invalid))
    }

    /// True if there is a login, or a fault, for every repository of the host.
    pub fn covers_host(&self) -> bool {
        self.login(None).is_ok_and(|login| login.is_some())
    }
}

/// Reads the logins for a host: from its own helper, else the helper for all hosts, else the file itself.
///
/// # Errors
///
/// [`CredentialsError`] if the file cannot be read or understood, or a helper failed.
pub fn read_logins(path: &Path, host: &Host) -> Result<HostLogins, CredentialsError> {
    let invalid = |fault| CredentialsError::Invalid { path: path.display().to_string(), fault };
    let text = read(path)?;
    let Object(DockerConfig { auths, helpers, store }) =
        serde_json::from_str(&text).map_err(|_| invalid(fault_of(&text)))?;
    let own = helpers.unwrap_or_default().into_iter().find(|(key, _)| host.is(key));
    // As for docker, a host's own entry decides also if it is empty: then the entries of the file count.
    let (key, helper) = own.map_or((None, store), |(key, helper)| (Some(key), helper));
    let helper = match helper.filter(|helper| !helper.is_empty()) {
        Some(helper) => ask_helper(&helper, &host.names(key.as_deref()))
            .map_err(|source| CredentialsError::Helper { path: path.display().to_string(), source })?,
        None => None,
    };
    let mut entries = Vec::new();
    for (key, auth) in auths.unwrap_or_default() {
        if let Some(namespace) = host.namespace(&key) {
            let login = auth.map_or(Ok(None), |Object(auth)| inline(auth)).map(|login| login.map(Arc::new));
            // Of several spellings of one host, the entry with a login counts, and among those the exact name.
            let rank = (namespace.len(), !matches!(login, Ok(None)), key == host.name);
            entries.push((rank, namespace.to_string(), login));
        }
    }
    entries.sort_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
    let entries = entries.into_iter().map(|(_, namespace, login)| (namespace, login)).collect();
    Ok(HostLogins { path: path.display().to_string(), helper: helper.map(Arc::new), entries })
}

/// Asks a helper for each name in turn, until it has credentials for one.
fn ask_helper(helper: &str, names: &[String]) -> Result<Option<Login>, HelperError> {
    for name in names {
        if let Some(login) = helper::get(helper, name)? {
            return Ok(Some(login));
        }
    }
    Ok(None)
}

/// True if a namespace is that of a repository, or lies above it.
fn covers(namespace: &str, repository: Option<&str>) -> bool {
    let rest = repository.and_then(|repository| repository.strip_prefix(namespace));
    namespace.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
    let username = username.filter(|username| !username.is_empty());
    if let Some(token) = identitytoken.filter(is_said) {
        let username = username.or_else(|| Some(user_and_password(&auth?).ok()?.0));
        return Ok(Some(Login::IdentityToken { username: username.unwrap_or_default(), token }));
    }
    if let Some(username) = username {
        return Ok(Some(Login::Password { username, password: password.unwrap_or_default() }));
    }
    let Some(auth) = auth.filter(is_said) else { return Ok(None) };
    user_and_password(&auth).map(|(username, password)| Some(Login::Password { username, password }))
}

fn user_and_password(auth: &SecretString) -> Result<(String, SecretString), &'static str> {
    use secrecy::ExposeSecret;
    let decoded = STANDARD.decode(auth.expose_secret().trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = decoded
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .ok_or("has an auth that is not the base64 of user:password")?;
    // docker pads its own with NUL
    Ok((username.to_string(), password.trim_end_matches('\0').into()))
}

/// The host that a key names, with its port if the key has one, in lower case.
fn host_of(key: &str) -> String {
    let host = match key.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => key.strip_suffix("/v1/").or_else(|| key.strip_suffix("/v2/")).unwrap_or(key),
    };
    host.trim_end_matches('/').to_ascii_lowercase()
}

/// Docker Hub has several hosts, and one account.
fn without_alias(host: String) -> String {
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_string(),
        _ => host,
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

    /// The login for a repository of a registry: a URL, or the host of one with TLS.
    fn login(path: &Path, registry: &str, repository: Option<&str>) -> Result<Option<Arc<Login>>, CredentialsError> {
        let url = if registry.contains("://") { registry.to_string() } else { format!("https://{registry}") };
        read_logins(path, &Host::of(&url.parse().unwrap()))?.login(repository)
    }

    fn user(login: Option<Arc<Login>>) -> Option<String> {
        match login.as_deref() {
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
        let identity = of("id.example");
        assert!(
            matches!(identity.as_deref(), Some(Login::IdentityToken { username, .. }) if username == "x"),
            "{identity:?}"
        );
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
    fn a_key_with_the_default_port_and_one_without_it_name_the_same_registry() {
        for (key, registry, is_same) in [
            ("r.example:443", "https://r.example", true),
            ("r.example", "https://r.example:443", true),
            ("R.example:443", "https://r.example:443", true),
            ("https://r.example:443", "https://r.example", true),
            ("https://r.example:443/v1/", "https://r.example", true),
            ("https://r.example/v2/", "https://r.example:443", true),
            ("r.example:443/team", "https://r.example", true),
            ("r.example/team", "https://r.example:443", true),
            ("r.example:80", "http://r.example", true),
            ("r.example", "http://r.example:80", true),
            ("index.docker.io:443", "https://registry-1.docker.io", true),
            ("[::1]:443", "https://[::1]", true),
            ("r.example:80", "https://r.example", false),
            ("r.example:443", "http://r.example", false),
            ("r.example", "https://r.example:5000", false),
            ("r.example:443", "https://r.example:5000", false),
            ("r.example:4430", "https://r.example", false),
        ] {
            let file = file(&format!(r#"{{"auths":{{"{key}":{{"username":"u","password":"p"}}}}}}"#));
            let found = user(login(file.path(), registry, Some("team/app")).unwrap());
            assert_eq!(found.is_some(), is_same, "{key} for {registry}");
        }
        let both = r#"{"auths":{"r.example:443":{"username":"u","password":""},"r.example":{},
                       "q.example:443":{"username":"port","password":""},"q.example":{"username":"exact","password":""}}}"#;
        let both = file(both);
        assert_eq!(user(login(both.path(), "r.example", None).unwrap()).as_deref(), Some("u:"));
        assert_eq!(user(login(both.path(), "q.example", None).unwrap()).as_deref(), Some("exact:"));
    }

    #[test]
    fn helpers_are_asked_for_each_spelling_of_the_host() {
        let host = |url: &str| Host::of(&url.parse().unwrap());
        assert_eq!(host("https://r.example").names(None), ["r.example", "r.example:443"]);
        let own = host("https://r.example:443").names(Some("https://r.example:443/v1/"));
        assert_eq!(own, ["r.example:443", "r.example"]);
        assert_eq!(host("http://r.example:5000").names(Some("r.example:5000")), ["r.example:5000"]);
        assert_eq!(host("https://registry-1.docker.io").names(None), [DOCKER_HUB_KEY]);
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

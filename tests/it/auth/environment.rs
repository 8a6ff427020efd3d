//! What surrounds the binary: credential helpers on the PATH, an identity token, and a proxy that the environment names.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use registry_integrity_probe::demo::{Auth, Image, Registry, TokenService};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::probe::{Outcome, Probe, probe};

/// A server in front of a registry that keeps the text of every request, and hands it on as the given function has it.
struct Front {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Front {
    async fn start(registry: SocketAddr, handed_on: fn(&str) -> Option<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, registry, handed_on, Arc::clone(&kept)));
            }
        });
        Self { address, heard, task }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection: the answer of the registry ends with it.
async fn serve(
    mut client: TcpStream,
    registry: SocketAddr,
    handed_on: fn(&str) -> Option<String>,
    kept: Arc<Mutex<Vec<String>>>,
) {
    let mut received = Vec::new();
    let text = loop {
        if !matches!(client.read_buf(&mut received).await, Ok(read) if read > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&received).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break text;
        }
    };
    let request = handed_on(&text);
    kept.lock().unwrap().push(text);
    let Some(request) = request else {
        let _ = client.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        return;
    };
    let mut server = TcpStream::connect(registry).await.unwrap();
    server.write_all(request.as_bytes()).await.unwrap();
    let _ = tokio::io::copy(&mut server, &mut client).await;
}

/// A sweep of the configuration's only registry with what stands in `docker_config`.
fn sweep_with(folder: &Path, url: &str, docker_config: &str) -> Probe {
    std::fs::write(folder.join("config.json"), docker_config).unwrap();
    let config = folder.join("config.yml");
    let registry = format!("{{name: r, url: '{url}', docker_config: config.json, limits: {{retries: 1}}}}");
    std::fs::write(&config, format!("registries: [{registry}]")).unwrap();
    probe(["sweep", &format!("--config.file={}", config.display()), "--output=json"])
}

fn write_helper(folder: &Path, username: &str) {
    let program = folder.join("docker-credential-test");
    let answer = format!(r#"{{"ServerURL":"x","Username":"{username}","Secret":"hunter2"}}"#);
    std::fs::write(&program, format!("#!/bin/sh\nread -r host\necho '{answer}'\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
}

fn path_with(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

fn assert_intact(outcome: &Outcome, what: &str) {
    assert_eq!(outcome.code, Some(0), "{what}: {outcome:?}");
    assert!(!format!("{outcome:?}").contains("hunter2"), "{what}: {outcome:?}");
}

#[tokio::test]
async fn a_sweep_takes_its_password_from_a_credential_helper() {
    let registry = registry_with(&app()).await;
    registry.require(Auth::bearer(&TokenService::new().for_user("probe", "hunter2")));
    let folder = tempfile::tempdir().unwrap();
    write_helper(folder.path(), "probe");
    let host = registry.address();
    for text in [r#"{"credsStore":"test"}"#.to_string(), format!(r#"{{"credHelpers":{{"{host}":"test"}}}}"#)] {
        let outcome =
            sweep_with(folder.path(), &registry.url(), &text).env("PATH", path_with(folder.path())).run().await;
        assert_intact(&outcome, &text);
    }
    let outcome = sweep_with(folder.path(), &registry.url(), "{}").run().await;
    assert_eq!(outcome.code, Some(3), "without credentials: {outcome:?}");
}

/// A helper that notes each run in `runs`, hands out `old` at first and `new` later, and leaves a child that holds its
/// output open.
fn write_counting_helper(folder: &Path) {
    let program = folder.join("docker-credential-test");
    let runs = folder.join("runs");
    let script = format!(
        "#!/bin/sh\nread -r host\nsleep 600 &\necho run >> {runs}\n\
         [ $(wc -l < {runs}) = 1 ] && secret=old || secret=new\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"probe\",\"Secret\":\"'$secret'\"}}'\n",
        runs = runs.display(),
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn helper_runs_again_only_after_its_password_fails() {
    for (password, runs) in [("old", 1), ("new", 2)] {
        let registry = registry_with(&app()).await;
        for n in 0..30 {
            registry.push(&format!("more:{n}"), &Image::manifest().named(&format!("more {n}")));
        }
        registry.require(Auth::basic("probe", password));
        let folder = tempfile::tempdir().unwrap();
        write_counting_helper(folder.path());
        let sweep = sweep_with(folder.path(), &registry.url(), r#"{"credsStore":"test"}"#);
        assert_intact(&sweep.env("PATH", path_with(folder.path())).run().await, password);
        let seen = std::fs::read_to_string(folder.path().join("runs")).unwrap();
        assert_eq!(seen.lines().count(), runs, "for the password {password}");
    }
}

#[tokio::test]
async fn a_key_with_the_default_port_names_the_registry_without_it() {
    let registry = registry_with(&app()).await;
    registry.require(Auth::basic("probe", "hunter2"));
    // printf probe:hunter2 | base64
    let auth = r#"{"auth":"cHJvYmU6aHVudGVyMg=="}"#;
    let folder = tempfile::tempdir().unwrap();
    write_helper(folder.path(), "probe");
    for (url, text) in [
        ("http://registry.invalid", format!(r#"{{"auths":{{"registry.invalid:80":{auth}}}}}"#)),
        ("http://registry.invalid:80", format!(r#"{{"auths":{{"registry.invalid":{auth}}}}}"#)),
        ("http://registry.invalid", r#"{"credHelpers":{"registry.invalid:80":"test"}}"#.to_string()),
        ("http://registry.invalid:80", r#"{"credHelpers":{"registry.invalid":"test"}}"#.to_string()),
    ] {
        let proxy = Front::start(registry.address(), without_the_host).await;
        let sweep = sweep_with(folder.path(), url, &text).env("PATH", path_with(folder.path()));
        assert_intact(&sweep.env("http_proxy", format!("http://{}", proxy.address)).run().await, &text);
    }
}

/// The registry's own service gives a token to anybody; this one in front asks for the identity token first.
fn only_for_the_identity_token(request: &str) -> Option<String> {
    let (_, form) = request.split_once("\r\n\r\n")?;
    let is_right = request.starts_with("POST ")
        && form.contains("grant_type=refresh_token")
        && form.contains("refresh_token=hunter2");
    let scope = form.split('&').find(|pair| pair.starts_with("scope="))?;
    is_right.then(|| format!("GET /token?{scope} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n"))
}

#[tokio::test]
async fn an_identity_token_is_shown_to_the_token_service_alone() {
    let registry: Registry = registry_with(&app()).await;
    let tokens = TokenService::new();
    registry.issue(&tokens);
    let front = Front::start(registry.address(), only_for_the_identity_token).await;
    registry.require(Auth::bearer_from(&format!("http://{}/token", front.address), &tokens));
    let folder = tempfile::tempdir().unwrap();
    write_helper(folder.path(), "<token>");
    let inline = format!(r#"{{"auths":{{"{}":{{"identitytoken":"hunter2"}}}}}}"#, registry.address());
    for text in [inline.as_str(), r#"{"credsStore":"test"}"#] {
        let outcome =
            sweep_with(folder.path(), &registry.url(), text).env("PATH", path_with(folder.path())).run().await;
        assert_intact(&outcome, text);
    }
    assert!(front.heard().len() >= 2);
    let shown = |value: &Option<String>| value.as_ref().is_some_and(|value| value.contains("hunter2"));
    assert!(registry.requests().iter().all(|request| !shown(&request.authorization)));
}

/// What a proxy is asked has the whole URL in its first line.
fn without_the_host(request: &str) -> Option<String> {
    let request = request.replacen(" http://registry.invalid/", " /", 1);
    Some(request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
}

#[tokio::test]
async fn configured_proxy_replaces_the_proxy_of_the_environment() {
    let registry = registry_with(&app()).await;
    let proxy = Front::start(registry.address(), without_the_host).await;
    let of_the_environment = Front::start(registry.address(), without_the_host).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    let entry = format!("{{url: 'http://registry.invalid', proxy_url: 'http://probe:hunter2@{}'}}", proxy.address);
    std::fs::write(&config, format!("registries: [{entry}]")).unwrap();
    let sweep = probe(["sweep", &format!("--config.file={}", config.display()), "--output=json"]);
    let elsewhere = format!("http://{}", of_the_environment.address);
    let outcome = sweep.env("http_proxy", &elsewhere).env("NO_PROXY", "registry.invalid").run().await;
    assert_intact(&outcome, "proxy_url");
    let heard = proxy.heard();
    assert!(heard.iter().all(|request| request.contains(" http://registry.invalid/v2/")), "{heard:?}");
    let password = "proxy-authorization: Basic cHJvYmU6aHVudGVyMg==";
    assert!(heard.iter().all(|request| request.to_lowercase().contains(&password.to_lowercase())), "{heard:?}");
    assert_eq!(of_the_environment.heard().len(), 0);
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_asked_for_everything() {
    let registry = registry_with(&app()).await;
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        let proxy = Front::start(registry.address(), without_the_host).await;
        let folder = tempfile::tempdir().unwrap();
        let sweep = || sweep_with(folder.path(), "http://registry.invalid", "{}");
        let outcome = sweep().env(variable, format!("http://{}", proxy.address)).run().await;
        assert_intact(&outcome, variable);
        let heard = proxy.heard();
        assert!(
            heard.iter().any(|request| request.starts_with("GET http://registry.invalid/v2/_catalog")),
            "{heard:?}"
        );
    }
    let proxy = Front::start(registry.address(), without_the_host).await;
    let folder = tempfile::tempdir().unwrap();
    let sweep = sweep_with(folder.path(), "http://registry.invalid", "{}");
    let sweep = sweep.env("http_proxy", format!("http://{}", proxy.address)).env("NO_PROXY", "registry.invalid");
    let outcome = sweep.run().await;
    assert_eq!((outcome.code, proxy.heard().len()), (Some(3), 0), "{outcome:?}");
}

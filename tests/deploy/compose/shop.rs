//! The six registries of `deploy/compose` as processes: five caches, each in front of an upstream of its own, and a private
//! one with htpasswd, all behind nginx. Everything runs by the shipped files, on other ports and paths.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use regex::Regex;
use registry_integrity_probe::demo::Image;
use tempfile::TempDir;

use super::process::Process;
use super::{adapted, shipped};
use crate::testkit::docker_registry::{DockerRegistry, Options};
use crate::testkit::push::{Destination, shared_client};
use crate::testkit::raw_http::ask;
use crate::testkit::{free_address, peer, poll_until};

const BOUND: Duration = Duration::from_secs(30);
/// The caches, in the order of their ports.
pub const CACHES: [&str; 5] = ["dockerhub", "ghcr", "quay", "k8s", "kyverno"];
const PASSWORD: &str = "s3cr3t";

pub struct Shop {
    /// One for each cache.
    pub upstreams: Vec<DockerRegistry>,
    /// The caches, then the private one.
    pub registries: Vec<Registry>,
    /// Where nginx listens for each registry, and for the page.
    pub ports: Vec<SocketAddr>,
    pub folder: TempDir,
    _nginx: Process,
}

pub struct Registry {
    pub folder: PathBuf,
    address: SocketAddr,
    /// Where the containers' health check asks.
    pub health: SocketAddr,
    _process: Process,
}

impl Registry {
    /// One by a shipped file; `remote` is what it caches.
    fn start(program: &Path, folder: PathBuf, file: &str, remote: Option<&str>) -> Self {
        let (address, health) = (free_address(), free_address());
        fs::create_dir_all(folder.join("root")).unwrap();
        let root = folder.join("root").display().to_string();
        let mut config = adapted(
            &shipped(file),
            &[
                ("/var/lib/registry", &root),
                ("\":5000\"", &format!("\"{address}\"")),
                ("127.0.0.1:5001", &health.to_string()),
            ],
        );
        if remote.is_none() {
            let users = ["probe", "ci"].map(|user| format!("{user}:{}\n", bcrypt::hash(PASSWORD, 4).unwrap()));
            fs::write(folder.join("htpasswd"), users.concat()).unwrap();
            config = adapted(&config, &[("/run/secrets/htpasswd", &folder.join("htpasswd").display().to_string())]);
        }
        fs::write(folder.join("config.yml"), config).unwrap();
        let mut serve = Command::new(program);
        serve.arg("serve").arg(folder.join("config.yml"));
        serve.envs(remote.map(|remote| ("REGISTRY_PROXY_REMOTEURL", remote)));
        let process = Process::start(&mut serve, &folder.join("log"));
        Self { folder, address, health, _process: process }
    }

    fn v2(&self) -> PathBuf {
        self.folder.join("root/docker/registry/v2")
    }

    /// Every blob and link that it holds, with its length.
    pub fn held(&self) -> BTreeSet<(PathBuf, u64)> {
        let (mut found, mut open) = (BTreeSet::new(), vec![self.v2()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                    Ok(metadata) => drop(found.insert((entry.path(), metadata.len()))),
                    Err(_) => {}
                }
            }
        }
        found
    }

    /// The link by which a repository knows a manifest.
    pub fn revision_link(&self, repository: &str, digest: &str) -> PathBuf {
        let link = format!("repositories/{repository}/_manifests/revisions/{}/link", digest.replace(':', "/"));
        self.v2().join(link)
    }
}

impl Shop {
    /// `None` if a program is not installed.
    pub async fn open(program: &Path) -> Option<Self> {
        let nginx = peer("nginx")?;
        let folder = tempfile::tempdir().unwrap();
        // nginx's workers are another user, if root starts it.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mut upstreams = Vec::new();
        for _ in CACHES {
            upstreams.push(DockerRegistry::start_with(Options { access_log: true, ..Options::default() }).await?);
        }
        let start = |name: &str, file: &str, remote: Option<&str>| {
            Registry::start(program, folder.path().join(name), file, remote)
        };
        let caches = CACHES.iter().zip(&upstreams);
        let mut registries: Vec<Registry> =
            caches.map(|(name, upstream)| start(name, "registry/cache.yml", Some(&upstream.url()))).collect();
        registries.push(start("private", "registry/private.yml", None));
        for registry in &registries {
            until_it_answers(registry.address, "/v2/", &[200, 401]).await;
        }
        let ports: Vec<SocketAddr> = (0..7).map(|_| free_address()).collect();
        let process = start_nginx(&nginx, folder.path(), &ports, &registries);
        until_it_answers(ports[6], "/-/healthy", &[200]).await;
        Some(Self { upstreams, registries, ports, folder, _nginx: process })
    }

    /// The private registry, through nginx, as the user who may push.
    pub fn private(&self) -> Destination {
        self.private_as("ci")
    }

    pub fn private_as(&self, user: &str) -> Destination {
        let credentials = Some((user.to_string(), PASSWORD.to_string()));
        Destination { url: format!("http://{}", self.ports[5]), credentials }
    }

    /// Pulls the first parts of an image through a cache, the way clients do: from its root on.
    pub async fn pull(&self, cache: usize, name: &str, image: &Image, platform: &str) {
        let (repository, tag) = name.split_once(':').unwrap();
        let child = image.child(platform).unwrap().digest.to_string();
        let config_and_layers: Vec<String> = {
            let child = image.parts().iter().find(|part| part.digest.to_string() == child).unwrap();
            let digest = Regex::new("sha256:[0-9a-f]{64}").unwrap();
            let text = String::from_utf8_lossy(&child.bytes).into_owned();
            digest.find_iter(&text).map(|found| found.as_str().to_string()).collect()
        };
        let manifests = [tag.to_string(), child].map(|reference| format!("manifests/{reference}"));
        let blobs = config_and_layers.iter().map(|digest| format!("blobs/{digest}"));
        for path in manifests.into_iter().chain(blobs) {
            let url = format!("http://{}/v2/{repository}/{path}", self.ports[cache]);
            let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
            // A cache answers 404 also when its upstream did not answer it in time; clients try again.
            poll_until(BOUND, async || {
                let answer = shared_client().get(&url).header("Accept", accept).send().await.ok()?;
                if answer.status() != 200 {
                    return None;
                }
                answer.bytes().await.ok().map(drop)
            })
            .await;
        }
    }

    /// What the caches hold, once they have written what was pulled.
    pub async fn settled(&self) -> Vec<BTreeSet<(PathBuf, u64)>> {
        let mut before = Vec::new();
        poll_until(BOUND, async || {
            let now: Vec<_> = self.registries.iter().map(Registry::held).collect();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let is_settled = now == before && now[..5].iter().all(|held| !held.is_empty());
            before.clone_from(&now);
            is_settled.then_some(now)
        })
        .await
    }

    /// The requests that the upstreams have had.
    pub fn asked_of_upstreams(&self) -> Vec<String> {
        let request = Regex::new(r#""((?:GET|HEAD|PUT|POST|PATCH|DELETE) \S+) HTTP"#).unwrap();
        let of = |upstream: &DockerRegistry| -> Vec<String> {
            request.captures_iter(&upstream.log()).map(|found| found[1].to_string()).collect()
        };
        self.upstreams.iter().flat_map(of).collect()
    }

    /// The shipped configuration of the probe, on these ports.
    pub fn probe_config(&self) -> PathBuf {
        let password = self.folder.path().join("probe-password");
        fs::write(&password, PASSWORD).unwrap();
        let mut text = shipped("probe/probe.yaml");
        for (shipped, port) in (5001..).zip(&self.ports[..6]) {
            text = adapted(&text, &[(&format!("nginx:{shipped}"), &port.to_string())]);
        }
        text = adapted(&text, &[("/run/secrets/probe-password", &password.display().to_string())]);
        let path = self.folder.path().join("probe.yaml");
        fs::write(&path, text).unwrap();
        path
    }
}

async fn until_it_answers(address: SocketAddr, path: &str, statuses: &[u16]) {
    poll_until(BOUND, async || {
        tokio::net::TcpStream::connect(address).await.ok()?;
        statuses.contains(&ask(address, "GET", path).send().await.status?).then_some(())
    })
    .await;
}

fn start_nginx(nginx: &Path, folder: &Path, ports: &[SocketAddr], registries: &[Registry]) -> Process {
    let names = CACHES.iter().copied().chain(["private"]);
    let mut config = shipped("nginx/nginx.conf");
    for (shipped, ((name, port), registry)) in (5001..).zip(names.zip(ports).zip(registries)) {
        config = adapted(
            &config,
            &[
                (&format!("{shipped} {name}:5000;"), &format!("{} {};", port.port(), registry.address)),
                (&format!("listen {shipped};"), &format!("listen {port};")),
            ],
        );
    }
    let file = folder.join("nginx.conf");
    fs::write(&file, on_this_machine(&config, folder, ports[6])).unwrap();
    let mut command = Command::new(nginx);
    command.arg("-p").arg(folder).arg("-c").arg(&file).args(["-g", "daemon off;"]);
    Process::start(&mut command, &folder.join("nginx.log"))
}

/// Paths that this machine's nginx can write, and a port of its own for the page.
pub fn on_this_machine(config: &str, folder: &Path, page: SocketAddr) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
        .collect();
    adapted(
        config,
        &[
            ("/tmp/nginx.pid", &format!("{folder}/nginx.pid")),
            ("access_log /dev/stdout;", &format!("access_log {folder}/access.log;\n{temporary}")),
            ("/dev/stderr", "stderr"),
            ("listen 8080;", &format!("listen {page};")),
        ],
    )
}

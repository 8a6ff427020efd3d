//! Debian's `docker-registry` (distribution 2.8) as a peer, with its storage on disk for tests to damage.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use registry_integrity_probe::demo::Image;
use registry_integrity_probe::oci::Digest;
use tempfile::TempDir;

use super::push::Destination;
use super::raw_http::ask;
use super::{free_address, peer, poll_until};

const START_LIMIT: Duration = Duration::from_secs(20);

/// The user whom [`Options::htpasswd`] lets in.
pub const USERNAME: &str = "probe";
/// Their password.
pub const PASSWORD: &str = "secret";
/// `htpasswd -nbBC 4 probe secret`
const HTPASSWD: &str = "probe:$2y$04$asCDCqO5zsxLYqbPJuaSh.Ma6GOizO7aR/AqUCtP9PKDuKxlQO1Ii\n";

/// How the registry is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `storage.cache.blobdescriptor: inmemory`, as in the shipped example; without, nothing is cached.
    pub cache: bool,
    /// Only [`USERNAME`] with [`PASSWORD`] may do anything.
    pub htpasswd: bool,
    /// Caches the registry of this URL.
    pub proxy_of: Option<String>,
    /// Every request is in the log.
    pub access_log: bool,
    /// `catalog.maxentries`; `None` is the registry's default of 1000.
    pub catalog_page: Option<usize>,
}

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    program: PathBuf,
    directory: TempDir,
    options: Options,
    address: SocketAddr,
    process: Option<Child>,
}

impl DockerRegistry {
    /// One without cache and credentials; `None` if the program is not installed.
    pub async fn start() -> Option<Self> {
        Self::start_with(Options::default()).await
    }

    /// One that is set up otherwise; `None` if the program is not installed.
    pub async fn start_with(options: Options) -> Option<Self> {
        let program = peer("docker-registry")?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut registry = Self { program, directory, options, address: free_address(), process: None };
        std::fs::create_dir_all(registry.root()).expect("a writable temporary directory");
        std::fs::write(registry.directory.path().join("htpasswd"), HTPASSWD).expect("a writable temporary directory");
        registry.restart().await;
        Some(registry)
    }

    /// Ends the process and starts it again on the same storage and port, with an empty cache.
    pub async fn restart(&mut self) {
        self.stop();
        let config = self.write_config();
        let log = File::create(self.directory.path().join("log")).expect("a writable temporary directory");
        let mut serve = Command::new(&self.program);
        serve.arg("serve").arg(config).stdin(Stdio::null());
        serve.stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.process = Some(serve.spawn().expect("docker-registry can be run"));
        let address = self.address;
        poll_until(START_LIMIT, async || {
            tokio::net::TcpStream::connect(address).await.ok()?;
            matches!(ask(address, "GET", "/v2/").send().await.status, Some(200 | 401)).then_some(())
        })
        .await;
    }

    /// Ends the process; clients are refused from now on.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have died by itself, which the test will notice.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Runs the registry's own collector over the storage.
    pub fn garbage_collect(&self, delete_untagged: bool) -> Output {
        let mut collect = Command::new(&self.program);
        collect.arg("garbage-collect").args(delete_untagged.then_some("--delete-untagged"));
        collect.arg(self.write_config()).output().expect("docker-registry can be run")
    }

    /// Pushes an image as `repository:tag`.
    pub async fn push(&self, name: &str, image: &Image) {
        self.destination().push(name, image).await;
    }

    /// Where and as whom to push.
    pub fn destination(&self) -> Destination {
        let credentials = self.options.htpasswd.then(|| (USERNAME.to_string(), PASSWORD.to_string()));
        Destination { url: self.url(), credentials }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it logged: errors, and requests if [`Options::access_log`] says so.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The storage's root, which holds `docker/registry/v2`.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A repository's directory.
    pub fn repository(&self, repository: &str) -> PathBuf {
        self.root().join("docker/registry/v2/repositories").join(repository)
    }

    /// The link by which a repository knows a manifest.
    pub fn revision_link(&self, repository: &str, digest: &Digest) -> PathBuf {
        self.repository(repository).join("_manifests/revisions").join(link_of(digest))
    }

    /// The link by which a repository knows a config or layer.
    pub fn layer_link(&self, repository: &str, digest: &Digest) -> PathBuf {
        self.repository(repository).join("_layers").join(link_of(digest))
    }

    /// The link that says what a tag points to.
    pub fn tag_link(&self, repository: &str, tag: &str) -> PathBuf {
        self.repository(repository).join("_manifests/tags").join(tag).join("current/link")
    }

    /// The bytes of an object, which all repositories share.
    pub fn blob_data(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = split(digest);
        self.root().join("docker/registry/v2/blobs").join(algorithm).join(&hex[..2]).join(hex).join("data")
    }

    fn write_config(&self) -> PathBuf {
        let file = self.directory.path().join("config.yml");
        std::fs::write(&file, self.config()).expect("a writable temporary directory");
        file
    }

    fn config(&self) -> String {
        let Self { options: Options { cache, htpasswd, proxy_of, access_log, catalog_page }, address, .. } = self;
        let storage_cache = if *cache { "  cache: {blobdescriptor: inmemory}\n" } else { "" };
        let auth = if *htpasswd {
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", self.path("htpasswd"))
        } else {
            String::new()
        };
        let proxy = proxy_of.as_ref().map(|url| format!("proxy: {{remoteurl: \"{url}\"}}\n")).unwrap_or_default();
        let catalog = catalog_page.map(|count| format!("catalog: {{maxentries: {count}}}\n")).unwrap_or_default();
        format!(
            "version: 0.1\n\
             log: {{level: error, accesslog: {{disabled: {quiet}}}}}\n\
             storage:\n  \
               filesystem: {{rootdirectory: {root}}}\n  \
               delete: {{enabled: true}}\n  \
               maintenance: {{uploadpurging: {{enabled: false}}}}\n\
             {storage_cache}\
             validation: {{manifests: {{urls: {{allow: ['^https?://']}}}}}}\n\
             http: {{addr: \"{address}\"}}\n\
             {auth}{proxy}{catalog}",
            quiet = !access_log,
            root = self.path("root"),
        )
    }

    fn path(&self, name: &str) -> String {
        Path::display(&self.directory.path().join(name)).to_string()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

fn link_of(digest: &Digest) -> PathBuf {
    let (algorithm, hex) = split(digest);
    PathBuf::from(algorithm).join(hex).join("link")
}

fn split(digest: &Digest) -> (String, String) {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').expect("a digest has a colon");
    (algorithm.to_string(), hex.to_string())
}

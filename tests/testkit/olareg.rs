//! `olareg` as a peer: an OCI registry that keeps one image layout per repository on disk, has a referrers API and no catalog.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use registry_integrity_probe::demo::Image;
use registry_integrity_probe::oci::Digest;
use tempfile::TempDir;

use super::push::Destination;
use super::raw_http::ask;
use super::{free_address, peer, poll_until};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct Olareg {
    directory: TempDir,
    address: SocketAddr,
    process: Child,
}

impl Olareg {
    /// An empty one, which collects no garbage; `None` if olareg is not installed.
    pub async fn start() -> Option<Self> {
        let program = peer("olareg")?;
        let (directory, address) = (tempfile::tempdir().expect("a temporary directory"), free_address());
        let log = File::create(directory.path().join("log")).expect("a writable temporary directory");
        let root = directory.path().join("root");
        std::fs::create_dir(&root).expect("a writable temporary directory");
        let mut serve = Command::new(program);
        serve.args(["serve", "--addr", "127.0.0.1", "--port", &address.port().to_string()]);
        serve.args(["--gc-frequency", "-1s", "--dir"]).arg(&root);
        let process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("olareg can be run");
        poll_until(START_LIMIT, async || {
            tokio::net::TcpStream::connect(address).await.ok()?;
            (ask(address, "GET", "/v2/").send().await.status == Some(200)).then_some(())
        })
        .await;
        Some(Self { directory, address, process })
    }

    /// Pushes an image as `repository:tag`.
    pub async fn push(&self, name: &str, image: &Image) {
        Destination::open(self.url()).push(name, image).await;
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file of a manifest, config or layer in a repository's image layout.
    pub fn blob_file(&self, repository: &str, digest: &Digest) -> PathBuf {
        let layout = self.directory.path().join("root").join(repository);
        layout.join("blobs").join(digest.to_string().replace(':', "/"))
    }
}

impl Drop for Olareg {
    fn drop(&mut self) {
        // It may have ended by itself, which the test will have noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

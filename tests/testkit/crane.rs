//! `crane registry serve` as a peer: go-containerregistry's registry, with its blobs on disk and its manifests in memory.
//! Its catalog is in random order and ignores `last`; no list has a `Link`.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use registry_integrity_probe::demo::{Image, Part};
use registry_integrity_probe::oci::Digest;
use tempfile::TempDir;

use super::push::{Destination, shared_client};
use super::raw_http::ask;
use super::{free_address, peer, poll_until};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct CraneRegistry {
    directory: TempDir,
    address: SocketAddr,
    process: Child,
}

impl CraneRegistry {
    /// An empty one; `None` if crane is not installed.
    pub async fn start() -> Option<Self> {
        let program = peer("crane")?;
        let (directory, address) = (tempfile::tempdir().expect("a temporary directory"), free_address());
        let log = File::create(directory.path().join("log")).expect("a writable temporary directory");
        std::fs::create_dir(directory.path().join("blobs")).expect("a writable temporary directory");
        let mut serve = Command::new(program);
        serve.args(["registry", "serve", "--address", &address.to_string(), "--disk"]);
        serve.arg(directory.path().join("blobs")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = serve.spawn().expect("crane can be run");
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

    /// Puts one manifest under many names, each as `(repository, reference)`.
    ///
    /// # Panics
    ///
    /// If the registry refuses.
    pub async fn put_manifests(&self, manifest: &Part, names: impl IntoIterator<Item = (String, String)>) {
        let client = shared_client();
        for (repository, reference) in names {
            let put = client.put(format!("{}/v2/{repository}/manifests/{reference}", self.url()));
            let put = put.header("Content-Type", &manifest.media_type).body(manifest.bytes.clone());
            assert_eq!(put.send().await.expect("an answer").status(), 201, "{repository} {reference}");
        }
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bytes of a config or layer, which all repositories share.
    pub fn blob_file(&self, digest: &Digest) -> PathBuf {
        self.directory.path().join("blobs").join(digest.to_string().replace(':', "/"))
    }

    /// Deletes a manifest under its digest, and not the tags that point to it.
    ///
    /// # Panics
    ///
    /// If the registry refuses.
    pub async fn delete_manifest(&self, repository: &str, digest: &Digest) {
        self.delete(repository, &digest.to_string()).await;
    }

    /// Deletes a tag, and not the manifest that it points to.
    ///
    /// # Panics
    ///
    /// If the registry refuses.
    pub async fn delete_tag(&self, repository: &str, tag: &str) {
        self.delete(repository, tag).await;
    }

    async fn delete(&self, repository: &str, reference: &str) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let deleted = ask(self.address, "DELETE", &path).send().await;
        assert_eq!(deleted.status, Some(202), "{path}");
    }
}

impl Drop for CraneRegistry {
    fn drop(&mut self) {
        // It may have ended by itself, which the test will have noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

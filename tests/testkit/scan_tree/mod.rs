//! Makes storage trees as registries leave them, and spoils them. Everything follows from a seed.

use std::fs;
use std::path::{Path, PathBuf};

use registry_integrity_probe::oci::{Algorithm, Digest};
use serde_json::{Value, json};

pub mod peer;
pub mod random;
pub mod server;
pub mod storage;

pub const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const SCHEMA_TWO: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A storage tree that is being written.
pub struct TreeBuilder {
    root: PathBuf,
}

/// A manifest and everything that it needs.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    pub blobs: Vec<Vec<u8>>,
    pub children: Vec<Manifest>,
    pub platform: Option<&'static str>,
}

impl Manifest {
    pub fn image(platform: &'static str, config: &str, layers: &[&str]) -> Self {
        Self::image_of(OCI_IMAGE, Some(platform), config.as_bytes(), layers.iter().map(|it| it.as_bytes().to_vec()))
    }

    pub fn image_of(
        media_type: &'static str,
        platform: Option<&'static str>,
        config: &[u8],
        layers: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let layers: Vec<Vec<u8>> = layers.into_iter().collect();
        let descriptors: Vec<Value> = layers.iter().map(|layer| descriptor("application/vnd.x", layer)).collect();
        let document = json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config), "layers": descriptors,
        });
        let blobs = layers.into_iter().chain([config.to_vec()]).collect();
        Self { bytes: document.to_string().into_bytes(), media_type, blobs, children: Vec::new(), platform }
    }

    pub fn index(children: Vec<Self>) -> Self {
        Self::index_of(OCI_INDEX, children)
    }

    pub fn index_of(media_type: &'static str, children: Vec<Self>) -> Self {
        let descriptors: Vec<Value> = children
            .iter()
            .map(|child| {
                let mut descriptor = descriptor(child.media_type, &child.bytes);
                if let Some((os, architecture)) = child.platform.and_then(|platform| platform.split_once('/')) {
                    descriptor["platform"] = json!({"os": os, "architecture": architecture});
                }
                descriptor
            })
            .collect();
        let document = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": descriptors});
        let bytes = document.to_string().into_bytes();
        Self { bytes, media_type, blobs: Vec::new(), children, platform: None }
    }

    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.bytes)
    }
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "size": bytes.len(), "digest": Digest::sha256(bytes).to_string()})
}

impl TreeBuilder {
    /// Writes below a registry's `rootdirectory`.
    pub fn new(root: &Path) -> Self {
        fs::create_dir_all(root.join("docker/registry/v2/repositories")).unwrap();
        fs::create_dir_all(root.join("docker/registry/v2/blobs")).unwrap();
        Self { root: root.to_owned() }
    }

    pub fn v2(&self) -> PathBuf {
        self.root.join("docker/registry/v2")
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.v2().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.write(&data(&digest), bytes);
        digest
    }

    pub fn layer(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = self.blob(bytes);
        self.write(&layer_link(repository, &digest), digest.to_string().as_bytes());
        digest
    }

    /// As a push leaves it: blobs, children, the manifest; then the tag.
    pub fn push(&self, repository: &str, manifest: &Manifest, tag: Option<&str>) -> Digest {
        for blob in &manifest.blobs {
            self.layer(repository, blob);
        }
        for child in &manifest.children {
            self.push(repository, child, None);
        }
        fs::create_dir_all(self.v2().join(format!("repositories/{repository}/_layers"))).unwrap();
        let digest = self.blob(&manifest.bytes);
        self.write(&revision_link(repository, &digest), digest.to_string().as_bytes());
        if let Some(tag) = tag {
            let tag = format!("repositories/{repository}/_manifests/tags/{tag}");
            self.write(&format!("{tag}/index/{}/link", slashed(&digest)), digest.to_string().as_bytes());
            self.write(&format!("{tag}/current/link"), digest.to_string().as_bytes());
        }
        digest
    }

    /// A push by sha512, which leaves links in both algorithms, all of which say sha256.
    pub fn alias(&self, folder: &str, bytes: &[u8]) -> Digest {
        let alias = Digest::of(Algorithm::Sha512, bytes);
        self.write(&format!("{folder}/{}/link", slashed(&alias)), Digest::sha256(bytes).to_string().as_bytes());
        alias
    }

    pub fn remove(&self, path: &str) {
        let path = self.v2().join(path);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
}

pub fn slashed(digest: &Digest) -> String {
    digest.to_string().replacen(':', "/", 1)
}

pub fn data(digest: &Digest) -> String {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').unwrap();
    format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2])
}

pub fn revision_link(repository: &str, digest: &Digest) -> String {
    format!("repositories/{repository}/_manifests/revisions/{}/link", slashed(digest))
}

pub fn layer_link(repository: &str, digest: &Digest) -> String {
    format!("repositories/{repository}/_layers/{}/link", slashed(digest))
}

/// Every file and link below a folder, relative to it, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, below: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() { walk(folder, &path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(folder, Path::new(""), &mut found);
    found.sort();
    found
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() { copy(&source, &target) } else { _ = fs::copy(source, target).unwrap() }
    }
}

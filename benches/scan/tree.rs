//! A tree as a registry of multi-platform images leaves it: 40 tags a repository, two platforms each, five base layers
//! shared and two layers of its own for each platform.

use std::fs;
use std::path::Path;

use registry_integrity_probe::oci::Digest;
use serde_json::{Value, json};

const TAGS: usize = 40;

/// Writes repositories until there are that many links; returns how many there are.
pub fn generate(root: &Path, links: usize) -> usize {
    let v2 = root.join("docker/registry/v2");
    let mut written = 0;
    for number in 0.. {
        if written >= links {
            break;
        }
        let mut repository = Repository { v2: &v2, name: format!("team{}/app{number}", number % 20), links: 0 };
        repository.write(number);
        written += repository.links;
    }
    written
}

struct Repository<'a> {
    v2: &'a Path,
    name: String,
    links: usize,
}

impl Repository<'_> {
    fn write(&mut self, number: usize) {
        let shared: Vec<Vec<u8>> = (0..5).map(|layer| format!("base {} {layer}", number % 50).into_bytes()).collect();
        for tag in 0..TAGS {
            let mut children = Vec::new();
            for architecture in ["amd64", "arm64"] {
                let own = (0..2).map(|layer| format!("{number} {tag} {architecture} {layer}").into_bytes());
                let layers: Vec<Vec<u8>> = shared.iter().cloned().chain(own).collect();
                let config = format!("config of {number} {tag} {architecture}").into_bytes();
                layers.iter().chain([&config]).for_each(|blob| self.layer(blob));
                let manifest = json!({
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
                    "layers": layers.iter().map(|it| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", it)).collect::<Vec<_>>(),
                });
                let bytes = manifest.to_string().into_bytes();
                let mut child = descriptor("application/vnd.oci.image.manifest.v1+json", &bytes);
                child["platform"] = json!({"os": "linux", "architecture": architecture});
                self.manifest(&bytes);
                children.push(child);
            }
            let index = json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": children,
            });
            let digest = self.manifest(index.to_string().as_bytes());
            self.link(&format!("_manifests/tags/v{tag}/current"), &digest);
            self.link(&format!("_manifests/tags/v{tag}/index/{}", slashed(&digest)), &digest);
        }
    }

    fn layer(&mut self, bytes: &[u8]) {
        let digest = self.blob(bytes);
        self.link(&format!("_layers/{}", slashed(&digest)), &digest);
    }

    fn manifest(&mut self, bytes: &[u8]) -> Digest {
        let digest = self.blob(bytes);
        self.link(&format!("_manifests/revisions/{}", slashed(&digest)), &digest);
        digest
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let hex = digest.to_string().replace("sha256:", "");
        write(&self.v2.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])), bytes);
        digest
    }

    fn link(&mut self, folder: &str, digest: &Digest) {
        let path = self.v2.join(format!("repositories/{}/{folder}/link", self.name));
        self.links += usize::from(write(&path, digest.to_string().as_bytes()));
    }
}

/// Writes a file, unless it is there.
fn write(path: &Path, content: &[u8]) -> bool {
    if path.exists() {
        return false;
    }
    fs::create_dir_all(path.parent().expect("a folder")).expect("room for a folder");
    fs::write(path, content).expect("room for a file");
    true
}

fn slashed(digest: &Digest) -> String {
    digest.to_string().replace(':', "/")
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "size": bytes.len(), "digest": Digest::sha256(bytes).to_string()})
}

//! The images of the benchmarks: the same for everybody who runs them.
//!
//! A repository has ten tags, each an index of two platforms with their attestations: 10 manifests, 40 children, 40 configs
//! and 170 layers, of which the images of a repository share ten. 200 of them are 52,000 objects behind 2,000 tags.

use std::fmt::Write;

use registry_integrity_probe::oci::Digest;

pub const TAGS: usize = 10;
pub const OBJECTS: usize = 10 + 40 + 40 + 170;
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Everything that a repository holds, blobs' bytes aside.
pub struct Repository {
    pub name: String,
    pub tags: Vec<(String, Digest)>,
    pub manifests: Vec<Manifest>,
    /// Digest, length, and the name that [`Blobs`] made them of; each once.
    pub blobs: Vec<(Digest, u64, String)>,
}

pub struct Manifest {
    pub digest: Digest,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

/// What a blob of a name is.
pub type Blobs = fn(&str) -> (Digest, u64);

/// The repository of a number.
pub fn repository(number: usize, blobs: Blobs) -> Repository {
    let mut made = Repository { name: name(number), tags: Vec::new(), manifests: Vec::new(), blobs: Vec::new() };
    for tag in 0..TAGS {
        let mut children = String::new();
        for platform in ["amd64", "arm64"] {
            let shared = (0..5).map(|layer| format!("{number} {platform} base {layer}"));
            let own = (0..7).map(|layer| format!("{number} {platform} {tag} layer {layer}"));
            let layers: Vec<String> = shared.chain(own).collect();
            let child = made.manifest(&format!("{number} {platform} {tag} config"), &layers, blobs);
            let proof = made.manifest(
                &format!("{number} {platform} {tag} attestation config"),
                &[format!("{number} {platform} {tag} attestation")],
                blobs,
            );
            let comma = if children.is_empty() { "" } else { "," };
            let _ = write!(
                children,
                r#"{comma}{},"platform":{{"architecture":"{platform}","os":"linux"}}}}"#,
                descriptor(MANIFEST, &child.0, child.1)
            );
            let _ = write!(
                children,
                r#",{},"annotations":{{"vnd.docker.reference.digest":"{}","vnd.docker.reference.type":"attestation-manifest"}},"platform":{{"architecture":"unknown","os":"unknown"}}}}"#,
                descriptor(MANIFEST, &proof.0, proof.1),
                child.0
            );
        }
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{children}]}}"#);
        let (digest, _) = made.add(INDEX, index);
        made.tags.push((format!("1.0.{tag}"), digest));
    }
    made.blobs.sort_unstable();
    made.blobs.dedup();
    made
}

/// Sorted as the numbers are.
pub fn name(number: usize) -> String {
    format!("app{number:07}")
}

impl Repository {
    fn manifest(&mut self, config: &str, layers: &[String], blobs: Blobs) -> (Digest, u64) {
        let config = self.blob(CONFIG, config, blobs);
        let layers: Vec<String> = layers.iter().map(|layer| self.blob(LAYER, layer, blobs)).collect();
        let layers = layers.join(",");
        self.add(
            MANIFEST,
            format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layers}]}}"#),
        )
    }

    fn blob(&mut self, media_type: &str, name: &str, blobs: Blobs) -> String {
        let (digest, size) = blobs(name);
        let descriptor = format!("{}}}", descriptor(media_type, &digest, size));
        self.blobs.push((digest, size, name.to_string()));
        descriptor
    }

    fn add(&mut self, media_type: &'static str, text: String) -> (Digest, u64) {
        let bytes = text.into_bytes();
        let (digest, size) = (Digest::sha256(&bytes), bytes.len() as u64);
        self.manifests.push(Manifest { digest: digest.clone(), media_type, bytes });
        (digest, size)
    }
}

/// Without the closing brace.
fn descriptor(media_type: &str, digest: &Digest, size: u64) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}"#)
}

/// The bytes of a blob that really exists: from 30 bytes to some kilobytes; a config is one that others can read, too.
pub fn bytes(name: &str) -> Vec<u8> {
    if name.ends_with("config") {
        let platform = if name.contains("arm64") { "arm64" } else { "amd64" };
        let rootfs = r#"{"type":"layers","diff_ids":[]}"#;
        let config = format!(r#"{{"architecture":"{platform}","os":"linux","rootfs":{rootfs},"comment":"{name}"}}"#);
        return config.into_bytes();
    }
    let times = 1 + usize::from(Digest::sha256(name.as_bytes()).as_bytes()[0]) / 2;
    format!("{name}\n").repeat(times).into_bytes()
}

/// A blob that really exists.
pub fn stored(name: &str) -> (Digest, u64) {
    let bytes = bytes(name);
    (Digest::sha256(&bytes), bytes.len() as u64)
}

/// A blob that no server holds: its length is in its digest.
pub fn imagined(name: &str) -> (Digest, u64) {
    let digest = Digest::sha256(name.as_bytes());
    let size = imagined_size(digest.as_bytes()[0], digest.as_bytes()[1]);
    (digest, size)
}

/// The length of an imagined blob, by the first two bytes of its digest.
pub fn imagined_size(first: u8, second: u8) -> u64 {
    1 + u64::from(first) * 256 + u64::from(second)
}

//! skopeo as a peer, and the OCI image layout that it reads (OCI image specification, image-layout.md).

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use registry_integrity_probe::demo::Image;
use serde_json::json;
use tokio::process::Command;

use super::docker_registry::DockerRegistry;
use super::peer;

/// No copy of a test may take longer.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Writes an image into a directory as an OCI image layout, under a tag.
pub fn write_layout(directory: &Path, tag: &str, image: &Image) {
    let root = image.root();
    for part in image.parts().iter().filter(|part| part.urls.is_empty()) {
        let file = directory.join("blobs").join(part.digest.to_string().replace(':', "/"));
        fs::create_dir_all(file.parent().expect("a joined path has a parent")).expect("a writable directory");
        fs::write(file, &part.bytes).expect("a writable directory");
    }
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": root.media_type, "digest": root.digest, "size": root.bytes.len(),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }]});
    fs::write(directory.join("index.json"), index.to_string()).expect("a writable directory");
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a writable directory");
}

/// Copies an image, whatever its digests, to a registry as `repository:tag`; `None` if skopeo is not installed.
pub async fn skopeo_copy(image: &Image, registry: &DockerRegistry, name: &str) -> Option<Output> {
    let layout = tempfile::tempdir().expect("a temporary directory");
    write_layout(layout.path(), "image", image);
    let source = format!("oci:{}:image", layout.path().display());
    let destination = format!("docker://{}/{name}", registry.address());
    skopeo(&["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", &source, &destination]).await
}

/// Runs skopeo with no policy of who may be trusted; `None` if it is not installed.
///
/// # Panics
///
/// If it takes longer than a minute.
pub async fn skopeo(arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(peer("skopeo")?);
    let ended = command.arg("--insecure-policy").args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(TIME_LIMIT, ended).await.expect("skopeo ends in time");
    Some(output.expect("skopeo can be run"))
}

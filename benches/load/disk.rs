//! The images as docker-registry keeps them, and docker-registry over them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use registry_integrity_probe::oci::Digest;

use super::Evidence;
use super::images::{bytes, repository, stored};
use super::limit;
use super::list::requests;
use super::process::Background;

/// Writes the storage tree, unless it is there from an earlier run.
fn generate(root: &Path, repositories: usize) {
    let finished = root.join(format!("finished-{repositories}"));
    if finished.exists() {
        return;
    }
    let v2 = root.join("docker/registry/v2");
    for number in 0..repositories {
        let made = repository(number, stored);
        let folder = v2.join("repositories").join(&made.name);
        let blob = |digest: &Digest, bytes: &[u8]| {
            let (algorithm, hex) = split(digest);
            write(&v2.join(format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2])), bytes);
        };
        let link = |place: &str, digest: &Digest| {
            let place = if place.contains("tags") { place.to_string() } else { format!("{place}/{}", slashed(digest)) };
            write(&folder.join(place).join("link"), digest.to_string().as_bytes());
        };
        for manifest in &made.manifests {
            blob(&manifest.digest, &manifest.bytes);
            link("_manifests/revisions", &manifest.digest);
        }
        for (digest, _, name) in &made.blobs {
            blob(digest, &bytes(name));
            link("_layers", digest);
        }
        for (tag, digest) in &made.tags {
            link(&format!("_manifests/tags/{tag}/current"), digest);
            link(&format!("_manifests/tags/{tag}/index/{}", slashed(digest)), digest);
        }
    }
    File::create(finished).expect("room for a file");
}

/// A server over a storage tree.
pub struct Server {
    pub address: SocketAddr,
    pub process: Background,
}

/// Writes the tree below a place where it stays for the next run, and serves it; `None` if docker-registry is not installed.
pub fn serve(place: &Path, repositories: usize) -> Option<Server> {
    let root = place.join(format!("registry-integrity-probe-bench-{repositories}"));
    generate(&root, repositories);
    let server = start(&root);
    if server.is_none() {
        println!("SKIPPED: docker-registry is not installed");
    }
    server
}

/// Starts docker-registry without a cache and without a log.
fn start(root: &Path) -> Option<Server> {
    let program = program("docker-registry")?;
    let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let config = root.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
         maintenance: {{uploadpurging: {{enabled: false}}}}\nhttp: {{addr: \"{address}\"}}\n",
        root.display()
    );
    write(&config, text.as_bytes());
    let mut serve = Command::new(program);
    serve.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Background(serve.spawn().expect("docker-registry can be run"));
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "docker-registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(Server { address, process })
}

/// Asks for every hundredth request of the list, which must succeed: the tree is what the generator thinks it is.
pub fn check_a_sample(address: SocketAddr, repositories: usize) -> usize {
    let sample: Vec<_> = requests(repositories, stored, Evidence::Byte).into_iter().step_by(97).collect();
    limit::run(address, 4, &sample).requests
}

/// Where a program lies, if it is installed.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("room for a folder");
    fs::write(path, bytes).expect("room for a file");
}

fn split(digest: &Digest) -> (String, String) {
    let text = digest.to_string();
    let (algorithm, hex) = text.split_once(':').expect("a digest has a colon");
    (algorithm.to_string(), hex.to_string())
}

fn slashed(digest: &Digest) -> String {
    digest.to_string().replace(':', "/")
}

//! A real registry that serves a storage, and pushes to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use registry_integrity_probe::oci::Digest;

use super::{Manifest, peer};

pub struct Server {
    process: Child,
    port: u16,
}

pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Server {
    /// Starts a registry on a `rootdirectory`, and waits until it answers.
    pub fn start(program: &Path, root: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = root.with_extension("serve.yml");
        std::fs::write(&file, peer::configuration(root, port)).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&file).env("OTEL_TRACES_EXPORTER", "none");
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { process, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{} does not answer", program.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nAccept: {}\r\n\r\n",
            self.port,
            body.len(),
            registry_integrity_probe::oci::MANIFEST_ACCEPT,
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").expect("an answer with a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).map(str::to_string);
        Answer { status, location, body: answer[end + 4..].to_vec() }
    }

    /// Pushes a manifest with all that it needs, as clients do.
    pub fn push(&self, repository: &str, manifest: &Manifest, tag: Option<&str>) {
        for blob in &manifest.blobs {
            let answer = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
            let location = answer.location.unwrap();
            let path = location.split_once("/v2/").map(|(_, path)| format!("/v2/{path}")).unwrap();
            let digest = Digest::sha256(blob).to_string().replace(':', "%3A");
            let answer = self.request("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", blob);
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        }
        for child in &manifest.children {
            self.push(repository, child, None);
        }
        let reference = tag.map_or_else(|| manifest.digest().to_string(), str::to_string);
        let answer = self.put_manifest(repository, manifest, &reference);
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    }

    pub fn put_manifest(&self, repository: &str, manifest: &Manifest, reference: &str) -> Answer {
        self.request("PUT", &format!("/v2/{repository}/manifests/{reference}"), manifest.media_type, &manifest.bytes)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

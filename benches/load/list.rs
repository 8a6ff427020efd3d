//! The requests of a sweep as a list, for clients that only send them.

use std::fmt::Write;

use registry_integrity_probe::oci::MANIFEST_ACCEPT;

use super::Evidence;
use super::images::{Blobs, Repository, name, repository};

const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// One request of a list.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    /// The only byte that is wanted.
    pub byte: Option<u64>,
}

impl Request {
    fn new(method: &'static str, path: String) -> Self {
        Self { method, path, byte: None }
    }

    /// As it goes over the wire, to the byte as a sweep sends it.
    pub fn head(&self, host: &str) -> Vec<u8> {
        let Self { method, path, byte } = self;
        let (accept, encoding) = match path {
            path if path.contains("/manifests/") => (MANIFEST_ACCEPT, "identity"),
            path if path.contains("/blobs/") => ("*/*", "identity"),
            _ => ("application/json", "gzip"),
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\naccept: {accept}\r\naccept-encoding: {encoding}\r\n");
        if let Some(byte) = byte {
            let _ = write!(head, "range: bytes={byte}-{byte}\r\n");
        }
        let _ = write!(head, "user-agent: {AGENT}\r\nhost: {host}\r\n");
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// Everything that a sweep of so many repositories asks.
pub fn requests(repositories: usize, blobs: Blobs, evidence: Evidence) -> Vec<Request> {
    let mut list = vec![Request::new("GET", "/v2/_catalog?n=1000".to_string())];
    for page in 1..repositories.div_ceil(1000) {
        let last = name(page * 1000 - 1);
        list.push(Request::new("GET", format!("/v2/_catalog?last={last}&n=1000")));
    }
    if let Some(last) = repositories.checked_sub(1) {
        list.push(Request::new("GET", format!("/v2/_catalog?n=1000&last={}", name(last))));
    }
    for number in 0..repositories {
        list.extend(requests_of(&repository(number, blobs), evidence));
    }
    list
}

fn requests_of(repository: &Repository, evidence: Evidence) -> Vec<Request> {
    let Repository { name, tags, manifests, blobs } = repository;
    let mut list = vec![Request::new("GET", format!("/v2/{name}/tags/list?n=1000"))];
    list.extend(tags.iter().map(|(tag, _)| Request::new("HEAD", format!("/v2/{name}/manifests/{tag}"))));
    list.extend(manifests.iter().map(|it| Request::new("GET", format!("/v2/{name}/manifests/{}", it.digest))));
    list.extend(blobs.iter().map(|(digest, size, _)| {
        let path = format!("/v2/{name}/blobs/{digest}");
        match evidence {
            Evidence::Head => Request::new("HEAD", path),
            Evidence::Byte => Request { byte: Some(size - 1), ..Request::new("GET", path) },
        }
    }));
    list
}

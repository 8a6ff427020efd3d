//! A registry of any size that holds nothing: every answer is made when it is asked for. One thread, and as little work as a
//! registry can do, so that what is measured is the client.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use registry_integrity_probe::oci::Digest;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::images::{self, Repository, imagined, imagined_size, name};

const PAGE: usize = 1000;
/// Repositories whose manifests are kept: all of the common set.
const KEPT: usize = 256;

/// Serves so many repositories until it is killed.
pub fn serve(listener: &TcpListener, repositories: usize) {
    const LISTENER: u64 = u64::MAX;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&epoll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN).expect("epoll");
    let mut registry = Synthetic { repositories, kept: HashMap::new(), order: VecDeque::new() };
    let mut connections: HashMap<u64, (TcpStream, Vec<u8>)> = HashMap::new();
    let mut next = 0;
    let mut events = Vec::with_capacity(64);
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None).expect("epoll");
        for event in events.drain(..) {
            let data = event.data;
            if data.u64() == LISTENER {
                let (stream, _) = listener.accept().expect("a connection");
                stream.set_nodelay(true).expect("a TCP connection");
                epoll::add(&epoll, &stream, epoll::EventData::new_u64(next), epoll::EventFlags::IN).expect("epoll");
                connections.insert(next, (stream, Vec::new()));
                next += 1;
                continue;
            }
            let id = data.u64();
            let Some((stream, received)) = connections.get_mut(&id) else { continue };
            if !registry.take(stream, received) {
                connections.remove(&id);
            }
        }
    }
}

struct Synthetic {
    repositories: usize,
    kept: HashMap<usize, Kept>,
    order: VecDeque<usize>,
}

struct Kept {
    repository: Repository,
    by_digest: HashMap<String, usize>,
}

impl Synthetic {
    /// Reads what came and answers it; false once the client has gone.
    fn take(&mut self, stream: &mut TcpStream, received: &mut Vec<u8>) -> bool {
        let mut chunk = [0; 8 * 1024];
        let Ok(read @ 1..) = stream.read(&mut chunk) else { return false };
        received.extend_from_slice(&chunk[..read]);
        while let Some(end) = received.windows(4).position(|it| it == b"\r\n\r\n") {
            let answer = match std::str::from_utf8(&received[..end]) {
                Ok(head) => self.answer(head),
                Err(_) => return false,
            };
            received.drain(..end + 4);
            if stream.write_all(&answer).is_err() {
                return false;
            }
        }
        true
    }

    fn answer(&mut self, head: &str) -> Vec<u8> {
        let mut words = head.split(' ');
        let is_head = words.next() == Some("HEAD");
        let (path, query) = words.next().map_or(("", ""), |target| target.split_once('?').unwrap_or((target, "")));
        let path = path.strip_prefix("/v2/").unwrap_or_default();
        if path == "_catalog" {
            return self.catalog(query);
        }
        let mut parts = path.splitn(3, '/');
        let (repository, endpoint, rest) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
        let number = repository.and_then(|it| it.strip_prefix("app")).and_then(|it| it.parse().ok());
        match (number.filter(|&it: &usize| it < self.repositories), endpoint) {
            (Some(number), Some("tags")) => {
                let tags: Vec<String> = (0..images::TAGS).map(|tag| format!("\"1.0.{tag}\"")).collect();
                let body = format!(r#"{{"name":"{}","tags":[{}]}}"#, name(number), tags.join(","));
                answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes(), false)
            }
            (Some(number), Some("manifests")) => self.manifest(number, rest, is_head),
            (Some(_), Some("blobs")) => blob(head, rest, is_head),
            _ => answer("404 Not Found", "", b"{}", is_head),
        }
    }

    fn catalog(&self, query: &str) -> Vec<u8> {
        let last = query.split('&').find_map(|it| it.strip_prefix("last=app")).and_then(|it| it.parse().ok());
        let first = last.map_or(0, |last: usize| last + 1);
        let end = self.repositories.min(first + PAGE);
        let names: Vec<String> = (first..end).map(|number| format!("\"{}\"", name(number))).collect();
        let link = if end < self.repositories {
            format!("Link: </v2/_catalog?last={}&n={PAGE}>; rel=\"next\"\r\n", name(end - 1))
        } else {
            String::new()
        };
        let body = format!(r#"{{"repositories":[{}]}}"#, names.join(","));
        answer("200 OK", &format!("Content-Type: application/json\r\n{link}"), body.as_bytes(), false)
    }

    fn manifest(&mut self, number: usize, reference: &str, is_head: bool) -> Vec<u8> {
        let Kept { repository, by_digest } = self.repository(number);
        let found = match reference.strip_prefix("1.0.").and_then(|tag| tag.parse::<usize>().ok()) {
            Some(tag) => repository.tags.get(tag).and_then(|(_, digest)| by_digest.get(&digest.to_string())),
            None => by_digest.get(reference),
        };
        let Some(manifest) = found.map(|&position| &repository.manifests[position]) else {
            return answer("404 Not Found", "", br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#, is_head);
        };
        let headers = format!("Content-Type: {}\r\n{}", manifest.media_type, signed(&manifest.digest.to_string()));
        answer("200 OK", &headers, &manifest.bytes, is_head)
    }

    fn repository(&mut self, number: usize) -> &Kept {
        if !self.kept.contains_key(&number) {
            if self.order.len() == KEPT {
                self.order.pop_front().map(|oldest| self.kept.remove(&oldest));
            }
            self.order.push_back(number);
        }
        self.kept.entry(number).or_insert_with(|| {
            let repository = images::repository(number, imagined);
            let by_digest = repository.manifests.iter().enumerate().map(|(n, it)| (it.digest.to_string(), n)).collect();
            Kept { repository, by_digest }
        })
    }
}

fn blob(head: &str, digest: &str, is_head: bool) -> Vec<u8> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let byte = |at: usize| hex.get(at..at + 2).and_then(|it| u8::from_str_radix(it, 16).ok());
    let Some((first, second)) = byte(0).zip(byte(2)).filter(|_| digest.parse::<Digest>().is_ok()) else {
        return answer("404 Not Found", "", br#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#, is_head);
    };
    let size = imagined_size(first, second);
    let headers = format!("Content-Type: application/octet-stream\r\n{}", signed(digest));
    if is_head {
        return format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {size}\r\n\r\n").into_bytes();
    }
    let last = size - 1;
    assert!(
        head.lines().any(|line| line.len() > 6 && line[..6].eq_ignore_ascii_case("range:")),
        "a whole blob that nobody holds"
    );
    answer("206 Partial Content", &format!("{headers}Content-Range: bytes {last}-{last}/{size}\r\n"), b"x", false)
}

/// What distribution says of an object.
fn signed(digest: &str) -> String {
    format!(
        "Docker-Content-Digest: {digest}\r\nDocker-Distribution-Api-Version: registry/2.0\r\nEtag: \"{digest}\"\r\n\
         Cache-Control: max-age=31536000\r\nX-Content-Type-Options: nosniff\r\n\
         Date: Wed, 25 Nov 2026 12:00:00 GMT\r\n"
    )
}

fn answer(status: &str, headers: &str, body: &[u8], is_head: bool) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    if !is_head {
        answer.extend_from_slice(body);
    }
    answer
}

//! As little as a client can do: requests that are ready, over connections that stay open, one thread, and answers read to
//! their end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::list::Request;
use super::process;

/// What a run of the client brought.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub requests: usize,
    /// Of this client, in seconds.
    pub cpu: f64,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    is_head: bool,
}

/// Sends all requests over so many connections, in order, each as soon as one is free.
///
/// # Panics
///
/// If an answer is no success, or a connection breaks.
pub fn run(address: SocketAddr, connections: usize, list: &[Request]) -> Run {
    let host = address.to_string();
    let ready: Vec<(Vec<u8>, bool)> =
        list.iter().map(|request| (request.head(&host), request.method == "HEAD")).collect();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let mut open: Vec<Connection> = Vec::new();
    for number in 0..connections {
        let stream = TcpStream::connect(address).expect("a server that listens");
        stream.set_nodelay(true).expect("a TCP connection");
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll, &stream, data, epoll::EventFlags::IN).expect("epoll");
        open.push(Connection { stream, received: Vec::with_capacity(64 * 1024), is_head: false });
    }
    let cpu = process::own_cpu();
    let mut waiting = ready.iter();
    let mut in_flight = 0;
    for connection in &mut open {
        in_flight += usize::from(connection.send(&mut waiting));
    }
    let mut events = Vec::with_capacity(connections);
    while in_flight > 0 {
        // A process that stood still for a while is told so.
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => {}
            waited => drop(waited.expect("epoll")),
        }
        for event in events.drain(..) {
            let connection = &mut open[usize::try_from(event.data.u64()).expect("a connection's number")];
            if connection.receive() {
                in_flight -= usize::from(!connection.send(&mut waiting));
            }
        }
    }
    Run { requests: ready.len(), cpu: process::own_cpu() - cpu }
}

impl Connection {
    fn send<'a>(&mut self, waiting: &mut impl Iterator<Item = &'a (Vec<u8>, bool)>) -> bool {
        let Some((bytes, is_head)) = waiting.next() else { return false };
        self.is_head = *is_head;
        self.stream.write_all(bytes).expect("a connection that holds");
        true
    }

    /// Reads what is there; true once the answer is whole.
    fn receive(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk).expect("a connection that holds");
        assert!(read > 0, "the server closed a connection");
        self.received.extend_from_slice(&chunk[..read]);
        let is_whole = is_whole(&self.received, self.is_head);
        if is_whole {
            self.received.clear();
        }
        is_whole
    }
}

/// True if an answer has come to its end, which must be a success.
pub fn is_whole(received: &[u8], is_head: bool) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = answer.parse(received) else { return false };
    let status = answer.code.unwrap_or_default();
    assert!((200..300).contains(&status), "{}", String::from_utf8_lossy(received));
    let header = |name: &str| {
        let header = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    is_head
        || match header("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => received.len() >= head + length,
            None => received.ends_with(b"0\r\n\r\n"),
        }
}

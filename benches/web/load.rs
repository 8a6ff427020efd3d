//! Clients of page and API, at a steady rate whatever the service takes for an answer.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Requests a second, of all clients together.
pub const RATE: u32 = 200;
const CLIENTS: u32 = 8;

/// What is asked for, in turns: pages as browsers show them, answers as scripts read them, and metrics.
const PATHS: [&str; 9] = [
    "/",
    "/api/v1/findings",
    "/image?registry=private&image=team0/app0:v1",
    "/api/v1/registries",
    "/search?q=app0",
    "/api/v1/findings?state=resolved",
    "/metrics",
    "/api/v1/images?registry=private&reference=team0/app0:v1",
    "/api/v1/sweeps?limit=100",
];

/// Clients that ask until they are told to end.
pub struct Load {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<(usize, Duration)>>>,
}

/// How long each request waited for the end of its answer, from the moment at which it was due.
#[derive(Default)]
pub struct Waits(Vec<(usize, Duration)>);

impl Load {
    pub fn begin(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |n: u32| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || ask(address, n, &is_over))
        };
        Self { clients: (0..CLIENTS).map(client).collect(), is_over }
    }

    pub fn end(self) -> Waits {
        self.is_over.store(true, Ordering::Relaxed);
        Waits(self.clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect())
    }
}

impl Waits {
    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, mut waits: Vec<Duration>| {
            waits.sort_unstable();
            let at = |share: f64| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
                let index = (waits.len() as f64 * share) as usize;
                waits.get(index.min(waits.len().saturating_sub(1))).copied().unwrap_or_default()
            };
            let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
            writeln!(f, "{:>6} requests: p50 {p50:.1?}, p99 {p99:.1?}, longest {max:.1?}  {name}", waits.len())
        };
        line(f, "all", self.0.iter().map(|(_, wait)| *wait).collect())?;
        for (index, path) in PATHS.iter().enumerate() {
            line(f, path, self.0.iter().filter(|(of, _)| *of == index).map(|(_, wait)| *wait).collect())?;
        }
        Ok(())
    }
}

/// One client on one connection: asks at its moments, late ones at once, and counts from the moment on.
fn ask(address: SocketAddr, number: u32, is_over: &AtomicBool) -> Vec<(usize, Duration)> {
    let stream = TcpStream::connect(address).expect("the service accepts connections");
    stream.set_nodelay(true).expect("an option of TCP");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    let pause = Duration::from_secs(1) / RATE * CLIENTS;
    let begin = Instant::now() + Duration::from_secs(1) / RATE * number;
    let mut waits = Vec::new();
    for n in 0.. {
        let due = begin + pause * n;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let index = (n + number) as usize % PATHS.len();
        let head = format!("GET {} HTTP/1.1\r\nhost: bench\r\naccept-encoding: gzip\r\n\r\n", PATHS[index]);
        writer.write_all(head.as_bytes()).expect("the service takes a request");
        read_answer(&mut reader);
        waits.push((index, due.elapsed()));
    }
    waits
}

fn read_answer(reader: &mut impl BufRead) {
    let (mut length, mut is_chunked, mut line) = (0, false, String::new());
    for n in 0.. {
        line.clear();
        reader.read_line(&mut line).expect("a line of the head");
        assert!(n > 0 || line.starts_with("HTTP/1.1 200"), "{line}");
        let lower = line.trim_end().to_ascii_lowercase();
        match lower.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().expect("a length"),
            Some(("transfer-encoding", _)) => is_chunked = true,
            Some(_) => {}
            None if lower.is_empty() => break,
            None => {}
        }
    }
    loop {
        if is_chunked {
            line.clear();
            reader.read_line(&mut line).expect("the length of a chunk");
            length = u64::from_str_radix(line.trim_end(), 16).expect("the length of a chunk");
        }
        let read = std::io::copy(&mut reader.take(length), &mut std::io::sink()).expect("the body");
        assert_eq!(read, length, "a whole body");
        if !is_chunked {
            return;
        }
        line.clear();
        reader.read_line(&mut line).expect("the end of a chunk");
        if length == 0 {
            return;
        }
    }
}

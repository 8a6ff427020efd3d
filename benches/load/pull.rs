//! What somebody who pulls images notices of a sweep: pulls without one, during a paced one, during as many requests of a
//! client that only sends them, and during a sweep that is not paced, in turns.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Evidence;
use super::compare::told;
use super::disk::Server;
use super::images::{Repository, repository, stored};
use super::limit::is_whole;
use super::list::requests;
use super::process::{Background, cpu_of};
use super::sweep;
use super::turns::{PAUSE, go_on, stand_still};

/// Between the starts of two pulls.
const EVERY: Duration = Duration::from_millis(25);
/// How long each of them goes on in its turn.
const TURN: Duration = Duration::from_secs(1);
/// Of it, at its beginning, what is not counted: whatever stood still has then gone on.
const SETTLED: Duration = Duration::from_millis(100);

type Start<'a> = Box<dyn Fn() -> Child + 'a>;

/// What goes on while images are pulled.
struct Meanwhile<'a> {
    name: &'static str,
    start: Option<Start<'a>>,
    running: Option<Background>,
    /// Of the requests of each round, in seconds.
    times: Vec<Vec<f64>>,
    /// Processor time of the server in its turns so far, in seconds.
    served: f64,
}

/// Measures so many rounds of so many turns of each; what is paced sends so many requests a second.
pub fn measure(folder: &Path, server: &Server, repositories: usize, rounds: usize, turns: usize, rate: f64) {
    let made: Vec<Repository> = (0..repositories).map(|number| repository(number, stored)).collect();
    let address = server.address;
    let url = format!("http://{address}");
    let paced = format!("    rate_limit: {rate}\n");
    let sweep = |evidence, settings| {
        sweep::command(folder, &url, evidence, settings).spawn().expect("a program that can be run")
    };
    let starts: [(&str, Option<Start<'_>>); 4] = [
        ("nothing", None),
        // What is paced is a sweep after the first, when nearly all that was proved is asked for by HEAD.
        ("a paced sweep", Some(Box::new(|| sweep(Evidence::Head, &paced)))),
        ("a paced client", Some(Box::new(|| paced_client(address, repositories, rate)))),
        ("a sweep that is not paced", Some(Box::new(|| sweep(Evidence::Byte, "")))),
    ];
    let mut all = starts.map(|(name, start)| Meanwhile { name, start, running: None, times: vec![], served: 0.0 });
    let mut random = fastrand::Rng::with_seed(1);
    // What has not run yet is slower; that is not counted.
    for kind in &mut all {
        kind.turn(server, &made, &mut random);
        kind.served = 0.0;
    }
    for _ in 0..rounds {
        let mut order: Vec<&mut Meanwhile<'_>> = all.iter_mut().collect();
        order.iter_mut().for_each(|kind| kind.times.push(vec![]));
        for _ in 0..turns {
            // So that none comes after the same other each time.
            random.shuffle(&mut order);
            for kind in &mut order {
                let times = kind.turn(server, &made, &mut random);
                kind.times.last_mut().expect("a round").extend(times);
            }
        }
    }
    println!(
        "{rounds} rounds of {turns} turns of {TURN:?}, a pull every {EVERY:?}; what is paced sends {rate} requests/s"
    );
    let [without, others @ ..] = &all;
    without.tell(turns);
    for kind in others {
        kind.tell(turns);
        for (share, name) in [(0.5, "half"), (0.99, "99 of 100")] {
            let rise =
                |times: &[f64], without: &[f64]| (percentile(times, share) / percentile(without, share) - 1.0) * 100.0;
            let of_all = rise(&kind.times.concat(), &without.times.concat());
            let of_rounds = kind.times.iter().zip(&without.times).map(|(times, without)| rise(times, without));
            println!("    {name}, to nothing: {of_all:+.1} % of all, by rounds {} %", told(of_rounds, 1));
        }
    }
}

impl Meanwhile<'_> {
    /// The times of what is pulled in its turn, in seconds.
    fn turn(&mut self, server: &Server, made: &[Repository], random: &mut fastrand::Rng) -> Vec<f64> {
        if let Some(start) = &self.start {
            self.running.take_if(|running| running.0.try_wait().expect("a child can be waited for").is_some());
            go_on(self.running.get_or_insert_with(|| Background(start())));
        }
        let served = cpu_of(server.process.0.id());
        pulls(server.address, made, SETTLED, random);
        let times = pulls(server.address, made, TURN - SETTLED, random);
        self.served += cpu_of(server.process.0.id()) - served;
        if let Some(running) = &self.running {
            stand_still(running);
        }
        std::thread::sleep(PAUSE);
        times
    }

    fn tell(&self, turns: usize) {
        let of_rounds = |share: f64| told(self.times.iter().map(|times| percentile(times, share) * 1e3), 2);
        let count = self.times.iter().map(Vec::len).sum::<usize>();
        let (half, late) = (of_rounds(0.5), of_rounds(0.99));
        println!("  beside {}, {count} requests: half within {half} ms, 99 of 100 within {late} ms", self.name);
        println!("    server: {:.2} s of CPU a turn", self.served / (self.times.len() * turns) as f64);
    }
}

/// The times of all requests of the pulls of a window, in seconds.
fn pulls(address: SocketAddr, made: &[Repository], window: Duration, random: &mut fastrand::Rng) -> Vec<f64> {
    let mut stream = TcpStream::connect(address).expect("a registry that listens");
    stream.set_nodelay(true).expect("a TCP connection");
    let mut times = Vec::new();
    let began = Instant::now();
    let mut next = began;
    while began.elapsed() < window {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += EVERY;
        let repository = &made[random.usize(..made.len())];
        let tag = &repository.tags[random.usize(..repository.tags.len())].0;
        let name = &repository.name;
        let mut paths = vec![format!("/v2/{name}/manifests/{tag}")];
        paths.push(format!("/v2/{name}/manifests/{}", repository.manifests[random.usize(..10)].digest));
        paths.extend((0..6).map(|_| {
            let (digest, ..) = &repository.blobs[random.usize(..repository.blobs.len())];
            format!("/v2/{name}/blobs/{digest}")
        }));
        for path in paths {
            let asked = Instant::now();
            fetch(&mut stream, address, &path);
            times.push(asked.elapsed().as_secs_f64());
        }
    }
    times
}

fn fetch(stream: &mut TcpStream, address: SocketAddr, path: &str) {
    let accept = registry_integrity_probe::oci::MANIFEST_ACCEPT;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a connection that holds");
    receive(stream, false);
}

fn receive(stream: &mut TcpStream, is_head: bool) {
    let (mut received, mut chunk) = (Vec::new(), [0; 64 * 1024]);
    loop {
        let read = stream.read(&mut chunk).expect("a connection that holds");
        assert!(read > 0, "the registry closed a connection");
        received.extend_from_slice(&chunk[..read]);
        if is_whole(&received, is_head) {
            return;
        }
    }
}

/// A client of a process of its own that sends the requests of a sweep, in no order, one after the other.
fn paced_client(address: SocketAddr, repositories: usize, rate: f64) -> Child {
    Command::new(std::env::current_exe().expect("this program's path"))
        .args(["paced", "--address", &address.to_string(), "--repositories", &repositories.to_string()])
        .args(["--rate", &rate.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .expect("this program can be run")
}

/// What that process does.
pub fn run_paced_client(address: SocketAddr, repositories: usize, rate: f64) {
    let mut list = requests(repositories, stored, Evidence::Head);
    fastrand::Rng::with_seed(2).shuffle(&mut list);
    let host = address.to_string();
    let mut stream = TcpStream::connect(address).expect("a registry that listens");
    stream.set_nodelay(true).expect("a TCP connection");
    let mut next = Instant::now();
    for request in list {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next = next.max(Instant::now()) + Duration::from_secs_f64(1.0 / rate);
        stream.write_all(&request.head(&host)).expect("a connection that holds");
        receive(&mut stream, request.method == "HEAD");
    }
}

fn percentile(times: &[f64], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

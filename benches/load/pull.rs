//! What somebody who pulls images notices of a sweep: pulls without one, during a paced one and during one that is not
//! paced, in turns.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Evidence;
use super::images::{Repository, repository, stored};
use super::process::{Background, spread};
use super::sweep;

/// Between the starts of two pulls.
const EVERY: Duration = Duration::from_millis(25);

/// Measures so many rounds of windows of this length; a paced sweep sends so many requests a second.
pub fn measure(folder: &Path, address: SocketAddr, repositories: usize, rounds: usize, window: Duration, rate: f64) {
    let made: Vec<Repository> = (0..repositories).map(|number| repository(number, stored)).collect();
    let url = format!("http://{address}");
    let paced = format!("    rate_limit: {rate}\n");
    let mut all: [Vec<f64>; 3] = Default::default();
    let (mut rises, mut unpaced_rises) = (Vec::new(), Vec::new());
    // The first round warms up.
    for round in 0..=rounds {
        let mut of_round = [0.0; 3];
        // What is paced is a sweep after the first, when nearly all that was proved is asked for by HEAD.
        let kinds = [None, Some((Evidence::Head, paced.as_str())), Some((Evidence::Byte, ""))];
        for (kind, settings) in kinds.into_iter().enumerate() {
            let sweep = settings.map(|(evidence, settings)| {
                let mut command = sweep::command(folder, &url, evidence, settings);
                Background(command.spawn().expect("the program can be run"))
            });
            std::thread::sleep(Duration::from_millis(500));
            let times = pulls(address, &made, window, round);
            drop(sweep);
            of_round[kind] = percentile(times.clone(), 0.99);
            if round > 0 {
                all[kind].extend(times);
            }
        }
        if round > 0 {
            rises.push((of_round[1] / of_round[0] - 1.0) * 100.0);
            unpaced_rises.push((of_round[2] / of_round[0] - 1.0) * 100.0);
        }
    }
    println!("{rounds} rounds of {window:?} each, a pull every {EVERY:?}; a paced sweep sends {rate} requests/s");
    for (name, times) in ["no sweep", "a paced sweep", "a sweep that is not paced"].into_iter().zip(all) {
        let count = times.len();
        let [middle, late] = [0.5, 0.99].map(|share| percentile(times.clone(), share) * 1e3);
        println!("  {name}: {count} requests, half within {middle:.2} ms, 99 of 100 within {late:.2} ms");
    }
    for (name, rises) in [("paced", rises), ("not paced", unpaced_rises)] {
        let (middle, least, most) = spread(rises);
        println!("  {name}, p99 to that without in the same round: {middle:+.1} % ({least:+.1} to {most:+.1})");
    }
}

/// The times of all requests of the pulls of a window, in seconds.
fn pulls(address: SocketAddr, made: &[Repository], window: Duration, seed: usize) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(seed as u64);
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
    let (mut received, mut chunk) = (Vec::new(), [0; 64 * 1024]);
    loop {
        let read = stream.read(&mut chunk).expect("a connection that holds");
        assert!(read > 0, "the registry closed a connection");
        received.extend_from_slice(&chunk[..read]);
        if super::limit::is_whole(&received, false) {
            return;
        }
    }
}

fn percentile(mut times: Vec<f64>, share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

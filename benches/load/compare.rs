//! A sweep beside the plain limit, alternating in one run.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::images::{Blobs, OBJECTS, TAGS};
use super::limit::{self, Run};
use super::list::requests;
use super::process::spread;
use super::{Evidence, process, sweep};

/// What is compared.
pub struct Comparison<'a> {
    pub folder: &'a Path,
    pub address: SocketAddr,
    /// The server's process, whose time is told.
    pub server: u32,
    pub repositories: usize,
    /// As the client names them: `stored` or `imagined`.
    pub blobs: &'static str,
    pub evidence: Evidence,
    pub rounds: usize,
    /// Connections of the plain client that are tried.
    pub connections: &'a [usize],
}

/// Runs and prints it. Gives the middle number of requests that the sweep sent.
pub fn compare(comparison: &Comparison<'_>) {
    let Comparison { folder, address, server, repositories, evidence, rounds, connections, .. } = *comparison;
    let url = format!("http://{address}");
    let mut limits: Vec<Vec<Run>> = connections.iter().map(|_| Vec::new()).collect();
    let (mut seconds, mut cpus, mut peaks, mut sent, mut served) = (vec![], vec![], vec![], vec![], vec![]);
    let mut in_flight = Vec::new();
    // The caches of the server's disk are warm then.
    plain(comparison, connections[0]);
    for _ in 0..rounds {
        for (&connections, runs) in connections.iter().zip(&mut limits) {
            runs.push(plain(comparison, connections));
        }
        let before = process::cpu_of(server);
        let swept = sweep::run(folder, &url, evidence, "");
        let server_cpu = process::cpu_of(server) - before;
        let requests = swept.number("requests");
        seconds.push(swept.used.seconds);
        cpus.push(swept.used.cpu / requests * 1e6);
        peaks.push(swept.used.peak as f64 / 1024.0);
        sent.push(requests);
        in_flight.push(swept.concurrency);
        served.push(server_cpu / requests * 1e3);
        assert_eq!(swept.objects() as usize, repositories * OBJECTS);
    }
    // One number of connections is the limit of all rounds: the best of several, chosen anew in each round, would be the
    // luckiest too.
    let middle = |runs: &[Run]| spread(runs.iter().map(|run| run.seconds).collect()).0;
    let (fastest, limit) = connections
        .iter()
        .zip(&limits)
        .min_by(|(_, one), (_, other)| middle(one).total_cmp(&middle(other)))
        .expect("connections to try");
    let ratios = seconds.iter().zip(limit).map(|(seconds, limit)| seconds / limit.seconds).collect();
    let cpu_ratios = cpus.iter().zip(limit).map(|(cpu, limit)| cpu / limit.cpu_a_request()).collect();
    println!("{evidence:?}, {rounds} rounds: the middle (the least to the most)");
    for (connections, runs) in connections.iter().zip(&limits) {
        let rates = runs.iter().map(|run| run.requests as f64 / run.seconds).collect();
        let cpu = runs.iter().map(Run::cpu_a_request).collect();
        println!("  plain client, {connections:3} connections: {} requests/s, {} µs", told(rates, 0), told(cpu, 1));
    }
    let most = repositories * (OBJECTS + TAGS + 1) + repositories.div_ceil(1000);
    let objects = (repositories * OBJECTS) as f64;
    let rate: Vec<f64> = seconds.iter().map(|seconds| objects / seconds).collect();
    println!("  sweep: {} s, {} objects/s", told(seconds, 2), told(rate, 0));
    println!("  sweep's time to the plain client's with {fastest} connections: {}", told(ratios, 3));
    println!("  sweep's CPU a request: {} µs; to the plain client's: {}", told(cpus, 1), told(cpu_ratios, 2));
    println!("  server's CPU a request of the sweep: {} ms", told(served, 3));
    println!("  requests in flight that the sweep came to: {}", told(in_flight, 0));
    println!("  sweep's peak memory: {} MiB", told(peaks, 1));
    println!("  sweep's requests: {}; objects, tags and pages: {most}", told(sent, 0));
}

/// The plain client in a process of its own.
fn plain(comparison: &Comparison<'_>, connections: usize) -> Run {
    let evidence = match comparison.evidence {
        Evidence::Head => "head",
        Evidence::Byte => "byte",
    };
    let output = Command::new(std::env::current_exe().expect("this program's path"))
        .args(["plain", "--address", &comparison.address.to_string(), "--connections", &connections.to_string()])
        .args(["--repositories", &comparison.repositories.to_string(), "--evidence", evidence])
        .args(["--blobs", comparison.blobs])
        .stderr(Stdio::inherit())
        .output()
        .expect("this program can be run");
    serde_json::from_slice(&output.stdout).expect("a run in JSON")
}

/// What that process does.
pub fn plain_client(address: SocketAddr, connections: usize, repositories: usize, blobs: Blobs, evidence: Evidence) {
    let run = limit::run(address, connections, &requests(repositories, blobs, evidence));
    println!("{}", serde_json::to_string(&run).expect("numbers"));
}

/// The middle, the least and the most.
pub fn told(values: Vec<f64>, digits: usize) -> String {
    let (middle, least, most) = spread(values);
    format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
}

//! A sweep beside the plain limit, in turn.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::images::{Blobs, OBJECTS, TAGS};
use super::limit::{self, Run};
use super::list::requests;
use super::process::spread;
use super::turns::{Start, Used, in_turn};
use super::{Evidence, sweep};

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

/// What one of them needed for all requests.
struct Needed {
    requests: f64,
    seconds: f64,
    /// Of its processor time, for each request, in microseconds.
    cpu: f64,
    /// Of the server's, in milliseconds.
    served: f64,
}

impl Needed {
    /// `cpu` in seconds.
    fn of(used: &Used, requests: f64, cpu: f64) -> Self {
        Self { requests, seconds: used.seconds, cpu: cpu / requests * 1e6, served: used.served / requests * 1e3 }
    }
}

/// Runs and prints it.
pub fn compare(comparison: &Comparison<'_>) {
    let Comparison { folder, address, server, repositories, evidence, rounds, connections, .. } = *comparison;
    let url = format!("http://{address}");
    // The caches of the server's disk are warm then.
    in_turn(vec![plain(comparison, connections[0])], server);
    let mut limits: Vec<Vec<Needed>> = connections.iter().map(|_| Vec::new()).collect();
    let (mut alone, mut sweeps, mut peaks) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        alone.push(sweep::run(folder, &url, evidence, ""));
        let mut starts: Vec<Start<'_>> = vec![Box::new(|| sweep::start(folder, &url, evidence))];
        starts.extend(connections.iter().map(|&connections| plain(comparison, connections)));
        let mut used = in_turn(starts, server).into_iter();
        let swept = used.next().expect("one for each");
        let report = sweep::report(folder);
        assert_eq!(report.objects() as usize, repositories * OBJECTS);
        peaks.push(swept.peak as f64 / 1024.0);
        sweeps.push(Needed::of(&swept, report.number("requests"), swept.cpu));
        for (used, limit) in used.zip(&mut limits) {
            let run: Run = serde_json::from_str(&used.output).expect("a run in JSON");
            limit.push(Needed::of(&used, run.requests as f64, run.cpu));
        }
    }
    // One number of connections is the limit of all rounds: the best of several, chosen anew in each round, would be the
    // luckiest too.
    let (fastest, limit) = connections
        .iter()
        .zip(&limits)
        .min_by(|(_, one), (_, other)| middle(one).total_cmp(&middle(other)))
        .expect("connections to try");
    println!("{evidence:?}, {rounds} rounds: the middle (the least to the most)");
    let costs = |all: &[Needed]| {
        let rates = all.iter().map(|needed| needed.requests / needed.seconds);
        let (cpus, served) = (all.iter().map(|needed| needed.cpu), all.iter().map(|needed| needed.served));
        format!("{} requests/s, {} µs, server {} ms", told(rates, 0), told(cpus, 1), told(served, 3))
    };
    for (connections, limit) in connections.iter().zip(&limits) {
        println!("  plain client, {connections:3} connections: {}", costs(limit));
    }
    println!("  sweep: {}", costs(&sweeps));
    let ratios = sweeps.iter().zip(limit).map(|(sweep, limit)| sweep.seconds / limit.seconds);
    println!("  sweep's time to the plain client's with {fastest} connections: {}", told(ratios, 3));
    let ratios = sweeps.iter().zip(limit).map(|(sweep, limit)| sweep.cpu / limit.cpu);
    println!("  sweep's CPU to the plain client's: {}", told(ratios, 2));
    println!("  sweep's peak memory: {} MiB", told(peaks, 1));
    let most = repositories * (OBJECTS + TAGS + 1) + repositories.div_ceil(1000);
    let sent = sweeps.iter().map(|sweep| sweep.requests);
    println!("  sweep's requests: {}; objects, tags and pages: {most}", told(sent, 0));
    println!(
        "  a sweep that nothing interrupts: {} s, {} objects/s, {} requests in flight at its end",
        told(alone.iter().map(|swept| swept.used.seconds), 2),
        told(alone.iter().map(|swept| swept.report.objects() / swept.used.seconds), 0),
        told(alone.iter().map(|swept| swept.concurrency), 0)
    );
}

fn middle(all: &[Needed]) -> f64 {
    spread(all.iter().map(|needed| needed.seconds).collect()).0
}

/// The plain client in a process of its own, which has its list ready before its first turn.
fn plain<'a>(comparison: &Comparison<'_>, connections: usize) -> Start<'a> {
    let evidence = match comparison.evidence {
        Evidence::Head => "head",
        Evidence::Byte => "byte",
    };
    let mut child = Command::new(std::env::current_exe().expect("this program's path"))
        .args(["plain", "--address", &comparison.address.to_string(), "--connections", &connections.to_string()])
        .args(["--repositories", &comparison.repositories.to_string(), "--evidence", evidence])
        .args(["--blobs", comparison.blobs])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be run");
    let stdout = child.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut [0; READY.len()]).expect("a client that is ready");
    Box::new(move || {
        // It goes on once nobody can tell it anything.
        drop(child.stdin.take());
        child
    })
}

/// What a plain client says before it waits for the end of its input.
const READY: &str = "ready\n";

/// What that process does.
pub fn plain_client(address: SocketAddr, connections: usize, repositories: usize, blobs: Blobs, evidence: Evidence) {
    let list = requests(repositories, blobs, evidence);
    print!("{READY}");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
    let run = limit::run(address, connections, &list);
    println!("{}", serde_json::to_string(&run).expect("numbers"));
}

/// The middle, the least and the most.
pub fn told(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    let (middle, least, most) = spread(values.into_iter().collect());
    format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
}

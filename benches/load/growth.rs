//! How memory and time grow with a registry, beside a server that holds nothing.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::images::OBJECTS;
use super::process::Background;
use super::{Evidence, sweep};

/// Starts the synthetic server in a process of its own.
pub fn start(repositories: usize) -> (Background, SocketAddr) {
    let mut server = Command::new(std::env::current_exe().expect("this program's path"))
        .args(["synthetic", "--repositories", &repositories.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be run");
    let mut line = String::new();
    let stdout = server.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("an address");
    (Background(server), line.trim().parse().expect("an address"))
}

/// Sweeps registries of so many millions of objects.
pub fn measure(folder: &Path, millions: &[f64], evidence: Evidence) {
    let mut before: Option<(f64, f64)> = None;
    for &millions in millions {
        let repositories = (millions * 1e6 / OBJECTS as f64).ceil() as usize;
        let (server, address) = start(repositories);
        let swept = sweep::run(folder, &format!("http://{address}"), evidence, "");
        drop(server);
        let (objects, peak) = (swept.report.objects() / 1e6, swept.used.peak as f64 / 1024.0);
        let growth = before.map_or(String::new(), |(objects_before, peak_before)| {
            format!(", {:.1} MiB a further million", (peak - peak_before) / (objects - objects_before))
        });
        println!(
            "{objects:.2} million objects in {repositories} repositories: {:.0} objects/s, {:.1} µs of CPU an object, \
             peak {peak:.1} MiB{growth}",
            swept.report.objects() / swept.used.seconds,
            swept.used.cpu / swept.report.objects() * 1e6,
        );
        before = Some((objects, peak));
    }
}

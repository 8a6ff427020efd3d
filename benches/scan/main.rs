//! `scan` beside `find`, beside the same checks in Python, and beside the system calls alone that it cannot do without, on
//! a generated tree, alternating in one run.
//!
//! `cargo bench --bench scan -- [LINKS…]`; the default is 50,000 and 200,000 links. `SCAN_BENCH_DIR` says where to put
//! the trees, which take about 15 KiB of disk a link.

#![allow(clippy::print_stdout, reason = "a benchmark's report")]

mod calls;
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use registry_integrity_probe::cli::arguments::ScanArgs;
use registry_integrity_probe::cli::scan::run;

const ROUNDS: usize = 5;

/// So that a scan is measured as users start it: as a process.
#[derive(clap::Parser)]
enum Program {
    Scan(ScanArgs),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|argument| argument == "scan") {
        let Program::Scan(args) = Program::parse();
        return run(&args, &mut std::io::stdout().lock(), &mut std::io::stderr()).into();
    }
    let sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![50_000, 200_000] } else { sizes };
    let place = std::env::var_os("SCAN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{} processors", std::thread::available_parallelism().map_or(1, usize::from));
    for links in sizes {
        let root = tempfile::tempdir_in(&place).expect("a folder for the tree");
        let links = tree::generate(root.path(), links);
        compare(root.path(), links);
    }
    ExitCode::SUCCESS
}

fn compare(root: &Path, links: usize) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/scan/walk.py");
    let this = std::env::current_exe().expect("this program's path");
    let commands: [(&str, PathBuf, Vec<PathBuf>); 3] = [
        ("scan", this, vec!["scan".into(), root.into()]),
        ("find", "find".into(), vec![root.into(), "-type".into(), "f".into()]),
        ("python", "python3".into(), vec![python, root.into()]),
    ];
    let mut times = [const { Vec::new() }; 3];
    let mut calls = Vec::new();
    // The first round warms the cache.
    for round in 0..=ROUNDS {
        for ((_, program, arguments), times) in commands.iter().zip(&mut times) {
            let took = time(Command::new(program).args(arguments));
            if round > 0 {
                times.push(took);
            }
        }
        let took = calls::measure(root);
        if round > 0 {
            calls.push(took);
        }
    }
    let calls = median(calls);
    let [scan, find, python] = times.map(median);
    println!(
        "{links} links: scan {scan:.2?} ({:.1} µs a link), find {find:.2?} (scan takes {:.2} of it), python {python:.2?} \
         (scan is {:.1} times as fast), the system calls alone {calls:.2?} ({:.1} times as fast as python)",
        scan.as_secs_f64() * 1e6 / links as f64,
        scan.as_secs_f64() / find.as_secs_f64(),
        python.as_secs_f64() / scan.as_secs_f64(),
        python.as_secs_f64() / calls.as_secs_f64()
    );
}

fn time(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?} failed");
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

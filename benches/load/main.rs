//! What sweeps cost: `cargo bench --bench load -- COMMAND`; README.md beside this folder says which there are.

#![allow(clippy::print_stdout, reason = "a benchmark's report")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ratios")]

mod compare;
mod disk;
mod growth;
mod images;
mod limit;
mod list;
mod peers;
mod process;
mod pull;
mod soak;
mod sweep;
mod synthetic;
mod turns;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// How blobs are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Evidence {
    /// By their headers.
    Head,
    /// By their last byte.
    Byte,
}

/// Where the blobs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Blobs {
    Stored,
    Imagined,
}

impl Blobs {
    fn of(self) -> images::Blobs {
        match self {
            Self::Stored => images::stored,
            Self::Imagined => images::imagined,
        }
    }
}

#[derive(Parser)]
enum Bench {
    /// A sweep beside the plain limit of docker-registry.
    Limit {
        #[arg(long, default_value_t = 200)]
        repositories: usize,
        #[arg(long, default_value_t = 5, value_parser = at_least_one)]
        rounds: usize,
        #[arg(long, value_enum, default_values_t = [Evidence::Head, Evidence::Byte])]
        evidence: Vec<Evidence>,
        #[arg(long, value_delimiter = ',', default_values_t = [4, 8, 32])]
        connections: Vec<usize>,
        /// Repositories that others get too.
        #[arg(long, default_value_t = 10, value_parser = at_least_one)]
        peers: usize,
    },
    /// The same beside a server that does next to nothing.
    Fast {
        #[arg(long, default_value_t = 200)]
        repositories: usize,
        #[arg(long, default_value_t = 5, value_parser = at_least_one)]
        rounds: usize,
        #[arg(long, value_enum, default_values_t = [Evidence::Head, Evidence::Byte])]
        evidence: Vec<Evidence>,
        #[arg(long, value_delimiter = ',', default_values_t = [8, 32])]
        connections: Vec<usize>,
    },
    /// How memory and time grow.
    Growth {
        #[arg(long, value_delimiter = ',', default_values_t = [0.05, 1.0, 2.0, 5.0])]
        millions: Vec<f64>,
    },
    /// What somebody who pulls notices.
    Pull {
        #[arg(long, default_value_t = 200)]
        repositories: usize,
        #[arg(long, default_value_t = 5, value_parser = at_least_one)]
        rounds: usize,
        /// Turns of a second in a round, for each of what is compared.
        #[arg(long, default_value_t = 20, value_parser = at_least_one)]
        turns: usize,
        /// Requests a second of the paced sweep: the common set within a third of a quarter of an hour.
        #[arg(long, default_value_t = 181.0)]
        rate: f64,
    },
    /// A long life of the service.
    Soak {
        #[arg(long, default_value_t = 400)]
        sweeps: usize,
    },
    #[command(hide = true)]
    Plain {
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        connections: usize,
        #[arg(long)]
        repositories: usize,
        #[arg(long)]
        evidence: Evidence,
        #[arg(long)]
        blobs: Blobs,
    },
    #[command(hide = true)]
    Paced {
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        repositories: usize,
        #[arg(long)]
        rate: f64,
    },
    #[command(hide = true)]
    Synthetic {
        #[arg(long)]
        repositories: usize,
    },
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "expected a number of at least 1".to_string())
}

fn main() {
    let arguments = std::env::args().filter(|argument| argument != "--bench");
    let place = std::env::var_os("LOAD_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(&place).expect("a folder for results");
    match Bench::parse_from(arguments) {
        Bench::Limit { repositories, rounds, evidence, connections, peers } => {
            let Some(server) = disk::serve(&place, repositories) else { return };
            let (address, sampled) = (server.address, disk::check_a_sample(server.address, repositories));
            println!("{repositories} repositories, {sampled} objects of them looked at");
            for evidence in evidence {
                compare::compare(&compare::Comparison {
                    folder: folder.path(),
                    address,
                    server: server.process.0.id(),
                    repositories,
                    blobs: "stored",
                    evidence,
                    rounds,
                    connections: &connections,
                });
            }
            peers::compare(folder.path(), address, peers);
        }
        Bench::Pull { repositories, rounds, turns, rate } => {
            let Some(server) = disk::serve(&place, repositories) else { return };
            pull::measure(folder.path(), &server, repositories, rounds, turns, rate);
        }
        Bench::Soak { sweeps } => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(soak::run(folder.path(), sweeps));
        }
        Bench::Fast { repositories, rounds, evidence, connections } => {
            let (server, address) = growth::start(repositories);
            for evidence in evidence {
                compare::compare(&compare::Comparison {
                    folder: folder.path(),
                    address,
                    server: server.0.id(),
                    repositories,
                    blobs: "imagined",
                    evidence,
                    rounds,
                    connections: &connections,
                });
            }
        }
        Bench::Growth { millions } => growth::measure(folder.path(), &millions, Evidence::Byte),
        Bench::Plain { address, connections, repositories, evidence, blobs } => {
            compare::plain_client(address, connections, repositories, blobs.of(), evidence);
        }
        Bench::Paced { address, repositories, rate } => pull::run_paced_client(address, repositories, rate),
        Bench::Synthetic { repositories } => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            println!("{}", listener.local_addr().expect("an address"));
            synthetic::serve(&listener, repositories);
        }
    }
}

//! Parses the command line and runs what it names.

use std::process::ExitCode;

use clap::Parser;
use registry_integrity_probe::cli::Cli;
use registry_integrity_probe::commands;

fn main() -> ExitCode {
    commands::run(Cli::parse())
}

/// libc's allocator takes longer for a sweep, and musl's, in the image, much longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

//! The command line: one file per command. Each only wires the parts.

pub mod arguments;
mod check_config;
mod completions;
mod configuration;
mod deliver;
mod demo;
mod exit;
mod listen;
pub mod logging;
mod man;
pub mod scan;
mod serve;
mod sharding;
mod signals;
mod storage;
mod sweep;
mod verify;

use std::io;
use std::process::ExitCode;

use crate::cli::arguments::{Cli, Command};
use logging::LogLevel;

pub use exit::{CommandError, Exit};

/// Runs a command and prints its error on stderr.
pub fn run(cli: Cli) -> ExitCode {
    let level = cli.log_level.unwrap_or(match cli.command {
        Command::Serve(_) => LogLevel::Info,
        Command::Sweep(_)
        | Command::Verify(_)
        | Command::Demo(_)
        | Command::CheckConfig(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Scan(_) => LogLevel::Warn,
    });
    logging::init(level, cli.log_format);
    match dispatch(cli.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            exit::print(&error);
            error.exit().into()
        }
    }
}

fn dispatch(command: Command) -> Result<Exit, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::Runtime)?;
    let result = runtime.block_on(async {
        if !matches!(command, Command::Serve(_) | Command::Demo(_)) {
            signals::exit_on_signals().map_err(CommandError::Runtime)?;
        }
        match command {
            Command::Serve(args) => serve::run(args).await,
            Command::Sweep(args) => sweep::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::CheckConfig(args) => check_config::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
            Command::Scan(args) => {
                Ok(tokio::task::block_in_place(|| scan::run(&args, &mut io::stdout(), &mut io::stderr())))
            }
        }
    });
    // A DNS lookup or a file that hangs in a blocking thread must not delay the exit.
    runtime.shutdown_background();
    result
}

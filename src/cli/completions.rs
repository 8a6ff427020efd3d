//! `completions`: shell completion scripts, generated from the command line's definition.

use std::io::{self, Write};

use clap::CommandFactory;

use super::{CommandError, Exit};
use crate::cli::arguments::{Cli, CompletionsArgs};

/// Prints the script, to be sourced by the shell.
pub fn run(args: &CompletionsArgs) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_string();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    io::stdout()
        .write_all(&script)
        .map_err(|source| CommandError::Output { to: "standard output".to_string(), source })?;
    Ok(Exit::Success)
}

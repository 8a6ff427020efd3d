//! `completions`: the completions of a shell, from the command line's own definition.

use std::io::{self, Write};

use clap::CommandFactory;

use super::{CommandError, Exit};
use crate::cli::arguments::{Cli, CompletionsArgs};

/// Prints a script for the shell to source.
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

//! `man`: manual pages, generated from the command line's definition.

use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{CommandError, Exit};
use crate::cli::arguments::{Cli, ManArgs};

/// Prints the program's page, or writes the pages of the program and of every command to a directory.
pub fn run(args: &ManArgs) -> Result<Exit, CommandError> {
    let (to, written) = match &args.out {
        Some(directory) => (directory.display().to_string(), write_all(directory)),
        None => ("standard output".to_string(), print()),
    };
    written.map_err(|source| CommandError::Output { to, source })?;
    Ok(Exit::Success)
}

fn write_all(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command(), directory)
}

fn print() -> io::Result<()> {
    let mut page = Vec::new();
    Man::new(command()).render(&mut page)?;
    io::stdout().write_all(&page)
}

/// The commands without `help`, which needs no page.
fn command() -> Command {
    Cli::command().disable_help_subcommand(true)
}

//! `check-config`: is this file all right?

use std::io::{self, Write};

use super::{CommandError, Exit};
use crate::cli::CheckConfigArgs;
use crate::config::Config;

/// Loads the file; its faults are the error.
pub fn run(args: &CheckConfigArgs) -> Result<Exit, CommandError> {
    let config = Config::load(&args.file)?;
    let count = config.registries.len();
    let registries = if count == 1 { "registry" } else { "registries" };
    writeln!(io::stdout(), "{}: valid, {count} {registries}", args.file.display())
        .map_err(|source| CommandError::Output { to: "standard output".to_string(), source })?;
    Ok(Exit::Success)
}

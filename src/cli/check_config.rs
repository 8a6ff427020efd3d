//! `check-config`: validates configuration files.

use std::io::{self, Write};

use super::{CommandError, Exit, exit};
use crate::cli::arguments::CheckConfigArgs;
use crate::config::Config;
use crate::web::config::LiveWebConfig;

/// Loads the files; the error lists everything that is wrong with them.
pub fn run(args: &CheckConfigArgs) -> Result<Exit, CommandError> {
    let config = match (Config::load(&args.file), args.web_config_file.as_deref().map(LiveWebConfig::load).transpose())
    {
        (Ok(config), Ok(_)) => config,
        (Err(error), Err(of_web)) => {
            exit::print(&error.into());
            return Err(of_web.into());
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error.into()),
    };
    let count = config.registries.len();
    let registries = if count == 1 { "registry" } else { "registries" };
    let mut said = format!("{}: valid, {count} {registries}\n", args.file.display());
    if let Some(file) = &args.web_config_file {
        said += &format!("{}: valid\n", file.display());
    }
    io::stdout()
        .write_all(said.as_bytes())
        .map_err(|source| CommandError::Output { to: "standard output".to_string(), source })?;
    Ok(Exit::Success)
}

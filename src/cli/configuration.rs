//! Loads the configuration that the command line names.

use crate::cli::arguments::RegistriesArgs;
use crate::config::shard::Shard;
use crate::config::{Config, ConfigError};

/// The configuration of the file or URLs; every registry in it is limited to `shard`.
pub fn load(args: &RegistriesArgs, shard: Option<Shard>) -> Result<Config, ConfigError> {
    let mut config = match &args.config_file {
        Some(file) => Config::load(file),
        None => Config::from_urls(&args.registries),
    }?;
    for target in &mut config.registries {
        target.shard = shard;
    }
    Ok(config)
}

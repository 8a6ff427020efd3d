//! Where the state of a command is kept, if anywhere.

use std::time::Duration;

use super::CommandError;
use crate::cli::arguments::StorageArgs;
use crate::config::Config;
use crate::config::shard::Shard;
use crate::state::State;
use crate::state::history::Retention;
use crate::state::store::{Limits, Store};

/// Less would not hold what is known now.
const LEAST: u64 = 1 << 20;
/// More than SQLite can count pages for.
const MOST: u64 = 1 << 43;

/// The state of the configured registries, with what an earlier process knew of them.
///
/// # Errors
///
/// [`CommandError`] if the directory is not this process's to use, or what it holds cannot be read.
pub fn state(args: &StorageArgs, config: &Config, shard: Option<Shard>) -> Result<State, CommandError> {
    let StorageArgs { storage_path, retention_time, retention_size } = args;
    if !(LEAST..=MOST).contains(retention_size) {
        let fault = format!("{retention_size} bytes are not enough, or too many (expected 1MiB to 8TiB)");
        return Err(CommandError::Flag { flag: "--storage.retention.size", fault });
    }
    let age: Duration = *retention_time;
    let limits = Limits { age, bytes: *retention_size };
    let store = storage_path.as_deref().map(|path| Store::open(path, limits)).transpose()?;
    Ok(State::with_store(store, Retention { age, ..Retention::default() }, shard, &config.registries)?)
}

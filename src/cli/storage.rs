//! The persistent state of a command.

use std::time::Duration;

use super::CommandError;
use crate::cli::arguments::StorageArgs;
use crate::config::Config;
use crate::config::shard::Shard;
use crate::state::State;
use crate::state::history::Retention;
use crate::state::store::{Limits, Store};

/// Minimum size: less cannot hold the current results.
const MIN_BYTES: u64 = 1 << 20;
/// Maximum size, limited by SQLite's page count.
const MAX_BYTES: u64 = 1 << 43;

/// The state of the configured registries, including stored results.
///
/// # Errors
///
/// [`CommandError`] if the directory is locked or unreadable.
pub fn state(args: &StorageArgs, config: &Config, shard: Option<Shard>) -> Result<State, CommandError> {
    let StorageArgs { storage_path, retention_time, retention_size } = args;
    if !(MIN_BYTES..=MAX_BYTES).contains(retention_size) {
        let fault = format!("{retention_size} bytes are out of range (expected 1MiB to 8TiB)");
        return Err(CommandError::Flag { flag: "--storage.retention.size", fault });
    }
    let age: Duration = *retention_time;
    let limits = Limits { age, bytes: *retention_size };
    let store = storage_path.as_deref().map(|path| Store::open(path, limits)).transpose()?;
    Ok(State::with_store(store, Retention { age, ..Retention::default() }, shard, &config.registries)?)
}

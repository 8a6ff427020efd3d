//! Exit codes and errors of the commands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::registry::ClientError;
use crate::render::push::PushError;
use crate::report::Report;
use crate::report::Verdict;
use crate::state::store::StoreError;

/// The exit codes that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything is intact, or the command succeeded.
    Success = 0,
    /// Something is broken.
    Failure = 1,
    /// Invalid usage or configuration.
    Usage = 2,
    /// Nothing is broken, but something could not be verified, or the report could not be delivered.
    Unverified = 3,
}

impl Exit {
    /// The exit code for some reports.
    pub fn by_result(reports: &[Report]) -> Self {
        match reports.iter().map(Verdict::of).max() {
            Some(Verdict::Broken) => Self::Failure,
            Some(Verdict::Unverified) => Self::Unverified,
            Some(Verdict::Intact | Verdict::Empty) | None => Self::Success,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A registry's client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// The I/O error.
        source: io::Error,
    },
    /// The report could not be written.
    #[error("cannot write the report to {to}: {source}")]
    Output {
        /// A file, or standard output.
        to: String,
        /// The I/O error.
        source: io::Error,
    },
    /// The state directory is locked or unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The results could not be stored.
    #[error("cannot write to {}: the results of this sweep are not stored", path.display())]
    NotKept {
        /// The state's directory.
        path: PathBuf,
    },
    /// The metrics could not be pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The value of a flag is invalid.
    #[error("{flag}: {fault}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong with its value.
        fault: String,
    },
    /// The process could not be set up.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl CommandError {
    /// The exit code for the error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Output { .. } | Self::NotKept { .. } | Self::Push(_) => Exit::Unverified,
            Self::Config(_)
            | Self::Client(_)
            | Self::Listen { .. }
            | Self::Store(_)
            | Self::Flag { .. }
            | Self::Runtime(_) => Exit::Usage,
        }
    }
}

/// Prints an error on stderr, which may be closed.
pub fn print(error: &CommandError) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

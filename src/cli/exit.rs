//! How a command ends.

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
    /// Everything is intact, or the command did what it was asked to do.
    Success = 0,
    /// At least one failure.
    Failure = 1,
    /// Bad usage or configuration.
    Usage = 2,
    /// No failure, but something could not be judged, or the result could not be delivered.
    Unverified = 3,
}

impl Exit {
    /// What the reports come down to.
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

/// Why a command could not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A registry's client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The result could not be written.
    #[error("cannot write the result to {to}: {source}")]
    Output {
        /// A file, or standard output.
        to: String,
        /// Why.
        source: io::Error,
    },
    /// The state is not this process's to use, or of no use.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was found could not be kept.
    #[error("{} could not be written; what was found is not kept", path.display())]
    NotKept {
        /// The state's directory.
        path: PathBuf,
    },
    /// The metrics could not be pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// A flag's value is of no use.
    #[error("{flag}: {fault}")]
    Flag {
        /// Which.
        flag: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// The process could not be set up.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl CommandError {
    /// What the process exits with.
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

/// Tells on stderr why a command could not do its work; if that is closed, nobody wants to know.
pub fn tell(error: &CommandError) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

//! Errors of a configuration, with their positions.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a configuration was rejected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has faults, shown as `path:line:column: message`, one per line.
    #[error("{}", faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect::<Vec<_>>().join("\n"))]
    Faults {
        /// The file.
        path: PathBuf,
        /// All faults in file order; never empty.
        faults: Vec<Fault>,
    },
    /// URLs from the command line are invalid; one message per line.
    #[error("{}", .0.join("\n"))]
    Urls(Vec<String>),
}

/// A fault in a file. Secrets are never quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
    /// True if the file can still be used.
    pub is_warning: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// A position in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    pub const START: Self = Self { line: 1, column: 1 };

    pub fn fault(self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, column: self.column, message: message.into(), is_warning: false }
    }

    pub fn warning(self, message: impl Into<String>) -> Fault {
        Fault { is_warning: true, ..self.fault(message) }
    }
}

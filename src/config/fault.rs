//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says what cannot be; shown as one `path:line:column: message` a line.
    #[error("{}", faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect::<Vec<_>>().join("\n"))]
    Faults {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong, in the file's order; never empty.
        faults: Vec<Fault>,
    },
    /// URLs from elsewhere than a file cannot be used; one message a line.
    #[error("{}", .0.join("\n"))]
    Urls(Vec<String>),
}

/// One thing that is wrong in a file. Secrets are never quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what is expected.
    pub message: String,
    /// True if the file can be used all the same.
    pub is_warning: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// A place in a file.
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

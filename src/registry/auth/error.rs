//! Why there are no credentials. No text of a file or helper is quoted: it holds secrets.

/// Credentials that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file could not be read.
    #[error("cannot read the credentials file {path}: {source}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be. Its text is not quoted: it holds secrets.
    #[error("the credentials file {path} {fault}")]
    Invalid {
        /// Which.
        path: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A helper that the file names gave no credentials.
    #[error("{source}, which {path} names")]
    Helper {
        /// The file.
        path: String,
        /// What went wrong.
        source: HelperError,
    },
}

/// Why a helper gave no credentials. What it printed is not quoted: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The name in the file is none of a program.
    #[error("\"{0}\" is not the name of a credential helper")]
    Name(String),
    /// It cannot be run.
    #[error("the credential helper {program} cannot be run (is it on the PATH?): {source}")]
    NotRun {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It failed, or did not end.
    #[error("the credential helper {program} {fault}")]
    Failed {
        /// Which.
        program: String,
        /// How.
        fault: String,
    },
}

//! The files that a configuration was made of, so that a change of any of them is noticed.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::read_bounded;

/// What was read, and what it held.
#[derive(Debug, Default)]
pub struct Files(Vec<(PathBuf, Content)>);

/// What a file held; `None`: it could not be read.
type Content = Option<[u8; 32]>;

impl Files {
    /// Reads a file and remembers what it held.
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = read_bounded(path);
        self.0.push((path.to_path_buf(), content(&read)));
        read
    }

    /// True if they all still hold what they held. Their bytes are compared: times of modification are too coarse, and
    /// Kubernetes swaps whole directories by a link.
    pub fn are_unchanged(&self) -> bool {
        self.0.iter().all(|(path, before)| content(&read_bounded(path)) == *before)
    }
}

fn content(read: &io::Result<Vec<u8>>) -> Content {
    read.as_ref().ok().map(|bytes| Sha256::digest(bytes).into())
}

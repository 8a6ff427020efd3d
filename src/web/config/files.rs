//! The files of a configuration, to detect changes of any of them.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::read_bounded;

/// Files that were read, with their content.
#[derive(Debug, Default)]
pub struct Files(Vec<(PathBuf, Content)>);

/// The content of a file; `None` if it could not be read.
type Content = Option<[u8; 32]>;

impl Files {
    /// Reads a file and stores its content.
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = read_bounded(path);
        self.0.push((path.to_path_buf(), content(&read)));
        read
    }

    /// True if no file has changed. The content is compared, because modification times are too coarse and Kubernetes
    /// replaces directories by symbolic links.
    pub fn are_unchanged(&self) -> bool {
        self.0.iter().all(|(path, before)| content(&read_bounded(path)) == *before)
    }
}

fn content(read: &io::Result<Vec<u8>>) -> Content {
    read.as_ref().ok().map(|bytes| Sha256::digest(bytes).into())
}

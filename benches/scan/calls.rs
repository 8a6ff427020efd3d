//! What no scan can do without: each link and each manifest is opened, read and closed, and each blob's length asked for,
//! on all processors. Nothing is made of what comes.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rustix::fs::{AtFlags, Mode, OFlags};

/// What is done to a path.
enum Call {
    Read(PathBuf),
    Size(PathBuf),
}

/// The time of the calls alone, without that of finding the paths.
pub fn measure(root: &Path) -> Duration {
    let v2 = root.join("docker/registry/v2");
    let folder = rustix::fs::open(&v2, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("a tree");
    let mut files = Vec::new();
    find(&v2, &v2, &mut files);
    let is_revision = |path: &&PathBuf| path.components().any(|part| part.as_os_str() == "revisions");
    let manifests: HashSet<OsString> = files.iter().filter(is_revision).map(|path| digits(path).to_owned()).collect();
    let mut calls = Vec::new();
    for path in files {
        match path.file_name().and_then(OsStr::to_str) {
            // A registry's answers do not depend on what a tag has named before.
            Some("link") if path.components().any(|part| part.as_os_str() == "index") => {}
            Some("link") => calls.push(Call::Read(path)),
            _ => {
                if manifests.contains(digits(&path)) {
                    calls.push(Call::Read(path.clone()));
                }
                calls.push(Call::Size(path));
            }
        }
    }
    let began = Instant::now();
    calls.par_chunks(32).for_each(|chunk| chunk.iter().for_each(|call| make(&folder, call)));
    began.elapsed()
}

fn make(folder: &OwnedFd, call: &Call) {
    match call {
        Call::Read(path) => {
            let file = rustix::fs::openat(folder, path, OFlags::RDONLY, Mode::empty()).expect("a file of the tree");
            let mut bytes = [0; 16 * 1024];
            rustix::io::read(&file, &mut bytes).expect("a file that can be read");
        }
        Call::Size(path) => {
            rustix::fs::statat(folder, path, AtFlags::empty()).expect("a file of the tree");
        }
    }
}

/// The digits of the digest that the file's folder is named after.
fn digits(path: &Path) -> &OsStr {
    path.parent().and_then(Path::file_name).unwrap_or_default()
}

fn find(v2: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree") {
        let entry = entry.expect("a folder of the tree");
        let path = entry.path();
        if entry.file_type().expect("a folder of the tree").is_dir() {
            find(v2, &path, files);
        } else {
            files.push(path.strip_prefix(v2).expect("below the tree").to_owned());
        }
    }
}

//! `deploy/compose`, as files and as the processes that they describe.

mod alerts;
mod files;
mod process;
mod shop;
mod sweeps;

use std::path::{Path, PathBuf};

/// A file of `deploy/compose`.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose").join(name)
}

/// What is in it.
fn shipped(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text with each of these replaced, all of which must be there: what is shipped is run, on other ports and paths.
#[track_caller]
fn adapted(text: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replace(from, to)
    })
}

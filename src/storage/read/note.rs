//! Entries for what could not be read.

use std::path::{Path, PathBuf};

use crate::storage::source::Fault;
use crate::storage::tree::{Unlisted, Unverified, display};

pub(super) fn unverified(path: &Path, detail: impl ToString) -> Unverified {
    Unverified { path: display(path), detail: detail.to_string() }
}

/// Notes a directory that could not be listed; an absent one is skipped.
pub(super) fn unlisted(path: PathBuf, fault: Fault, noted: &mut Vec<Unverified>) -> Option<Unlisted> {
    if fault == Fault::Absent {
        return None;
    }
    noted.push(unverified(&path, format!("directory: {fault}")));
    // To a registry, a dangling symbolic link is an absent folder.
    (!fault.is_absence()).then_some(Unlisted { path, fault })
}

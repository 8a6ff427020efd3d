//! The progress of a sweep.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared between a sweep, which counts, and a progress bar or page.
#[derive(Debug, Default)]
pub struct Progress {
    repositories: AtomicU64,
    walked: AtomicU64,
    objects: AtomicU64,
}

impl Progress {
    /// Sets the number of repositories to walk.
    pub fn begin(&self, repositories: u64) {
        self.repositories.store(repositories, Ordering::Relaxed);
    }

    /// Counts a walked repository.
    pub fn repository(&self) {
        self.walked.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a checked object.
    pub fn object(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of repositories to walk; zero until the catalog is read.
    pub fn repositories(&self) -> u64 {
        self.repositories.load(Ordering::Relaxed)
    }

    /// Number of walked repositories.
    pub fn walked(&self) -> u64 {
        self.walked.load(Ordering::Relaxed)
    }

    /// Number of checked objects.
    pub fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }
}

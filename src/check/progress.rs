//! How far a sweep is; for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared between a sweep, which counts, and a progress bar or page.
#[derive(Debug, Default)]
pub struct Progress {
    repositories: AtomicU64,
    walked: AtomicU64,
    objects: AtomicU64,
}

impl Progress {
    /// Notes how many repositories there are to walk.
    pub fn begin(&self, repositories: u64) {
        self.repositories.store(repositories, Ordering::Relaxed);
    }

    /// Notes that a repository has been walked.
    pub fn repository(&self) {
        self.walked.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an object has been asked for.
    pub fn object(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    /// Repositories to walk; zero until the catalog is read.
    pub fn repositories(&self) -> u64 {
        self.repositories.load(Ordering::Relaxed)
    }

    /// Repositories that have been walked.
    pub fn walked(&self) -> u64 {
        self.walked.load(Ordering::Relaxed)
    }

    /// Objects that have been asked for.
    pub fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }
}

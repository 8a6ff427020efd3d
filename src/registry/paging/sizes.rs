//! What the lists of a registry have shown of its page sizes.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::registry::List;

/// Values of `n` to try: distribution's default maximum (`catalog.maxentries`), a size that most registries accept, none.
pub const SIZES: [Option<usize>; 3] = [Some(1000), Some(100), None];

/// How a registry pages, as its lists have shown so far.
#[derive(Debug, Default)]
pub struct PageSizes {
    /// Number of names at which it truncates pages silently; 0 if unknown.
    pub cap: AtomicUsize,
    /// Index of the first of [`SIZES`] that it accepts, for the catalog and for tag lists.
    accepted: [AtomicUsize; 2],
}

impl PageSizes {
    pub fn cap(&self) -> Option<usize> {
        Some(self.cap.load(Ordering::Relaxed)).filter(|&cap| cap > 0)
    }

    pub fn accepted(&self, list: &List) -> &AtomicUsize {
        &self.accepted[usize::from(matches!(list, List::Tags(_)))]
    }
}

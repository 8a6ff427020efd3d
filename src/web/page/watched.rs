//! A registry at the moment of a request.

use std::sync::Arc;

use crate::report::{ImageCounts, Outcome};
use crate::state::{RegistryState, Snapshot, State};

/// A registry and its state at the moment of the request.
pub struct Watched {
    pub registry: Arc<RegistryState>,
    pub known: Snapshot,
}

impl Watched {
    /// All configured registries.
    pub fn all(state: &State) -> Vec<Self> {
        state.registries().into_iter().map(|registry| Self { known: registry.known(), registry }).collect()
    }

    /// Images of the last sweep; `None` if it could not check any, which differs from zero images.
    pub fn images(&self) -> Option<ImageCounts> {
        let report = self.known.report.as_deref()?;
        (report.outcome != Outcome::Failed || report.images.total() > 0).then_some(report.images)
    }
}

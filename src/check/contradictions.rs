//! Objects with a bad and a good response within one sweep: a replica or a cache of the registry is stale.
//!
//! Once may be chance, right after a push. Twice in a row is not, so these objects are remembered until the next sweep.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::oci::{Image, Repository};

/// Maximum number of remembered objects of a registry.
const REMEMBERED: usize = 10_000;
/// Maximum number of log lines per sweep.
const LOGGED: usize = 10;

/// One object's contradictory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The object, or the tag.
    pub object: Image,
    /// The bad response.
    pub bad: String,
    /// The good response.
    pub good: String,
}

/// The objects of a registry with contradictory responses.
#[derive(Debug, Default)]
pub struct Contradictions {
    total: AtomicU64,
    /// Those of the last sweep.
    remembered: Mutex<BTreeSet<Image>>,
}

impl Contradictions {
    /// Number of objects with contradictory responses, counted once per sweep.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The objects of the last sweep.
    pub fn remembered(&self) -> Vec<Image> {
        self.lock().iter().cloned().collect()
    }

    /// Those of one repository.
    pub fn remembered_in(&self, repository: &Repository) -> BTreeSet<Image> {
        self.lock().iter().filter(|object| object.repository == *repository).cloned().collect()
    }

    /// Restores the objects of an earlier process.
    pub fn restore(&self, remembered: impl IntoIterator<Item = Image>) {
        self.lock().extend(remembered.into_iter().take(REMEMBERED));
    }

    /// Drops the objects of deleted repositories.
    pub fn retain(&self, is_there: impl Fn(&Repository) -> bool) {
        self.lock().retain(|object| is_there(&object.repository));
    }

    /// Records the result of a sweep, and logs new objects.
    pub fn swept(&self, registry: &str, found: &[Contradiction], cleared: &[Image]) {
        let mut remembered = self.lock();
        for object in cleared {
            remembered.remove(object);
        }
        let mut fresh = 0;
        for Contradiction { object, bad, good } in found {
            self.total.fetch_add(1, Ordering::Relaxed);
            let Image { repository, reference } = object;
            if remembered.contains(object) {
                tracing::debug!(registry, %repository, %reference, bad, good, "registry contradicts itself again");
                continue;
            }
            if remembered.len() < REMEMBERED {
                remembered.insert(object.clone());
            }
            fresh += 1;
            if fresh <= LOGGED {
                tracing::warn!(registry, %repository, %reference, bad, good, "registry contradicts itself");
            }
        }
        if fresh > LOGGED {
            tracing::warn!(registry, objects = fresh - LOGGED, "registry contradicts itself about more objects");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Image>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(object: &str) -> Contradiction {
        Contradiction { object: object.parse().unwrap(), bad: "GET 404".to_string(), good: "GET 200".to_string() }
    }

    #[test]
    fn object_is_remembered_until_its_responses_agree() {
        let contradictions = Contradictions::default();
        contradictions.swept("r", &[of("a:1"), of("b:1")], &[]);
        contradictions.swept("r", &[of("a:1")], &["b:1".parse().unwrap()]);
        assert_eq!(contradictions.remembered(), ["a:1".parse().unwrap()]);
        assert_eq!(contradictions.total(), 3);
        assert_eq!(contradictions.remembered_in(&"b".parse().unwrap()), BTreeSet::new());
        contradictions.retain(|repository| **repository != *"a");
        assert_eq!(contradictions.remembered(), []);
    }

    #[test]
    fn remembered_objects_are_limited() {
        let contradictions = Contradictions::default();
        let many: Vec<_> = (0..REMEMBERED + 10).map(|n| of(&format!("a:{n}"))).collect();
        contradictions.swept("r", &many, &[]);
        contradictions.restore(many.into_iter().map(|it| it.object));
        assert_eq!((contradictions.remembered().len(), contradictions.total()), (REMEMBERED, REMEMBERED as u64 + 10));
    }
}

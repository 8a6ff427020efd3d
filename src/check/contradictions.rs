//! Objects of which a registry gave a bad and a good answer within one sweep: one of its replicas or caches is behind.
//!
//! Once may be chance: storage that has just been written to, or a cache that has just been filled. In two sweeps in a row
//! it is not, so that what contradicted itself is remembered from one sweep to the next.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::oci::{Image, Repository};

/// Objects of one registry that are remembered. More say the same.
const REMEMBERED: usize = 10_000;
/// Lines that one sweep logs.
const LOGGED: usize = 10;

/// One object's contradictory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The object, or the tag.
    pub object: Image,
    /// The answer that speaks against it.
    pub bad: String,
    /// The answer that served it.
    pub good: String,
}

/// What contradicted itself in a registry.
#[derive(Debug, Default)]
pub struct Contradictions {
    total: AtomicU64,
    /// In the last sweep that asked for them.
    remembered: Mutex<BTreeSet<Image>>,
}

impl Contradictions {
    /// Objects that contradicted themselves, each once for every sweep in which it did.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// What contradicted itself in the last sweep that asked for it.
    pub fn remembered(&self) -> Vec<Image> {
        self.lock().iter().cloned().collect()
    }

    /// The same of one repository.
    pub fn remembered_in(&self, repository: &Repository) -> BTreeSet<Image> {
        self.lock().iter().filter(|object| object.repository == *repository).cloned().collect()
    }

    /// Takes in what another process remembered.
    pub fn restore(&self, remembered: impl IntoIterator<Item = Image>) {
        self.lock().extend(remembered.into_iter().take(REMEMBERED));
    }

    /// Forgets what lies in repositories that are gone.
    pub fn retain(&self, is_there: impl Fn(&Repository) -> bool) {
        self.lock().retain(|object| is_there(&object.repository));
    }

    /// Takes in a sweep: what contradicted itself, and what was remembered and did not. Logs what is new.
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
    fn what_contradicted_itself_is_remembered_until_it_no_longer_does() {
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
    fn no_more_is_remembered_than_may_be() {
        let contradictions = Contradictions::default();
        let many: Vec<_> = (0..REMEMBERED + 10).map(|n| of(&format!("a:{n}"))).collect();
        contradictions.swept("r", &many, &[]);
        contradictions.restore(many.into_iter().map(|it| it.object));
        assert_eq!((contradictions.remembered().len(), contradictions.total()), (REMEMBERED, REMEMBERED as u64 + 10));
    }
}

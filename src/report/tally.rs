//! From findings to counts, and from one sweep's findings to the next's.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Failure, FailureKey, ImageCounts, Unverified};
use crate::oci::Image;

/// Counts images by state: broken wins over unverified, and what nothing was found against is intact.
///
/// `walked` is the number of images that `was_walked` holds for; the images of failures that were kept from earlier sweeps
/// count beside them, as broken.
pub fn count_images(
    walked: u64,
    was_walked: impl Fn(&Image) -> bool,
    failures: &[Failure],
    unverified: &[Unverified],
) -> ImageCounts {
    let broken: BTreeSet<&Image> = failures.iter().flat_map(|failure| &failure.images).collect();
    let unverified: BTreeSet<&Image> =
        unverified.iter().flat_map(|entry| &entry.images).filter(|image| !broken.contains(image)).collect();
    let broken_walked = broken.iter().filter(|image| was_walked(image)).count() as u64;
    ImageCounts {
        intact: walked.saturating_sub(broken_walked + unverified.len() as u64),
        broken: broken.len() as u64,
        unverified: unverified.len() as u64,
    }
}

/// What changed from one sweep's failures to the next's.
#[derive(Debug, Default)]
pub struct Changes {
    /// Failures that were not known before.
    pub appeared: Vec<Failure>,
    /// Failures that were disproved: the object is whole again, or nothing needs it any more.
    pub gone: Vec<Failure>,
}

/// Joins the failures of a sweep with those known before it. A known failure keeps its `first_seen`; one that the sweep
/// neither saw nor disproved stays as it was, so that an outage clears nothing.
pub fn carry_over(
    known: &[Failure],
    mut found: Vec<Failure>,
    disproved: &HashSet<FailureKey>,
) -> (Vec<Failure>, Changes) {
    let mut known: BTreeMap<FailureKey, &Failure> = known.iter().map(|failure| (failure.key(), failure)).collect();
    let mut changes = Changes::default();
    for failure in &mut found {
        match known.remove(&failure.key()) {
            Some(before) => failure.first_seen = before.first_seen,
            None => changes.appeared.push(failure.clone()),
        }
    }
    for (key, before) in known {
        if disproved.contains(&key) {
            changes.gone.push(before.clone());
        } else {
            found.push(before.clone());
        }
    }
    sort_failures(&mut found);
    (found, changes)
}

/// The order of failures in a report: by repository, then kind.
pub fn sort_failures(failures: &mut [Failure]) {
    failures.sort_by_cached_key(|failure| (failure.repository.clone(), failure.kind, failure.key()));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::oci::Digest;
    use crate::report::{Cause, Kind, Reason};

    fn failure(digest: &Digest, images: &[&str], at: u64) -> Failure {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        Failure {
            repository: "app".parse().unwrap(),
            digest: Some(digest.clone()),
            kind: Kind::Layer,
            reason: Reason::Missing,
            media_type: None,
            platform: None,
            attestation: false,
            images: images.iter().map(|image| image.parse().unwrap()).collect(),
            path: Vec::new(),
            detail: String::new(),
            first_seen: at,
            last_seen: at,
        }
    }

    fn unverified(images: &[&str]) -> Unverified {
        Unverified {
            repository: Some("app".to_string()),
            reference: "app".to_string(),
            kind: None,
            cause: Cause::Timeout,
            images: images.iter().map(|image| image.parse().unwrap()).collect(),
            detail: String::new(),
        }
    }

    #[test]
    fn broken_wins_over_unverified_and_each_image_counts_once() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let failures = [failure(&a, &["app:1", "app:2"], 0), failure(&b, &["app:1"], 0)];
        let counts = count_images(5, |_| true, &failures, &[unverified(&["app:2", "app:3"])]);
        assert_eq!(counts, ImageCounts { intact: 2, broken: 2, unverified: 1 });
    }

    #[test]
    fn a_kept_failure_counts_although_nobody_walked_there() {
        let failures = [failure(&Digest::sha256(b"a"), &["app:1"], 0)];
        assert_eq!(count_images(0, |_| false, &failures, &[]), ImageCounts { intact: 0, broken: 1, unverified: 0 });
    }

    #[test]
    fn a_failure_stays_until_it_is_disproved() {
        let (a, b, c) = (Digest::sha256(b"a"), Digest::sha256(b"b"), Digest::sha256(b"c"));
        let known = [failure(&a, &["app:1"], 1), failure(&b, &["app:1"], 1)];
        let found = vec![failure(&b, &["app:1"], 9), failure(&c, &["app:1"], 9)];
        let (now, changes) = carry_over(&known, found.clone(), &HashSet::new());
        let seen = |failures: &[Failure]| -> BTreeMap<Digest, (SystemTime, SystemTime)> {
            failures.iter().map(|f| (f.digest.clone().unwrap(), (f.first_seen, f.last_seen))).collect()
        };
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(
            seen(&now),
            BTreeMap::from([(a.clone(), (at(1), at(1))), (b, (at(1), at(9))), (c.clone(), (at(9), at(9)))])
        );
        assert_eq!(changes.appeared.len(), 1);
        assert_eq!(changes.appeared[0].digest, Some(c));
        assert!(changes.gone.is_empty());

        let (now, changes) = carry_over(&known, found, &HashSet::from([known[0].key()]));
        assert_eq!(now.len(), 2);
        assert_eq!(changes.gone[0].digest, Some(a));
    }
}

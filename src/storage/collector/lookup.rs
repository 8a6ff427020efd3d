//! Finds blobs through links, as a registry does.

use crate::storage::tree::{Blob, Id, Links, Target, Tree};

/// Result of looking up a digest through a repository's links.
pub(super) enum Lookup {
    /// The bytes under this digest.
    Found(Id),
    /// The registry responds with "unknown".
    Unknown,
    /// The registry responds with an error.
    Failed(String),
}

/// Looks up a digest like `linkedBlobStatter.Stat`: the first existing link decides.
pub(super) fn look_up<'a>(tree: &Tree, links: impl IntoIterator<Item = &'a Links>, digest: Id) -> Lookup {
    for links in links {
        match links.target(digest) {
            Target::Absent => {}
            Target::Digest(target) => {
                return match tree.blob(target) {
                    Blob::Present(_) => Lookup::Found(target),
                    Blob::Absent => Lookup::Unknown,
                    Blob::Unknown(fault) => {
                        Lookup::Failed(format!("the bytes of {}: {fault}", tree.digests.get(target)))
                    }
                };
            }
            Target::Unparsable => {
                return Lookup::Failed(format!("the link of {} is empty or not a digest", tree.digests.get(digest)));
            }
            Target::Unreadable(fault) => {
                return Lookup::Failed(format!("the link of {}: {fault}", tree.digests.get(digest)));
            }
        }
    }
    Lookup::Unknown
}

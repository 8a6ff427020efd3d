//! Reads bodies, never more of them than was asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::pacing::budget::Budget;
use super::payload::{Broken, Payload};
use super::{Body, Traffic, Trouble};
use crate::oci::{Algorithm, Hasher};
use crate::report::Cause;

/// What all bodies of a registry may hold in memory together, in KiB: two lists of the largest pages, eight manifests.
const ROOM: usize = 32 * 1024;
/// A body of at most this many bytes needs no room of its own; most manifests are smaller.
const SMALL: usize = 64 * 1024;

/// What a request wants of a body.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// Nothing, as HEAD.
    Nothing,
    /// All of it, up to so many bytes, to be kept.
    All(u64),
    /// All of it, up to so many bytes, to be hashed.
    Content(u64, Option<Algorithm>),
    /// A part of a blob of this length. Where more comes, as much of it as may be read unranged.
    Part(Option<u64>, Option<Algorithm>),
}

/// How much of a body is read, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Bytes that are read at most.
    pub limit: u64,
    /// How they are hashed as they come; `None`: they are kept.
    pub hashed: Option<Algorithm>,
    /// True for a body that may take as long as it keeps coming. A shorter one has the time of its request.
    pub is_long: bool,
}

impl Wanted {
    /// What is read of a body of this length, if that is known; `None`: nothing. `unranged` is how much may be read of one
    /// that is longer than requested.
    pub fn reading(self, length: Option<u64>, unranged: u64) -> Option<Reading> {
        let short = SMALL as u64;
        Some(match self {
            Self::Nothing => return None,
            Self::All(limit) => Reading { limit, hashed: None, is_long: false },
            Self::Content(limit, Some(algorithm)) => Reading { limit, hashed: Some(algorithm), is_long: true },
            // Bytes of an algorithm that is unknown would have to be kept.
            Self::Content(limit, None) => Reading { limit: limit.min(short), hashed: None, is_long: false },
            Self::Part(_, None) => Reading { limit: unranged.min(short), hashed: None, is_long: false },
            Self::Part(size, Some(algorithm)) => {
                let beginning = unranged.min(short);
                let limit = match length.or(size) {
                    Some(length) if length > unranged => beginning,
                    // One that is longer than it should be is noticed.
                    Some(length) => length.max(beginning),
                    None => unranged,
                };
                Reading { limit, hashed: Some(algorithm), is_long: limit > short }
            }
        })
    }
}

/// Memory for bodies. Many requests are in flight at once, and a hostile registry answers all of them at length.
#[derive(Clone, Debug)]
pub struct BodyMemory(Arc<Semaphore>);

impl Default for BodyMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

impl BodyMemory {
    /// Waits until there is room for this many bytes.
    async fn take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kibibytes = usize::try_from(bytes.div_ceil(1024)).unwrap_or(ROOM).min(ROOM);
        // The semaphore is never closed.
        Arc::clone(&self.0).acquire_many_owned(u32::try_from(kibibytes).unwrap_or(u32::MAX)).await.ok()
    }
}

/// A body that keeps its room for as long as anybody holds its bytes.
struct Roomy {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Roomy {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body of at most `limit` bytes. A connection that ends early is no trouble but a finding: [`Body::Cut`].
pub async fn read(payload: &mut Payload, limit: u64, room: &BodyMemory, traffic: &Traffic) -> Result<Body, Trouble> {
    let expected = payload.length().map_or(limit, |length| length.min(limit));
    let mut taken = None;
    let mut whole = BytesMut::new();
    loop {
        match payload.chunk().await {
            Ok(Some(chunk)) => {
                traffic.count_received(chunk.len() as u64);
                let length = whole.len() + chunk.len();
                if length as u64 > limit {
                    return Ok(Body::TooLong { limit });
                }
                if taken.is_none() && length > SMALL {
                    taken = room.take(expected).await;
                    // At once, since growing by doubling would take twice as much.
                    whole.reserve(usize::try_from(expected).unwrap_or(length).saturating_sub(whole.len()));
                }
                whole.extend_from_slice(&chunk);
            }
            Ok(None) => {
                let bytes = whole.freeze();
                return Ok(Body::Whole(match taken {
                    Some(room) => Bytes::from_owner(Roomy { bytes, _room: room }),
                    None => bytes,
                }));
            }
            Err(broken) => return ended_badly(broken, whole.len() as u64),
        }
    }
}

/// Hashes a body of at most `limit` bytes as it comes. One that is short is kept, and left for its reader to hash.
/// `budget` limits the rate; `None`: less than the entire blob was requested.
pub async fn hash(
    payload: &mut Payload,
    algorithm: Algorithm,
    limit: u64,
    silence: Duration,
    budget: Option<&Budget>,
    traffic: &Traffic,
) -> Result<Body, Trouble> {
    /// Configs are smaller, and their platform is read.
    const KEPT: u64 = 64 * 1024;
    let (mut hasher, mut length) = (Hasher::new(algorithm), 0);
    let mut kept = BytesMut::new();
    loop {
        let Ok(read) = timeout(silence, payload.chunk()).await else {
            let silence = humantime::format_duration(silence);
            let detail =
                format!("the body stalled for {silence} after {}", crate::report::counted(length, "byte", "bytes"));
            return Err(Trouble::new(Cause::Timeout, detail));
        };
        match read {
            Ok(Some(chunk)) => {
                traffic.count_received(chunk.len() as u64);
                length += chunk.len() as u64;
                if length > limit {
                    return Ok(Body::TooLong { limit });
                }
                hasher.update(&chunk);
                if length <= KEPT {
                    kept.extend_from_slice(&chunk);
                }
                if let Some(budget) = budget {
                    budget.spend(chunk.len() as u64).await;
                }
            }
            Ok(None) if length <= KEPT => return Ok(Body::Whole(kept.freeze())),
            Ok(None) => return Ok(Body::Hashed { digest: hasher.finish(), length }),
            Err(broken) => return ended_badly(broken, length),
        }
    }
}

/// The beginning of an error's body, enough to find its code; whatever goes wrong, less of it.
pub async fn read_error(payload: &mut Payload, traffic: &Traffic) -> Bytes {
    const ENOUGH: usize = 64 * 1024;
    let mut beginning = BytesMut::new();
    while beginning.len() < ENOUGH
        && let Ok(Some(chunk)) = payload.chunk().await
    {
        traffic.count_received(chunk.len() as u64);
        beginning.extend_from_slice(&chunk);
    }
    beginning.freeze()
}

/// A connection that ended says something of the object; a body that is encoded wrongly does not.
fn ended_badly(broken: Broken, received: u64) -> Result<Body, Trouble> {
    match broken {
        Broken::Cut => Ok(Body::Cut { received }),
        Broken::Nonsense => Err(Trouble::new(Cause::Protocol, "the body is encoded in a way that makes no sense")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_ignores_the_range_is_read_to_its_end_if_it_may_be_that_long() {
        const SHORT: u64 = 64 * 1024;
        const SHA256: Option<Algorithm> = Some(Algorithm::Sha256);
        for (length, size, unranged, algorithm, limit, is_long) in [
            (Some(1), Some(SHORT), SHORT, SHA256, SHORT, false),
            (Some(SHORT), None, SHORT, SHA256, SHORT, false),
            (Some(SHORT + 1), None, SHORT, SHA256, SHORT, false),
            (None, Some(12 << 20), 64 << 20, SHA256, 12 << 20, true),
            (Some(12 << 20), Some(1), 64 << 20, SHA256, 12 << 20, true),
            (Some((64 << 20) + 1), None, 64 << 20, SHA256, SHORT, false),
            (None, None, 64 << 20, SHA256, 64 << 20, true),
            (Some(12 << 20), None, 64 << 20, None, SHORT, false),
            (Some(10), None, 1024, SHA256, 1024, false),
            (Some(10_000), None, 1024, SHA256, 1024, false),
        ] {
            let reading = Wanted::Part(size, algorithm).reading(length, unranged).unwrap();
            assert_eq!((reading.limit, reading.is_long), (limit, is_long), "{length:?} {size:?} of {unranged}");
        }
    }
}

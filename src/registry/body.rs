//! Reads bodies, never more of them than was asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::budget::Budget;
use super::payload::{Broken, Payload};
use super::{Body, Traffic, Trouble};
use crate::oci::{Algorithm, Hasher};
use crate::report::Cause;

/// What all bodies of a registry may hold in memory together, in KiB: two lists of the largest pages, eight manifests.
const ROOM: usize = 32 * 1024;
/// A body of at most this many bytes needs no room of its own; most manifests are smaller.
const SMALL: usize = 64 * 1024;

/// Memory for bodies. Many requests are in flight at once, and a hostile registry answers all of them at length.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

impl Room {
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
pub async fn read(payload: &mut Payload, limit: u64, room: &Room, traffic: &Traffic) -> Result<Body, Trouble> {
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
pub async fn hash(
    payload: &mut Payload,
    algorithm: Algorithm,
    limit: u64,
    silence: Duration,
    budget: &Budget,
    traffic: &Traffic,
) -> Result<Body, Trouble> {
    /// Configs are smaller, and somebody may want to read them.
    const KEPT: u64 = 64 * 1024;
    let (mut hasher, mut length) = (Hasher::new(algorithm), 0);
    let mut kept = BytesMut::new();
    loop {
        let Ok(read) = timeout(silence, payload.chunk()).await else {
            let silence = humantime::format_duration(silence);
            let detail = format!("the body stalled for {silence} after {length} bytes");
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
                budget.spend(chunk.len() as u64).await;
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

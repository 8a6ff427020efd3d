//! Decides whether a confirmed suspicion is caused by the object, or by the state of the registry.

use super::Suspicion;
use crate::report::Cause;

/// How the registry answered other requests of the sweep, to compare a confirmed suspicion with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Intact objects of the same kind.
    pub served: u64,
    /// Intact objects at the same endpoint, of any kind.
    pub neighbours: u64,
    /// Intact configs and layers of its repository.
    pub blobs_of_repository: u64,
    /// Objects of the same kind with the same confirmed suspicion; for [`Suspicion::Refused`], all such blobs.
    pub suspected: u64,
    /// Responses of the sweep, of all kinds.
    pub answers: u64,
    /// Those that raised the same suspicion and were contradicted by a later response.
    pub contradicted: u64,
}

/// Accepts a suspicion, confirmed by `answers` consecutive responses, as a failure of the object.
///
/// # Errors
///
/// The reason, in words, why the registry may be the cause.
pub fn accept(suspicion: Suspicion, answers: u32, baseline: &Baseline) -> Result<(), &'static str> {
    let Baseline { served, neighbours, blobs_of_repository, suspected, answers: all, contradicted } = *baseline;
    match suspicion {
        // If every body is truncated, the network is the cause. For a single object, any served neighbour suffices.
        Suspicion::Cut if served == 0 && !(suspected == 1 && neighbours > 0) => {
            return Err("the registry served no other object of this kind");
        }
        Suspicion::ServerError | Suspicion::Refused(_) if served == 0 => {
            return Err("the registry served no other object of this kind");
        }
        Suspicion::ServerError if is_common(suspected, served) => {
            return Err("more than one in ten objects of this kind answer so");
        }
        Suspicion::Refused(_) if is_common(suspected, neighbours) => {
            return Err("more than one in ten blobs are refused");
        }
        // Without read access to a repository, every blob in it is refused, and none is broken.
        Suspicion::Refused(Cause::Unauthorized) if blobs_of_repository == 0 => {
            return Err("no other config or layer of the repository was served");
        }
        _ => {}
    }
    // The expected number of objects that show the suspicion this often by chance, if such responses are random.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let by_chance =
        (contradicted as f64 / all.max(1) as f64).powi(answers.min(64) as i32) * (served + suspected) as f64;
    if by_chance > 0.01 {
        return Err("the registry gives such answers at random");
    }
    Ok(())
}

/// True if more than one object is affected, and more than one in ten: the registry is the cause.
fn is_common(suspected: u64, served: u64) -> bool {
    suspected > 1 && suspected.saturating_mul(10) > served + suspected
}

//! Whether a confirmed suspicion is the object's fault, or the registry's.

use super::Suspicion;
use crate::report::Cause;

/// How the registry answered for everything else of a sweep: what a confirmed suspicion is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Objects of the same kind that were served.
    pub served: u64,
    /// Objects at the same endpoint, of the same kind or not, that were served.
    pub neighbours: u64,
    /// Other configs and layers of its repository that were served.
    pub beside: u64,
    /// Objects of the same kind under the same suspicion, confirmed; all blobs that are [`Suspicion::Refused`].
    pub suspected: u64,
    /// Answers in the sweep, of all kinds.
    pub answers: u64,
    /// Those among them which raised the same suspicion and were contradicted by a later answer.
    pub contradicted: u64,
}

/// Decides whether a suspicion that `answers` answers in a row confirmed is a failure, or only a registry that struggles.
///
/// # Errors
///
/// Why it is not accepted, in words.
pub fn accept(suspicion: Suspicion, answers: u32, baseline: &Baseline) -> Result<(), &'static str> {
    let Baseline { served, neighbours, beside, suspected, answers: all, contradicted } = *baseline;
    match suspicion {
        // What cuts every body short is on the way to the registry. One alone need not be of a kind with what is served.
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
        // A client that may not read a repository is refused all of it, and nothing in it is broken.
        Suspicion::Refused(Cause::Unauthorized) if beside == 0 => {
            return Err("no other config or layer of the repository was served");
        }
        _ => {}
    }
    // If such answers come at random, how many objects would show nothing else so many times in a row?
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let by_chance =
        (contradicted as f64 / all.max(1) as f64).powi(answers.min(64) as i32) * (served + suspected) as f64;
    if by_chance > 0.01 {
        return Err("the registry gives such answers at random");
    }
    Ok(())
}

/// True if something is the registry's rather than an object's: more than one object, and more than one in ten.
fn is_common(suspected: u64, served: u64) -> bool {
    suspected > 1 && suspected.saturating_mul(10) > served + suspected
}

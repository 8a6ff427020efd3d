//! Decides what is broken: the walk of a registry, confirmation, evidence, and the verdict on each object.

pub mod contradictions;
pub mod evidence;
pub mod judge;
pub mod manifest_cache;
pub mod progress;
pub mod sweep;
pub mod verify;
pub mod walk;

//! Decides when each registry is checked, and on which thread.

pub mod schedule;
pub mod sweep_thread;

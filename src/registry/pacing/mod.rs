//! Keeps the registry from being harmed: in-flight requests, rate, bytes for hashing, and the circuit breaker.

pub mod breaker;
pub mod budget;
pub mod gate;

//! `scan` against the collectors of real registries.

mod collector;
mod incident;

//! What a sweep asks of a registry: no more than it must, evenly, and over few connections.

mod connections;
mod known_manifests;
mod paced;

#[path = "../support/mod.rs"]
mod support;

//! Manifests: odd content, bytes that are no manifest, and manifests that are known already.

mod descriptors;
mod fuzz_parsers;
mod known_manifests;
mod positions;

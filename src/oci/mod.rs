//! Digests, names, references and the lenient view of a manifest that a walk needs. No I/O.

mod descriptor;
mod digest;
mod manifest;
mod name;
mod object;

pub use descriptor::{Descriptor, Platform, config_platform};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use manifest::{MANIFEST_ACCEPT, Manifest, ManifestError, parse_manifest};
pub use name::{Image, NameError, Reference, Repository, Tag};
pub use object::Object;

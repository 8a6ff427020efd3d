//! Digests, names, references and the lenient view of a manifest that a walk needs. No I/O.

mod descriptor;
mod digest;
mod loose;
mod manifest;
mod name;
mod object;
mod platform;

pub use descriptor::{Descriptor, Unusable, config_platform};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use manifest::{MANIFEST_ACCEPT, Manifest, ManifestError, parse_manifest, parse_manifest_of_type};
pub use name::{Image, NameError, Reference, Repository, Tag};
pub use object::Object;
pub use platform::{Platform, PlatformError};

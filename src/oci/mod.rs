//! Digests, names, references, and the lenient view of a manifest that a walk needs. No I/O.
//!
//! Media types, operating systems and architectures are oci-spec's. Its other types do not fit: its manifests and
//! descriptors reject content that clients pull, its `Digest` rejects unknown algorithms, and its `Reference` rejects
//! repositories without a registry, IPv6 hosts and digests of fewer than 32 digits.

mod descriptor;
mod digest;
mod loose;
mod manifest;
mod media_type;
mod name;
mod object;
mod platform;

pub use descriptor::{Descriptor, Unusable, config_platform};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use manifest::{Manifest, ManifestError, parse_manifest, parse_manifest_of_type};
pub use media_type::MANIFEST_ACCEPT;
pub use name::{Image, NameError, Reference, Repository, Tag};
pub use object::Object;
pub use platform::{Platform, PlatformError};

//! The objects of an image.

use bytes::Bytes;

use crate::oci::{Digest, Platform};

/// An object of an image.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its role in the image.
    pub role: Role,
    /// Media type at push and in descriptors.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Bytes,
    /// Size in descriptors, which may be false on request.
    pub claimed_size: u64,
    /// Its platform.
    pub platform: Option<Platform>,
    /// True for a BuildKit attestation and its parts.
    pub attestation: bool,
    /// URLs of a foreign layer, which is not pushed.
    pub urls: Vec<String>,
}

/// The role of a part in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The target of the tag.
    Root,
    /// A child manifest of an index.
    Child,
    /// A config.
    Config,
    /// A layer.
    Layer,
}

impl Part {
    /// The first bytes only, as after an interrupted write.
    pub fn truncated(&self, length: usize) -> Bytes {
        self.bytes.slice(..length.min(self.bytes.len()))
    }

    /// The content with one flipped bit: the same size, another digest.
    pub fn flipped(&self) -> Bytes {
        let mut bytes = self.bytes.to_vec();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        bytes.into()
    }
}

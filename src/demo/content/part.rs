//! The objects that an image consists of.

use bytes::Bytes;

use crate::oci::{Digest, Platform};

/// One object of an image, with the bytes that belong to its digest.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is in its image.
    pub role: Role,
    /// The type that it is pushed as and that descriptors give it.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Bytes,
    /// Length that descriptors claim: that of the bytes, unless the image was told to lie.
    pub claimed_size: u64,
    /// The platform that it is for.
    pub platform: Option<Platform>,
    /// True if it is, or belongs to, a BuildKit attestation.
    pub attestation: bool,
    /// URLs that it may be fetched from; if there are any, it is not pushed.
    pub urls: Vec<String>,
}

/// What a part is in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What the tag points to.
    Root,
    /// A manifest that an index names.
    Child,
    /// A config.
    Config,
    /// A layer.
    Layer,
}

impl Part {
    /// The first bytes alone, as after a write that was cut short.
    pub fn truncated(&self, length: usize) -> Bytes {
        self.bytes.slice(..length.min(self.bytes.len()))
    }

    /// The bytes with one bit of their middle turned: the same length, another digest.
    pub fn flipped(&self) -> Bytes {
        let mut bytes = self.bytes.to_vec();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        bytes.into()
    }
}

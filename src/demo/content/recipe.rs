//! The settings of an image.

use bytes::Bytes;

use super::part::Part;
use crate::oci::{Algorithm, Digest, Platform};

#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) shape: Shape,
    pub(super) name: String,
    pub(super) base: Option<String>,
    pub(super) docker: bool,
    pub(super) says_media_type: bool,
    pub(super) algorithm: Algorithm,
    pub(super) layers: usize,
    pub(super) layer_size: usize,
    pub(super) claimed_layer_size: Option<u64>,
    pub(super) layer_urls: Vec<String>,
    pub(super) config_type: Option<String>,
    pub(super) layer_type: Option<String>,
    pub(super) artifact_type: Option<String>,
    pub(super) subject: Option<Digest>,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Manifest { platform: Platform },
    Index { platforms: Vec<Platform>, attestations: bool, nested: Vec<Vec<Part>> },
    Raw { media_type: String, bytes: Bytes },
}

impl Recipe {
    /// The default settings.
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            name: "image".to_string(),
            base: None,
            docker: false,
            says_media_type: true,
            algorithm: Algorithm::Sha256,
            layers: 2,
            layer_size: 512,
            claimed_layer_size: None,
            layer_urls: Vec::new(),
            config_type: None,
            layer_type: None,
            artifact_type: None,
            subject: None,
        }
    }
}

pub(super) fn linux(architecture: &str) -> Platform {
    Platform { os: "linux".to_string(), architecture: architecture.to_string(), variant: None }
}

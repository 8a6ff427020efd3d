//! Encodes a manifest in few bytes: binary digests, and an index for each common media type.

use oci_spec::image::MediaType;
use serde::{Deserialize, Serialize};

use crate::oci::{Algorithm, Descriptor, Digest, Manifest, Platform, Unusable};

/// Common media types, stored as their index.
static OCI_TYPES: [MediaType; 7] = [
    MediaType::ImageIndex,
    MediaType::ImageManifest,
    MediaType::ImageConfig,
    MediaType::ImageLayerGzip,
    MediaType::ImageLayerZstd,
    MediaType::ImageLayer,
    MediaType::EmptyJSON,
];
/// Continues the indexes of [`OCI_TYPES`].
const OTHER_TYPES: &[&str] = &[
    "application/vnd.in-toto+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

fn media_types() -> impl Iterator<Item = &'static str> {
    OCI_TYPES.iter().map(AsRef::as_ref).chain(OTHER_TYPES.iter().copied())
}

#[derive(Serialize, Deserialize)]
struct CompactManifest<'a> {
    #[serde(borrow)]
    media_type: Text<'a>,
    #[serde(borrow)]
    manifests: Vec<CompactDescriptor<'a>>,
    #[serde(borrow)]
    config: Option<CompactDescriptor<'a>>,
    #[serde(borrow)]
    layers: Vec<CompactDescriptor<'a>>,
    #[serde(borrow)]
    unusable: Vec<CompactUnusable<'a>>,
}

#[derive(Serialize, Deserialize)]
struct CompactUnusable<'a> {
    what: &'a str,
    #[serde(borrow)]
    platform: Option<CompactPlatform<'a>>,
}

#[derive(Serialize, Deserialize)]
struct CompactDescriptor<'a> {
    #[serde(borrow)]
    media_type: Text<'a>,
    #[serde(borrow)]
    digest: CompactDigest<'a>,
    size: CompactSize,
    #[serde(borrow)]
    platform: Option<CompactPlatform<'a>>,
    has_urls: bool,
    attestation: bool,
    #[serde(borrow)]
    attestation_subject: Option<CompactDigest<'a>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum CompactSize {
    None,
    Known(u64),
    Negative,
}

#[derive(Serialize, Deserialize)]
enum Text<'a> {
    None,
    Known(u8),
    Other(&'a str),
}

#[derive(Serialize, Deserialize)]
enum CompactDigest<'a> {
    Sha256(&'a [u8]),
    Sha384(&'a [u8]),
    Sha512(&'a [u8]),
    Other(&'a [u8]),
}

#[derive(Serialize, Deserialize)]
struct CompactPlatform<'a> {
    os: &'a str,
    architecture: &'a str,
    variant: Option<&'a str>,
}

/// Encodes a manifest.
pub fn encode(manifest: &Manifest) -> Option<Box<[u8]>> {
    let compact = CompactManifest {
        media_type: Text::of(manifest.media_type.as_deref()),
        manifests: manifest.manifests.iter().map(CompactDescriptor::of).collect(),
        config: manifest.config.as_ref().map(CompactDescriptor::of),
        layers: manifest.layers.iter().map(CompactDescriptor::of).collect(),
        unusable: manifest.unusable.iter().map(CompactUnusable::of).collect(),
    };
    postcard::to_allocvec(&compact).ok().map(Vec::into_boxed_slice)
}

/// Decodes a manifest.
pub fn decode(bytes: &[u8]) -> Option<Manifest> {
    let compact: CompactManifest<'_> = postcard::from_bytes(bytes).ok()?;
    let all = |list: &[CompactDescriptor<'_>]| list.iter().map(CompactDescriptor::open).collect::<Option<_>>();
    Some(Manifest {
        media_type: compact.media_type.open(),
        manifests: all(&compact.manifests)?,
        config: match &compact.config {
            Some(config) => Some(config.open()?),
            None => None,
        },
        layers: all(&compact.layers)?,
        unusable: compact.unusable.iter().map(CompactUnusable::open).collect(),
    })
}

/// The digests that an encoded manifest names, without decoding the rest.
pub fn digests(bytes: &[u8]) -> Vec<Digest> {
    let Ok(compact) = postcard::from_bytes::<CompactManifest<'_>>(bytes) else { return Vec::new() };
    let all = compact.manifests.iter().chain(&compact.config).chain(&compact.layers);
    all.filter_map(|descriptor| descriptor.digest.open()).collect()
}

impl<'a> CompactDescriptor<'a> {
    fn of(descriptor: &'a Descriptor) -> Self {
        Self {
            media_type: Text::of(descriptor.media_type.as_deref()),
            digest: CompactDigest::of(&descriptor.digest),
            size: match (descriptor.size, descriptor.has_negative_size) {
                (Some(size), _) => CompactSize::Known(size),
                (None, true) => CompactSize::Negative,
                (None, false) => CompactSize::None,
            },
            platform: descriptor.platform.as_ref().map(CompactPlatform::of),
            has_urls: descriptor.has_urls,
            attestation: descriptor.attestation,
            attestation_subject: descriptor.attestation_subject.as_ref().map(CompactDigest::of),
        }
    }

    fn open(&self) -> Option<Descriptor> {
        Some(Descriptor {
            media_type: self.media_type.open(),
            digest: self.digest.open()?,
            size: if let CompactSize::Known(size) = self.size { Some(size) } else { None },
            has_negative_size: matches!(self.size, CompactSize::Negative),
            platform: self.platform.as_ref().map(CompactPlatform::open),
            has_urls: self.has_urls,
            attestation: self.attestation,
            attestation_subject: match &self.attestation_subject {
                Some(subject) => Some(subject.open()?),
                None => None,
            },
        })
    }
}

impl<'a> CompactUnusable<'a> {
    fn of(unusable: &'a Unusable) -> Self {
        Self { what: &unusable.what, platform: unusable.platform.as_ref().map(CompactPlatform::of) }
    }

    fn open(&self) -> Unusable {
        Unusable { what: self.what.to_string(), platform: self.platform.as_ref().map(CompactPlatform::open) }
    }
}

impl<'a> CompactPlatform<'a> {
    fn of(platform: &'a Platform) -> Self {
        let Platform { os, architecture, variant } = platform;
        Self { os, architecture, variant: variant.as_deref() }
    }

    fn open(&self) -> Platform {
        Platform {
            os: self.os.to_string(),
            architecture: self.architecture.to_string(),
            variant: self.variant.map(str::to_string),
        }
    }
}

impl<'a> Text<'a> {
    fn of(text: Option<&'a str>) -> Self {
        let Some(text) = text else { return Self::None };
        let known = media_types().position(|known| known == text);
        known.and_then(|position| u8::try_from(position).ok()).map_or(Self::Other(text), Self::Known)
    }

    fn open(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Known(position) => media_types().nth(usize::from(*position)).map(str::to_string),
            Self::Other(text) => Some((*text).to_string()),
        }
    }
}

impl<'a> CompactDigest<'a> {
    fn of(digest: &'a Digest) -> Self {
        let bytes = digest.as_bytes();
        match digest.algorithm() {
            Some(Algorithm::Sha256) => Self::Sha256(bytes),
            Some(Algorithm::Sha384) => Self::Sha384(bytes),
            Some(Algorithm::Sha512) => Self::Sha512(bytes),
            None => Self::Other(bytes),
        }
    }

    fn open(&self) -> Option<Digest> {
        match self {
            Self::Sha256(bytes) => Digest::from_bytes(Some(Algorithm::Sha256), bytes),
            Self::Sha384(bytes) => Digest::from_bytes(Some(Algorithm::Sha384), bytes),
            Self::Sha512(bytes) => Digest::from_bytes(Some(Algorithm::Sha512), bytes),
            Self::Other(bytes) => Digest::from_bytes(None, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: Option<&str>, digest: Digest) -> Descriptor {
        Descriptor {
            media_type: media_type.map(str::to_string),
            digest,
            size: Some(31_337),
            has_negative_size: false,
            platform: None,
            has_urls: false,
            attestation: false,
            attestation_subject: None,
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        let plain = descriptor(Some(MediaType::ImageLayerGzip.as_ref()), Digest::sha256(b"layer"));
        let unusable =
            Unusable { what: "layers[2] is not an object".to_string(), platform: Some("linux/arm".parse().unwrap()) };
        let odd = Descriptor {
            size: None,
            has_negative_size: true,
            platform: Some("linux/arm/v7".parse().unwrap()),
            has_urls: true,
            attestation: true,
            attestation_subject: Some(Digest::of(Algorithm::Sha512, b"subject")),
            ..descriptor(Some("text/plain"), "blake3:abc".parse().unwrap())
        };
        let manifest = Manifest {
            media_type: Some(MediaType::ImageManifest.to_string()),
            manifests: vec![odd.clone(), plain.clone()],
            config: Some(descriptor(None, Digest::of(Algorithm::Sha384, b"config"))),
            layers: vec![plain.clone(), plain],
            unusable: vec![unusable],
        };
        let bytes = encode(&manifest).unwrap();
        assert_eq!(decode(&bytes), Some(manifest.clone()));
        let all = manifest.manifests.iter().chain(&manifest.config).chain(&manifest.layers);
        assert_eq!(digests(&bytes), all.map(|descriptor| descriptor.digest.clone()).collect::<Vec<_>>());
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&encode(&Manifest::default()).unwrap()), Some(Manifest::default()));
    }

    #[test]
    fn an_image_of_eight_layers_takes_few_bytes() {
        let layers =
            (0..8u8).map(|n| descriptor(Some(MediaType::ImageLayerGzip.as_ref()), Digest::sha256(&[n]))).collect();
        let config = Some(descriptor(Some(MediaType::ImageConfig.as_ref()), Digest::sha256(b"config")));
        let media_type = Some(MediaType::ImageManifest.to_string());
        let manifest = Manifest { media_type, config, layers, ..Manifest::default() };
        assert!(encode(&manifest).unwrap().len() < 410);
    }
}

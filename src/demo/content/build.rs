//! Builds the parts of an image from its recipe.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::media_type;
use super::part::{Part, Role};
use super::recipe::{Recipe, Shape};
use crate::oci::{Digest, Platform};

/// gzip's magic number, so that tools recognise a layer as the compressed archive that it claims to be.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestJson {
    schema_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<DescriptorJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<DescriptorJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Vec<DescriptorJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<DescriptorJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorJson {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<PlatformJson>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct PlatformJson {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

#[derive(Serialize)]
struct ConfigJson<'a> {
    architecture: &'a str,
    os: &'a str,
    created: &'a str,
    config: BTreeMap<&'a str, Vec<&'a str>>,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: Vec<&'a Digest>,
}

/// All parts of a recipe, the root last.
pub(super) fn parts_of(recipe: &Recipe) -> Vec<Part> {
    match &recipe.shape {
        Shape::Manifest { platform } => manifest(recipe, platform, Role::Root),
        Shape::Index { platforms, attestations, nested } => index(recipe, platforms, *attestations, nested),
        Shape::Raw { media_type, bytes } => vec![part(recipe, Role::Root, media_type, bytes.clone())],
    }
}

fn index(recipe: &Recipe, platforms: &[Platform], attestations: bool, nested: &[Vec<Part>]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut children = Vec::new();
    for platform in platforms {
        parts.extend(manifest(recipe, platform, Role::Child));
        children.extend(parts.last().map(child_descriptor));
    }
    if attestations {
        for (index, _) in platforms.iter().enumerate() {
            let subject = children[index].digest.clone();
            parts.extend(attestation(recipe, &subject));
            children.extend(parts.last().map(|child| attestation_descriptor(child, &subject)));
        }
    }
    for (root, below) in nested.iter().filter_map(|parts| parts.split_last()) {
        children.push(child_descriptor(root));
        parts.extend(below.iter().cloned());
        parts.push(Part { role: Role::Child, ..root.clone() });
    }
    let media_type = if recipe.docker { media_type::DOCKER_LIST } else { media_type::OCI_INDEX };
    let json = ManifestJson { manifests: Some(children), ..empty_manifest(recipe, Role::Root, media_type) };
    parts.push(part(recipe, Role::Root, media_type, to_json(&json)));
    parts
}

fn manifest(recipe: &Recipe, platform: &Platform, role: Role) -> Vec<Part> {
    let mut parts: Vec<Part> = (0..recipe.layers).map(|index| layer(recipe, platform, index)).collect();
    let config_bytes = match recipe.config_type.as_deref() {
        Some(media_type::EMPTY) => Bytes::from_static(b"{}"),
        Some(_) => to_json(&BTreeMap::from([("name", &recipe.name)])),
        None => image_config(platform, &parts),
    };
    let default_type = if recipe.docker { media_type::DOCKER_CONFIG } else { media_type::OCI_CONFIG };
    let config = part(recipe, Role::Config, recipe.config_type.as_deref().unwrap_or(default_type), config_bytes);
    let media_type = if recipe.docker { media_type::DOCKER_MANIFEST } else { media_type::OCI_MANIFEST };
    let json = ManifestJson {
        config: Some(descriptor(&config)),
        layers: Some(parts.iter().map(descriptor).collect()),
        ..empty_manifest(recipe, role, media_type)
    };
    parts.push(config);
    parts.push(part(recipe, role, media_type, to_json(&json)));
    for part in &mut parts {
        part.platform = Some(platform.clone());
    }
    parts
}

/// BuildKit's `attestation-manifest`: an in-toto statement about one child of the same index.
fn attestation(recipe: &Recipe, subject: &Digest) -> Vec<Part> {
    let statement = to_json(&BTreeMap::from([
        ("_type", "https://in-toto.io/Statement/v0.1".to_string()),
        ("predicateType", "https://slsa.dev/provenance/v0.2".to_string()),
        ("subject", subject.to_string()),
    ]));
    let layer = part(recipe, Role::Layer, media_type::IN_TOTO, statement);
    let unknown = Platform { os: "unknown".to_string(), architecture: "unknown".to_string(), variant: None };
    let config_bytes = image_config(&unknown, std::slice::from_ref(&layer));
    let config = part(recipe, Role::Config, media_type::OCI_CONFIG, config_bytes);
    let json = ManifestJson {
        config: Some(descriptor(&config)),
        layers: Some(vec![descriptor(&layer)]),
        ..empty_manifest(recipe, Role::Child, media_type::OCI_MANIFEST)
    };
    let manifest = part(recipe, Role::Child, media_type::OCI_MANIFEST, to_json(&json));
    [layer, config, manifest].map(|part| Part { attestation: true, ..part }).into()
}

fn layer(recipe: &Recipe, platform: &Platform, index: usize) -> Part {
    let of = match &recipe.base {
        Some(base) if index == 0 => base,
        _ => &recipe.name,
    };
    let bytes = noise(&format!("{of} {platform} layer {index}"), recipe.layer_size);
    let urls = if index == 0 { recipe.layer_urls.clone() } else { Vec::new() };
    let default_type = match (recipe.docker, urls.is_empty()) {
        (true, true) => media_type::DOCKER_LAYER,
        (true, false) => media_type::DOCKER_FOREIGN_LAYER,
        (false, true) => media_type::OCI_LAYER,
        (false, false) => media_type::OCI_FOREIGN_LAYER,
    };
    let part = part(recipe, Role::Layer, recipe.layer_type.as_deref().unwrap_or(default_type), bytes);
    Part { claimed_size: recipe.claimed_layer_size.unwrap_or(part.claimed_size), urls, ..part }
}

fn image_config(platform: &Platform, layers: &[Part]) -> Bytes {
    to_json(&ConfigJson {
        architecture: &platform.architecture,
        os: &platform.os,
        created: "2026-04-13T06:00:00Z",
        config: BTreeMap::from([("Cmd", vec!["/bin/sh"])]),
        rootfs: RootFs { r#type: "layers", diff_ids: layers.iter().map(|layer| &layer.digest).collect() },
    })
}

fn part(recipe: &Recipe, role: Role, media_type: &str, bytes: Bytes) -> Part {
    Part {
        role,
        media_type: media_type.to_string(),
        digest: Digest::of(recipe.algorithm, &bytes),
        claimed_size: bytes.len() as u64,
        bytes,
        platform: None,
        attestation: false,
        urls: Vec::new(),
    }
}

fn empty_manifest(recipe: &Recipe, role: Role, media_type: &str) -> ManifestJson {
    let subject = recipe.subject.as_ref().filter(|_| role == Role::Root).map(|digest| DescriptorJson {
        media_type: media_type::OCI_MANIFEST.to_string(),
        digest: digest.clone(),
        size: 7023,
        urls: Vec::new(),
        platform: None,
        annotations: BTreeMap::new(),
    });
    ManifestJson {
        schema_version: 2,
        media_type: recipe.says_media_type.then(|| media_type.to_string()),
        artifact_type: recipe.artifact_type.clone(),
        config: None,
        layers: None,
        manifests: None,
        subject,
    }
}

fn descriptor(part: &Part) -> DescriptorJson {
    DescriptorJson {
        media_type: part.media_type.clone(),
        digest: part.digest.clone(),
        size: part.claimed_size,
        urls: part.urls.clone(),
        platform: None,
        annotations: BTreeMap::new(),
    }
}

fn child_descriptor(child: &Part) -> DescriptorJson {
    let platform = child.platform.as_ref().map(|platform| PlatformJson {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
    });
    DescriptorJson { platform, ..descriptor(child) }
}

fn attestation_descriptor(child: &Part, subject: &Digest) -> DescriptorJson {
    let unknown = || "unknown".to_string();
    DescriptorJson {
        platform: Some(PlatformJson { architecture: unknown(), os: unknown(), variant: None }),
        annotations: BTreeMap::from([
            ("vnd.docker.reference.digest", subject.to_string()),
            ("vnd.docker.reference.type", "attestation-manifest".to_string()),
        ]),
        ..descriptor(child)
    }
}

/// Incompressible bytes, deterministic for a seed.
fn noise(seed: &str, length: usize) -> Bytes {
    let digest = Digest::sha256(seed.as_bytes());
    let seed = digest.as_bytes().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    for (byte, magic) in bytes.iter_mut().zip(GZIP_MAGIC) {
        *byte = magic;
    }
    bytes.into()
}

fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("structs of texts and numbers always serialize").into()
}

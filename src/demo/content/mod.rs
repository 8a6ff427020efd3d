//! Generated images with reproducible bytes and digests.
//!
//! ```
//! use registry_integrity_probe::demo::Image;
//!
//! let image = Image::index().named("infra-ci").platforms(["linux/amd64", "linux/arm64"]).with_attestation();
//! assert_eq!(image.children().count(), 4);
//! assert_eq!(image.child("linux/amd64").unwrap().platform.as_ref().unwrap().architecture, "amd64");
//! ```

mod build;
pub mod media_type;
mod part;
mod recipe;

use std::sync::OnceLock;

use bytes::Bytes;

pub use part::{Part, Role};
use recipe::{Recipe, Shape, linux};

use crate::oci::{Algorithm, Digest, Platform};

/// An image, index or artifact. Its [parts](Part) are built on first use.
#[derive(Clone, Debug)]
pub struct Image {
    recipe: Recipe,
    parts: OnceLock<Vec<Part>>,
}

impl Image {
    /// One OCI image manifest for linux/amd64, with a config and two layers.
    pub fn manifest() -> Self {
        Self::of(Shape::Manifest { platform: linux("amd64") })
    }

    /// An OCI index of linux/amd64 and linux/arm64.
    pub fn index() -> Self {
        let platforms = vec![linux("amd64"), linux("arm64")];
        Self::of(Shape::Index { platforms, attestations: false, nested: Vec::new() })
    }

    /// An OCI artifact of a type: a manifest with the empty config and one layer.
    pub fn artifact(artifact_type: &str) -> Self {
        let mut image = Self::manifest().with_layers(1).layer_type(artifact_type);
        image.recipe.config_type = Some(media_type::EMPTY.to_string());
        image.recipe.artifact_type = Some(artifact_type.to_string());
        image
    }

    /// A Helm chart like that of `helm push`.
    pub fn helm_chart() -> Self {
        Self::manifest().with_layers(1).config_type(media_type::HELM_CONFIG).layer_type(media_type::HELM_CHART)
    }

    /// A cosign signature of another image, to be pushed under its [`signature_tag`](Self::signature_tag).
    pub fn signature_of(image: &Self) -> Self {
        Self::manifest()
            .named(&format!("signature of {}", image.root().digest))
            .with_layers(1)
            .with_layer_size(240)
            .layer_type(media_type::COSIGN_PAYLOAD)
    }

    /// A manifest with arbitrary bytes and without further parts.
    pub fn raw(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self::of(Shape::Raw { media_type: media_type.to_string(), bytes: bytes.into() })
    }

    fn of(shape: Shape) -> Self {
        Self { recipe: Recipe::new(shape), parts: OnceLock::new() }
    }

    fn with(mut self, change: impl FnOnce(&mut Recipe)) -> Self {
        change(&mut self.recipe);
        Self { recipe: self.recipe, parts: OnceLock::new() }
    }

    /// The seed of its content: another name results in other digests.
    pub fn named(self, name: &str) -> Self {
        self.with(|recipe| recipe.name = name.to_string())
    }

    /// The first layer is shared by all images with the same base and platform.
    pub fn based_on(self, base: &str) -> Self {
        self.with(|recipe| recipe.base = Some(base.to_string()))
    }

    /// The platforms of an index; a manifest uses the first one. Invalid ones are ignored.
    pub fn platforms<'a>(self, platforms: impl IntoIterator<Item = &'a str>) -> Self {
        let mut wanted = platforms.into_iter().filter_map(|text| text.parse::<Platform>().ok());
        self.with(|recipe| match &mut recipe.shape {
            Shape::Index { platforms, .. } => *platforms = wanted.collect(),
            Shape::Manifest { platform } => *platform = wanted.next().unwrap_or_else(|| linux("amd64")),
            Shape::Raw { .. } => {}
        })
    }

    /// Adds an attestation for each platform to an index, like BuildKit.
    pub fn with_attestation(self) -> Self {
        self.with(|recipe| {
            if let Shape::Index { attestations, .. } = &mut recipe.shape {
                *attestations = true;
            }
        })
    }

    /// An index refers to these images and indexes instead of generated children.
    pub fn containing(self, images: impl IntoIterator<Item = Self>) -> Self {
        self.with(|recipe| {
            if let Shape::Index { platforms, nested, .. } = &mut recipe.shape {
                platforms.clear();
                nested.extend(images.into_iter().map(|image| image.parts().to_vec()));
            }
        })
    }

    /// Uses Docker's media types: schema 2, or a manifest list.
    pub fn docker(self) -> Self {
        self.with(|recipe| recipe.docker = true)
    }

    /// Omits `mediaType` in the manifests, as the OCI specification allows.
    pub fn without_media_type(self) -> Self {
        self.with(|recipe| recipe.says_media_type = false)
    }

    /// The algorithm of all digests.
    pub fn digests(self, algorithm: Algorithm) -> Self {
        self.with(|recipe| recipe.algorithm = algorithm)
    }

    /// Number of layers of each manifest.
    pub fn with_layers(self, count: usize) -> Self {
        self.with(|recipe| recipe.layers = count)
    }

    /// Size of each layer in bytes.
    pub fn with_layer_size(self, bytes: usize) -> Self {
        self.with(|recipe| recipe.layer_size = bytes)
    }

    /// The descriptors of the layers claim this size.
    pub fn claiming_layer_size(self, bytes: u64) -> Self {
        self.with(|recipe| recipe.claimed_layer_size = Some(bytes))
    }

    /// The first layer may be fetched from these URLs and is not pushed.
    pub fn with_layer_urls<'a>(self, urls: impl IntoIterator<Item = &'a str>) -> Self {
        self.with(|recipe| recipe.layer_urls = urls.into_iter().map(str::to_string).collect())
    }

    /// The media type of the configs.
    pub fn config_type(self, media_type: &str) -> Self {
        self.with(|recipe| recipe.config_type = Some(media_type.to_string()))
    }

    /// The media type of the layers.
    pub fn layer_type(self, media_type: &str) -> Self {
        self.with(|recipe| recipe.layer_type = Some(media_type.to_string()))
    }

    /// The root refers to another manifest as its `subject`, which need not exist.
    pub fn with_subject(self, digest: &Digest) -> Self {
        self.with(|recipe| recipe.subject = Some(digest.clone()))
    }

    /// All parts in the order in which a registry accepts them: children before parents.
    pub fn parts(&self) -> &[Part] {
        self.parts.get_or_init(|| build::parts_of(&self.recipe))
    }

    /// The target of a tag.
    pub fn root(&self) -> &Part {
        self.parts().last().expect("every image is built with its root last")
    }

    /// The child manifests of indexes at any depth, including attestations.
    pub fn children(&self) -> impl Iterator<Item = &Part> {
        self.having(Role::Child)
    }

    /// The child of a platform (`linux/amd64`), except attestations.
    pub fn child(&self, platform: &str) -> Option<&Part> {
        let platform: Platform = platform.parse().ok()?;
        self.children().find(|part| !part.attestation && part.platform.as_ref() == Some(&platform))
    }

    /// The attestations of an index.
    pub fn attestations(&self) -> impl Iterator<Item = &Part> {
        self.children().filter(|part| part.attestation)
    }

    /// The configs of all manifests.
    pub fn configs(&self) -> impl Iterator<Item = &Part> {
        self.having(Role::Config)
    }

    /// The layers of all manifests.
    pub fn layers(&self) -> impl Iterator<Item = &Part> {
        self.having(Role::Layer)
    }

    fn having(&self, role: Role) -> impl Iterator<Item = &Part> {
        self.parts().iter().filter(move |part| part.role == role)
    }

    /// The tag of this image's cosign signature.
    pub fn signature_tag(&self) -> String {
        format!("{}.sig", self.root().digest.to_string().replace(':', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::parse_manifest;

    #[test]
    fn digests_match_bytes_and_references_match_parts() {
        let index = Image::index().named("a").with_attestation();
        for image in [
            Image::manifest(),
            Image::manifest().docker().without_media_type(),
            Image::index().docker(),
            Image::index().containing([index.clone(), Image::manifest()]),
            Image::manifest().digests(Algorithm::Sha512),
            Image::artifact("application/example"),
            Image::helm_chart(),
            Image::signature_of(&index),
            index,
        ] {
            for part in image.parts() {
                let algorithm = part.digest.algorithm().unwrap();
                assert_eq!(part.digest, Digest::of(algorithm, &part.bytes));
                if matches!(part.role, Role::Root | Role::Child) {
                    let manifest = parse_manifest(&part.bytes).unwrap();
                    for named in manifest.manifests.iter().chain(&manifest.config).chain(&manifest.layers) {
                        let part = image.parts().iter().find(|part| part.digest == named.digest).unwrap();
                        assert_eq!(named.size, Some(part.bytes.len() as u64));
                    }
                }
            }
            assert_eq!(image.root().role, Role::Root);
        }
    }

    #[test]
    fn images_are_reproducible_and_names_change_digests() {
        let digest = |image: Image| image.root().digest.clone();
        assert_eq!(digest(Image::index().named("a")), digest(Image::index().named("a")));
        assert_ne!(digest(Image::index().named("a")), digest(Image::index().named("b")));
        let (a, b) = (Image::manifest().named("a").based_on("x"), Image::manifest().named("b").based_on("x"));
        assert_eq!(a.layers().next().unwrap().digest, b.layers().next().unwrap().digest);
        assert_ne!(a.layers().nth(1).unwrap().digest, b.layers().nth(1).unwrap().digest);
    }

    #[test]
    fn index_has_an_attestation_per_platform() {
        let image = Image::index().platforms(["linux/amd64", "linux/arm/v7"]).with_attestation();
        let root = parse_manifest(&image.root().bytes).unwrap();
        let subjects: Vec<_> = root.manifests.iter().filter_map(|child| child.attestation_subject.clone()).collect();
        let children = ["linux/amd64", "linux/arm/v7"].map(|platform| image.child(platform).unwrap().digest.clone());
        assert_eq!(subjects, children);
        assert_eq!(image.attestations().count(), 2);
    }

    #[test]
    fn layer_descriptors_can_claim_another_size() {
        let image = Image::manifest().claiming_layer_size(7).with_layer_urls(["https://example.com/layer"]);
        let layers = parse_manifest(&image.root().bytes).unwrap().layers;
        assert!(layers.iter().all(|layer| layer.size == Some(7)));
        assert_eq!(layers.iter().map(|layer| layer.has_urls).collect::<Vec<_>>(), [true, false]);
    }
}

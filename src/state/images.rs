//! Images and their states, and the tree of one image with the state of each object.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use utoipa::ToSchema;

use super::registry::RegistryState;
use super::snapshot::Snapshot;
use crate::check::manifest_cache::{NODES_LIMIT, Node};
use crate::oci::{Digest, Image, Reference, Repository};
use crate::report::{Failure, ImageState, Kind, Outcome, Reason, Report, Unverified};

/// Names of other images that share an object; more are only counted.
const SHARED_NAMES: usize = 10;

/// An image and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageSummary {
    /// `repository:tag` or `repository@digest`.
    #[schema(value_type = String)]
    pub image: Image,
    /// The digest that it resolved to in the last sweep; `null` if unknown.
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// Its state in the last sweep.
    pub state: ImageState,
}

/// An object of an image and its state.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ImageNode {
    /// Its kind.
    pub kind: Kind,
    /// Its digest.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// The media type in its descriptor.
    pub media_type: Option<String>,
    /// The size in its descriptor, in bytes.
    pub size: Option<u64>,
    /// Its platform, for children of an index.
    pub platform: Option<String>,
    /// True for an attestation.
    pub attestation: bool,
    /// `intact`: the last sweep checked it and found no problem. Objects below an unreadable manifest, and objects that the
    /// sweep does not check, are `unverified`.
    pub state: ImageState,
    /// Why it is broken.
    pub reason: Option<Reason>,
    /// Details of the problem, in words.
    pub detail: Option<String>,
    /// When its content last matched its digest. For a manifest, `null` means that its content is unknown; for a blob, that
    /// it was not hashed within two periods.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub hashed_at: Option<String>,
    /// When a blob's last byte was last read; `null` for manifests, and as above.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_byte_at: Option<String>,
    /// Number of other images of the repository that use it.
    pub shared_count: usize,
    /// The first of them, as tags of the same repository.
    pub shared_with: Vec<String>,
    /// The objects that it references: children, or config and layers.
    #[schema(no_recursion)]
    pub needs: Vec<ImageNode>,
}

/// The tree of an image.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ImageTree {
    /// True if the tree contains all objects. It is incomplete below manifests that are missing or not cached.
    pub complete: bool,
    /// The manifest or index that the image resolves to.
    pub root: ImageNode,
}

/// The known images of a registry, sorted.
pub fn list(registry: &RegistryState, repository: Option<&str>) -> Vec<ImageSummary> {
    let known = registry.known();
    let mut images: BTreeMap<Image, Option<Digest>> = BTreeMap::new();
    for name in registry.manifests.repositories().into_iter().filter(|name| repository.is_none_or(|it| it == &**name)) {
        for (tag, digest) in registry.manifests.tags(&name) {
            images.insert(Image { repository: name.clone(), reference: Reference::Tag(tag) }, Some(digest));
        }
    }
    let findings = Findings::of(&known, |name| repository.is_none_or(|it| it == name));
    for image in findings.images.keys() {
        images.entry((*image).clone()).or_insert_with(|| match &image.reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => None,
        });
    }
    images.into_iter().map(|(image, digest)| ImageSummary { state: findings.image(&image), image, digest }).collect()
}

/// One image; `None` if unknown.
pub fn find(registry: &RegistryState, image: &Image) -> Option<ImageSummary> {
    let known = registry.known();
    let digest = registry.manifests.resolve(&image.repository, &image.reference);
    let findings = Findings::of(&known, |name| name == &*image.repository);
    let is_found = findings.images.contains_key(image);
    let digest = digest.or_else(|| match &image.reference {
        Reference::Digest(digest) if is_found => Some(digest.clone()),
        _ => None,
    });
    (digest.is_some() || is_found).then(|| ImageSummary { image: image.clone(), digest, state: findings.image(image) })
}

/// The tree of an image; `None` if its digest is unknown.
pub fn tree(registry: &RegistryState, image: &Image) -> Option<ImageTree> {
    let ImageSummary { digest, .. } = find(registry, image)?;
    let tree = registry.manifests.tree(&image.repository, &digest?);
    let known = registry.known();
    let findings = Findings::of(&known, |name| name == &*image.repository);
    let objects = tree.all().map(|node| &node.digest);
    let shared = registry.manifests.shared(&image.repository, &image.reference, objects, SHARED_NAMES);
    let proofs = registry.evidence_schedule();
    let complete = tree.all().count() < NODES_LIMIT && !tree.all().any(is_open);
    let label = |node: &Node, was_checked: bool| {
        let finding = findings.objects.get(&node.digest);
        let unfound = if was_checked { findings.otherwise(&image.repository) } else { ImageState::Unverified };
        let shared = shared.get(&node.digest);
        let (hashed_at, last_byte_at) = match node.kind {
            Kind::Manifest | Kind::Child => (node.hashed_at, None),
            Kind::Config | Kind::Layer => {
                let proved = proofs.times_of(&image.repository, &node.digest);
                (point_in_time(proved.content), point_in_time(proved.byte))
            }
        };
        ImageNode {
            kind: node.kind,
            digest: node.digest.clone(),
            media_type: node.media_type.clone(),
            size: node.size,
            platform: node.platform.clone(),
            attestation: node.attestation,
            state: finding.map_or(unfound, Finding::state),
            reason: finding.and_then(Finding::reason),
            detail: finding.map(|finding| finding.detail().to_string()),
            hashed_at: hashed_at.map(written),
            last_byte_at: last_byte_at.map(written),
            shared_count: shared.map_or(0, |shared| shared.count),
            shared_with: shared.into_iter().flat_map(|it| &it.first).map(ToString::to_string).collect(),
            needs: Vec::new(),
        }
    };
    Some(ImageTree { complete, root: copy(&tree, true, &label) })
}

/// Converts Unix time in seconds; 0 means never.
fn point_in_time(seconds: u32) -> Option<SystemTime> {
    (seconds > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into()))
}

fn written(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Copies a node; `was_read` is true if all manifests above it were read, so that a sweep could check it.
fn copy(node: &Node, was_read: bool, label: &impl Fn(&Node, bool) -> ImageNode) -> ImageNode {
    let was_checked = was_read && !is_open(node);
    let mut copied = label(node, was_checked);
    let was_read = was_checked && copied.state == ImageState::Intact;
    copied.needs = node.needs.iter().map(|node| copy(node, was_read, label)).collect();
    copied
}

/// True for a manifest with unknown content, and so unknown references.
fn is_open(node: &Node) -> bool {
    matches!(node.kind, Kind::Manifest | Kind::Child) && node.hashed_at.is_none()
}

/// Findings of the last report by image and by object.
struct Findings<'a> {
    images: HashMap<&'a Image, ImageState>,
    objects: HashMap<Digest, Finding<'a>>,
    /// Repositories that the last sweep checked only partly; `None`: it checked none completely.
    unread: Option<HashSet<&'a str>>,
}

enum Finding<'a> {
    Failure(&'a Failure),
    Unverified(&'a Unverified),
}

impl Finding<'_> {
    fn state(&self) -> ImageState {
        match self {
            Self::Failure(_) => ImageState::Broken,
            Self::Unverified(_) => ImageState::Unverified,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Failure(failure) => Some(failure.reason),
            Self::Unverified(_) => None,
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::Failure(failure) => &failure.detail,
            Self::Unverified(entry) => &entry.detail,
        }
    }
}

impl<'a> Findings<'a> {
    fn of(known: &'a Snapshot, wanted: impl Fn(&str) -> bool) -> Self {
        let mut findings = Self { images: HashMap::new(), objects: HashMap::new(), unread: None };
        let Some(Report { failures, unverified, outcome, .. }) = known.report.as_deref() else { return findings };
        if *outcome != Outcome::Failed {
            let unread = unverified.iter().filter(|entry| entry.kind.is_none());
            findings.unread = Some(unread.filter_map(|entry| entry.repository.as_deref()).collect());
        }
        let is_wanted = |repository: &Repository| wanted(repository);
        for entry in unverified.iter().filter(|entry| entry.repository.as_deref().is_some_and(&wanted)) {
            findings.images.extend(entry.images.iter().map(|image| (image, ImageState::Unverified)));
            if let Ok(digest) = entry.reference.parse() {
                findings.objects.insert(digest, Finding::Unverified(entry));
            }
        }
        for failure in failures.iter().filter(|failure| is_wanted(&failure.repository)) {
            findings.images.extend(failure.images.iter().map(|image| (image, ImageState::Broken)));
            if let Some(digest) = &failure.digest {
                findings.objects.insert(digest.clone(), Finding::Failure(failure));
            }
        }
        findings
    }

    fn image(&self, image: &Image) -> ImageState {
        self.images.get(image).copied().unwrap_or_else(|| self.otherwise(&image.repository))
    }

    /// The state of images and objects without findings in a repository.
    fn otherwise(&self, repository: &Repository) -> ImageState {
        match &self.unread {
            Some(unread) if !unread.contains(&**repository) => ImageState::Intact,
            _ => ImageState::Unverified,
        }
    }
}

//! Images as they are known now: each one's state, and one's whole tree with what was found against each object.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use utoipa::ToSchema;

use super::registry::RegistryState;
use super::snapshot::Snapshot;
use crate::check::manifest_cache::{NODES_LIMIT, Node};
use crate::oci::{Digest, Image, Reference, Repository};
use crate::report::{Failure, ImageState, Kind, Outcome, Reason, Report, Unverified};

/// Other images that an object names which share it; more are counted.
const SHARED_NAMES: usize = 10;

/// An image, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageSummary {
    /// `repository:tag` or `repository@digest`.
    #[schema(value_type = String)]
    pub image: Image,
    /// What it resolved to when it was last asked for; `null` if that is not known.
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// What the last sweep found.
    pub state: ImageState,
}

/// An object of an image, and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ImageNode {
    /// What it is.
    pub kind: Kind,
    /// Its digest.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Its media type, where a manifest names it.
    pub media_type: Option<String>,
    /// Its length in bytes, where a manifest names it.
    pub size: Option<u64>,
    /// Its platform, on the children of an index.
    pub platform: Option<String>,
    /// True for an attestation.
    pub attestation: bool,
    /// `intact`: the last sweep asked for it and found nothing against it. What lies below something that could not be read
    /// is `unverified`, and so is what the sweep was not to ask for.
    pub state: ImageState,
    /// What is wrong with it.
    pub reason: Option<Reason>,
    /// What was seen against it, in words.
    pub detail: Option<String>,
    /// When its bytes last came and hashed to its digest. `null` on a manifest: they are not known, and neither is what it
    /// needs; on a blob: no sweep of this process, or of the state that is kept, has hashed it within two periods.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub hashed_at: Option<String>,
    /// When a blob's last byte last came; `null` on manifests, and as above.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_byte_at: Option<String>,
    /// How many other images of the repository need it.
    pub shared_count: usize,
    /// The first of them: tags of the same repository.
    pub shared_with: Vec<String>,
    /// What it names: children, or config and layers.
    #[schema(no_recursion)]
    pub needs: Vec<ImageNode>,
}

/// One image's whole tree.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ImageTree {
    /// True if all that it needs is in the tree. A manifest that is missing, or that was not kept in memory, hides the rest.
    pub complete: bool,
    /// What the image resolves to.
    pub root: ImageNode,
}

/// The images of a registry that are known, in order.
pub fn list(registry: &RegistryState, repository: Option<&str>) -> Vec<ImageSummary> {
    let known = registry.known();
    let mut images: BTreeMap<Image, Option<Digest>> = BTreeMap::new();
    for name in registry.manifests.repositories().into_iter().filter(|name| repository.is_none_or(|it| it == &**name)) {
        for (tag, digest) in registry.manifests.tags(&name) {
            images.insert(Image { repository: name.clone(), reference: Reference::Tag(tag) }, Some(digest));
        }
    }
    let found = Found::of(&known, |name| repository.is_none_or(|it| it == name));
    for image in found.images.keys() {
        images.entry((*image).clone()).or_insert_with(|| match &image.reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => None,
        });
    }
    images.into_iter().map(|(image, digest)| ImageSummary { state: found.image(&image), image, digest }).collect()
}

/// One image; `None` if nothing is known of it.
pub fn find(registry: &RegistryState, image: &Image) -> Option<ImageSummary> {
    let known = registry.known();
    let digest = registry.manifests.resolve(&image.repository, &image.reference);
    let found = Found::of(&known, |name| name == &*image.repository);
    let is_found = found.images.contains_key(image);
    let digest = digest.or_else(|| match &image.reference {
        Reference::Digest(digest) if is_found => Some(digest.clone()),
        _ => None,
    });
    (digest.is_some() || is_found).then(|| ImageSummary { image: image.clone(), digest, state: found.image(image) })
}

/// One image's tree; `None` if it is not known what it resolves to.
pub fn tree(registry: &RegistryState, image: &Image) -> Option<ImageTree> {
    let ImageSummary { digest, .. } = find(registry, image)?;
    let tree = registry.manifests.tree(&image.repository, &digest?);
    let known = registry.known();
    let found = Found::of(&known, |name| name == &*image.repository);
    let objects = tree.all().map(|node| &node.digest);
    let shared = registry.manifests.shared(&image.repository, &image.reference, objects, SHARED_NAMES);
    let proofs = registry.evidence_schedule();
    let complete = tree.all().count() < NODES_LIMIT && !tree.all().any(is_open);
    let label = |node: &Node, was_asked: bool| {
        let finding = found.objects.get(&node.digest);
        let unfound = if was_asked { found.otherwise(&image.repository) } else { ImageState::Unverified };
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

/// Seconds of Unix time; 0: never.
fn point_in_time(seconds: u32) -> Option<SystemTime> {
    (seconds > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into()))
}

fn written(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `was_read`: everything above it was, so that a sweep came to ask for it.
fn copy(node: &Node, was_read: bool, label: &impl Fn(&Node, bool) -> ImageNode) -> ImageNode {
    let was_asked = was_read && !is_open(node);
    let mut copied = label(node, was_asked);
    let was_read = was_asked && copied.state == ImageState::Intact;
    copied.needs = node.needs.iter().map(|node| copy(node, was_read, label)).collect();
    copied
}

/// True for a manifest that is not known: nobody can tell what it needs.
fn is_open(node: &Node) -> bool {
    matches!(node.kind, Kind::Manifest | Kind::Child) && node.hashed_at.is_none()
}

/// What the last report says against the images and objects of some repositories.
struct Found<'a> {
    images: HashMap<&'a Image, ImageState>,
    objects: HashMap<Digest, Finding<'a>>,
    /// Repositories of which the last sweep could not say everything; `None`: of no repository.
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

impl<'a> Found<'a> {
    fn of(known: &'a Snapshot, wanted: impl Fn(&str) -> bool) -> Self {
        let mut found = Self { images: HashMap::new(), objects: HashMap::new(), unread: None };
        let Some(Report { failures, unverified, outcome, .. }) = known.report.as_deref() else { return found };
        if *outcome != Outcome::Failed {
            let unread = unverified.iter().filter(|entry| entry.kind.is_none());
            found.unread = Some(unread.filter_map(|entry| entry.repository.as_deref()).collect());
        }
        let is_wanted = |repository: &Repository| wanted(repository);
        for entry in unverified.iter().filter(|entry| entry.repository.as_deref().is_some_and(&wanted)) {
            found.images.extend(entry.images.iter().map(|image| (image, ImageState::Unverified)));
            if let Ok(digest) = entry.reference.parse() {
                found.objects.insert(digest, Finding::Unverified(entry));
            }
        }
        for failure in failures.iter().filter(|failure| is_wanted(&failure.repository)) {
            found.images.extend(failure.images.iter().map(|image| (image, ImageState::Broken)));
            if let Some(digest) = &failure.digest {
                found.objects.insert(digest.clone(), Finding::Failure(failure));
            }
        }
        found
    }

    fn image(&self, image: &Image) -> ImageState {
        self.images.get(image).copied().unwrap_or_else(|| self.otherwise(&image.repository))
    }

    /// What holds of anything in a repository that nothing was found against.
    fn otherwise(&self, repository: &Repository) -> ImageState {
        match &self.unread {
            Some(unread) if !unread.contains(&**repository) => ImageState::Intact,
            _ => ImageState::Unverified,
        }
    }
}

//! `GET /image?registry=&image=&part=`: one image with its failures and its object tree.

use std::ops::Range;
use std::time::SystemTime;

use super::headline::Standing;
use super::links::{ImageLink, Name, address};
use super::moment::{Moment, bytes};
use super::problems::{Case, UnverifiedRow, onset, past_sentence};
use super::watched::Watched;
use crate::oci::Image;
use crate::render::printable;
use crate::render::remedy::quoted;
use crate::report::{Failure, ImageState, Kind};
use crate::state::images::{self, ImageNode};

/// Objects of a tree on one page; a larger tree is split into parts.
const NODES_SHOWN: usize = 600;
/// Maximum number of open failures, of resolved failures and of unverified objects on the page.
const CASES_SHOWN: usize = 20;

/// One image.
pub struct ImageView {
    pub registry: String,
    pub name: Name,
    pub digest: Option<Name>,
    pub state: ImageState,
    /// When the last sweep of the registry finished.
    pub last_sweep: Option<Moment>,
    pub cases: Vec<Case>,
    pub cases_omitted: usize,
    /// Address of all its open failures.
    pub search: String,
    pub unverified: Vec<UnverifiedRow>,
    pub unverified_omitted: usize,
    /// Address of all its unverified objects.
    pub unverified_search: String,
    pub past: Vec<Past>,
    pub past_omitted: usize,
    pub past_search: String,
    /// Lines of a part of the tree in depth-first order; empty if the tree is unknown.
    pub tree: Vec<Branch>,
    pub part: Part,
    pub is_complete: bool,
    /// Total size of its objects according to the manifests; shared objects count once.
    pub size: String,
    /// Commands that check the image.
    pub commands: Vec<String>,
}

/// The part of the tree on the page.
pub struct Part {
    /// The first object, starting at 1.
    pub first: usize,
    pub last: usize,
    pub total: usize,
    pub earlier: Option<String>,
    pub later: Option<String>,
}

impl Part {
    fn new(registry: &str, image: &Image, part: usize, total: usize) -> Self {
        let Range { start, end } = nodes(part, total);
        let at = |part: usize| {
            let (name, part) = (image.to_string(), part.to_string());
            address("image", &[("registry", registry), ("image", &name), ("part", &part)]) + "#tree-title"
        };
        Self {
            first: (start + 1).min(end),
            last: end,
            total,
            earlier: (part > 1).then(|| at(part - 1)),
            later: (end < total).then(|| at(part + 1)),
        }
    }
}

/// The nodes of a part, which counts from 1.
fn nodes(part: usize, total: usize) -> Range<usize> {
    let start = (part - 1) * NODES_SHOWN;
    start..total.min(start + NODES_SHOWN)
}

/// A resolved failure of this image.
pub struct Past {
    pub text: String,
    pub onset: String,
}

/// A line of the tree, with the lists that open and close around it.
pub struct Branch {
    pub kind: &'static str,
    pub platform: Option<String>,
    pub attestation: bool,
    pub digest: Name,
    pub media_type: Option<String>,
    pub size: Option<String>,
    pub state: &'static str,
    pub reason: Option<&'static str>,
    pub detail: Option<String>,
    pub hashed_at: Option<String>,
    pub shared: Vec<ImageLink>,
    pub shared_omitted: usize,
    /// True if it belongs to an earlier part and only leads to the first object of this one.
    pub is_repeated: bool,
    /// True if a list of child objects follows.
    pub has_children: bool,
    /// Lists that end after it.
    pub closes: usize,
}

impl ImageView {
    /// An image with a part of its tree, starting at 1; `None` if the image is unknown.
    pub fn of(watched: &Watched, image: &Image, part: usize, now: SystemTime) -> Option<Self> {
        let Watched { registry, known } = watched;
        let is_of_image = |failure: &Failure| failure.images.contains(image);
        let over: Vec<_> = known.history.resolved.iter().rev().filter(|life| is_of_image(&life.failure)).collect();
        let past = over.iter().take(CASES_SHOWN).map(|life| Past {
            text: past_sentence(&life.failure, life.disproved_at, now),
            onset: onset(&known.history, &life.failure, now),
        });
        let summary = images::find(registry, image)?;
        let tree = images::tree(registry, image);
        let total = tree.as_ref().map_or(0, |tree| count(&tree.root));
        // The image may have changed since the link to this part was rendered.
        let part = part.clamp(1, total.div_ceil(NODES_SHOWN).max(1));
        let Range { start, end } = nodes(part, total);
        let mut lines = Lines { registry: &registry.name, image, begin: start, end, met: 0, branches: Vec::new() };
        if let Some(tree) = &tree {
            lines.add(&tree.root);
        }
        let failures: Vec<_> = known.failures().iter().filter(|failure| is_of_image(failure)).collect();
        let entries = known.report.iter().flat_map(|report| &report.unverified);
        let unverified: Vec<_> = entries.filter(|entry| entry.images.contains(image)).collect();
        let search =
            |show: &str| address("search", &[("show", show), ("q", &image.to_string()), ("registry", &registry.name)]);
        Some(Self {
            registry: printable(&registry.name),
            name: Name::new(&image.to_string()),
            digest: summary.digest.map(|digest| Name::new(&digest.to_string())),
            state: summary.state,
            last_sweep: known.last_sweep.map(|at| Moment::new(at, now)),
            search: search(""),
            cases_omitted: failures.len().saturating_sub(CASES_SHOWN),
            cases: failures.into_iter().take(CASES_SHOWN).map(|it| Case::of(watched, image, it, now)).collect(),
            unverified_omitted: unverified.len().saturating_sub(CASES_SHOWN),
            unverified: unverified
                .into_iter()
                .take(CASES_SHOWN)
                .map(|it| UnverifiedRow::of(&registry.name, it))
                .collect(),
            unverified_search: search("unverified"),
            past_omitted: over.len().saturating_sub(CASES_SHOWN),
            past: past.collect(),
            past_search: search("resolved"),
            part: Part::new(&registry.name, image, part, total),
            tree: lines.branches,
            is_complete: tree.as_ref().is_some_and(|tree| tree.complete),
            size: bytes(tree.as_ref().map_or(0, |tree| size(&tree.root))),
            commands: commands(&registry.url, image),
        })
    }

    /// The state for the page's style.
    pub fn standing(&self) -> Standing {
        match self.state {
            ImageState::Intact => Standing::Intact,
            ImageState::Unverified => Standing::Unverified,
            ImageState::Broken => Standing::Broken,
        }
    }
}

struct Lines<'a> {
    registry: &'a str,
    image: &'a Image,
    /// The objects of this part, as a half-open range in depth-first order.
    begin: usize,
    end: usize,
    met: usize,
    branches: Vec<Branch>,
}

impl Lines<'_> {
    /// Adds a node and its descendants, if they belong to this part or lead to its first object.
    fn add(&mut self, node: &ImageNode) {
        let own = self.met;
        if own >= self.end || own + count(node) <= self.begin {
            self.met += count(node);
            return;
        }
        self.met += 1;
        let place = self.branches.len();
        let branch = Branch { is_repeated: own < self.begin, ..self.branch(node) };
        self.branches.push(branch);
        for below in &node.needs {
            self.add(below);
        }
        if self.branches.len() > place + 1 {
            self.branches[place].has_children = true;
            if let Some(last) = self.branches.last_mut() {
                last.closes += 1;
            }
        }
    }

    fn branch(&self, node: &ImageNode) -> Branch {
        let shared = node.shared_with.iter().filter_map(|reference| {
            let reference = reference.parse().map(crate::oci::Reference::Tag).ok()?;
            Some(ImageLink::new(self.registry, &Image { repository: self.image.repository.clone(), reference }))
        });
        let shared: Vec<ImageLink> = shared.take(3).collect();
        Branch {
            kind: match node.kind {
                Kind::Manifest if node.needs.iter().any(|below| below.kind == Kind::Child) => "index",
                kind => kind.as_str(),
            },
            platform: node.platform.as_deref().map(printable),
            attestation: node.attestation,
            digest: Name::new(&node.digest.to_string()),
            media_type: node.media_type.as_deref().map(printable),
            size: node.size.map(bytes),
            state: node.state.as_str(),
            reason: node.reason.map(|reason| reason.as_str()),
            detail: node.detail.as_deref().map(printable),
            hashed_at: node.hashed_at.clone(),
            shared_omitted: node.shared_count.saturating_sub(shared.len()),
            shared,
            is_repeated: false,
            has_children: false,
            closes: 0,
        }
    }
}

/// Number of nodes in a subtree.
fn count(node: &ImageNode) -> usize {
    1 + node.needs.iter().map(count).sum::<usize>()
}

fn size(root: &ImageNode) -> u64 {
    let mut met = std::collections::HashSet::new();
    let mut open = vec![root];
    let mut total = 0_u64;
    while let Some(node) = open.pop() {
        if met.insert(&node.digest) {
            total = total.saturating_add(node.size.unwrap_or_default());
        }
        open.extend(&node.needs);
    }
    total
}

fn commands(url: &str, image: &Image) -> Vec<String> {
    let url = url.trim_end_matches('/');
    let (scheme, host) = url.split_once("://").unwrap_or(("https", url));
    let name = format!("{host}/{image}");
    let is_plain = scheme == "http";
    vec![
        format!("registry-integrity-probe verify{} {}", if is_plain { " --plain-http" } else { "" }, quoted(&name)),
        format!(
            "skopeo copy --all{} {} \"dir:$(mktemp -d)\"",
            if is_plain { " --src-tls-verify=false" } else { "" },
            quoted(&format!("docker://{name}"))
        ),
    ]
}

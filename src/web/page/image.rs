//! `GET /image?registry=&image=`: one image, its whole tree, and what to do about it.

use std::time::SystemTime;

use super::headline::Standing;
use super::links::{ImageLink, Name, address};
use super::moment::{Moment, between, bytes};
use super::problems::{Case, Unjudged, onset, sentence};
use super::{Watched, shown};
use crate::images::{self, ImageNode};
use crate::oci::Image;
use crate::remedy::quoted;
use crate::report::{ImageState, Kind};

/// Objects of a tree that the page shows.
const NODES_SHOWN: usize = 600;
/// Failures of one image whose commands the page shows, and past ones that it names.
const CASES_SHOWN: usize = 20;

/// What is known of one image.
pub struct ImageView {
    pub registry: String,
    pub name: Name,
    pub digest: Option<Name>,
    pub state: ImageState,
    /// When the registry was looked at.
    pub looked: Option<Moment>,
    pub cases: Vec<Case>,
    pub cases_omitted: usize,
    /// Where all of its failures are.
    pub search: String,
    pub unjudged: Vec<Unjudged>,
    pub past: Vec<Past>,
    /// Lines of the tree, outermost first; empty if it is not known.
    pub tree: Vec<Branch>,
    pub nodes_omitted: usize,
    pub is_complete: bool,
    /// Bytes of all its objects, as far as manifests name them; each counts once.
    pub size: String,
    /// To read all of it by hand.
    pub commands: Vec<String>,
}

/// A failure of this image that is over.
pub struct Past {
    pub sentence: String,
    pub when: String,
    pub over: String,
}

/// An object in the tree, with how many levels are opened and closed around it.
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
    /// True if other objects lie below it, in a list of their own.
    pub has_children: bool,
    /// Lists that end behind it.
    pub closes: usize,
}

impl ImageView {
    /// One image of a registry; `None` if nothing is known of it.
    pub fn of(watched: &Watched, image: &Image, now: SystemTime) -> Option<Self> {
        let Watched { registry, known } = watched;
        let past: Vec<Past> = known
            .history
            .resolved
            .iter()
            .rev()
            .filter(|life| life.failure.images.contains(image))
            .take(CASES_SHOWN)
            .map(|life| Past {
                sentence: sentence(&life.failure),
                when: onset(&known.history, &life.failure, now),
                over: between(life.failure.last_seen, life.disproved_at, now),
            })
            .collect();
        let summary = images::find(registry, image)?;
        let tree = images::tree(registry, image);
        let mut lines = Lines { registry: &registry.name, image, branches: Vec::new(), total: 0 };
        if let Some(tree) = &tree {
            lines.add(&tree.root);
        }
        let failures: Vec<_> = known.failures().iter().filter(|failure| failure.images.contains(image)).collect();
        let entries = known.report.iter().flat_map(|report| &report.unverified);
        let unjudged = entries.filter(|entry| entry.images.contains(image));
        Some(Self {
            registry: shown(&registry.name),
            name: Name::new(&image.to_string()),
            digest: summary.digest.map(|digest| Name::new(&digest.to_string())),
            state: summary.state,
            looked: known.last_sweep.map(|at| Moment::new(at, now)),
            search: address("search", &[("q", &image.to_string()), ("registry", &registry.name)]),
            cases_omitted: failures.len().saturating_sub(CASES_SHOWN),
            cases: failures.into_iter().take(CASES_SHOWN).map(|it| Case::of(watched, image, it, now)).collect(),
            unjudged: unjudged.take(CASES_SHOWN).map(|entry| Unjudged::of(&registry.name, entry)).collect(),
            past,
            nodes_omitted: lines.total - lines.branches.len(),
            tree: lines.branches,
            is_complete: tree.as_ref().is_some_and(|tree| tree.complete),
            size: bytes(tree.as_ref().map_or(0, |tree| size(&tree.root))),
            commands: commands(&registry.url, image),
        })
    }

    /// The name of the style.
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
    branches: Vec<Branch>,
    total: usize,
}

impl Lines<'_> {
    /// A node and what lies below it; beyond what is shown, nodes are only counted.
    fn add(&mut self, node: &ImageNode) {
        self.total += 1;
        let own = self.branches.len();
        if own < NODES_SHOWN {
            let branch = self.branch(node);
            self.branches.push(branch);
        }
        for below in &node.needs {
            self.add(below);
        }
        if own < NODES_SHOWN && self.branches.len() > own + 1 {
            self.branches[own].has_children = true;
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
            platform: node.platform.as_deref().map(shown),
            attestation: node.attestation,
            digest: Name::new(&node.digest.to_string()),
            media_type: node.media_type.as_deref().map(shown),
            size: node.size.map(bytes),
            state: node.state.as_str(),
            reason: node.reason.map(|reason| reason.as_str()),
            detail: node.detail.as_deref().map(shown),
            hashed_at: node.hashed_at.clone(),
            shared_omitted: node.shared_count.saturating_sub(shared.len()),
            shared,
            has_children: false,
            closes: 0,
        }
    }
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

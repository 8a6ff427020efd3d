//! `GET /image?registry=&image=&part=`: one image, its whole tree, and what to do about it.

use std::time::SystemTime;

use super::headline::Standing;
use super::links::{ImageLink, Name, address};
use super::moment::{Moment, between, bytes};
use super::problems::{Case, Unjudged, onset, sentence};
use super::watched::Watched;
use crate::oci::Image;
use crate::render::printable;
use crate::render::remedy::quoted;
use crate::report::{ImageState, Kind};
use crate::state::images::{self, ImageNode};

/// Objects of a tree that the page shows at once; it has as many parts as that takes.
const NODES_SHOWN: usize = 600;
/// Failures of one image whose commands the page shows, past ones that it names, and what of it could not be judged.
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
    pub unjudged_omitted: usize,
    /// Where all of that is.
    pub unjudged_search: String,
    pub past: Vec<Past>,
    pub past_omitted: usize,
    pub past_search: String,
    /// Lines of a part of the tree, outermost first; empty if it is not known.
    pub tree: Vec<Branch>,
    pub part: Part,
    pub is_complete: bool,
    /// Bytes of all its objects, as far as manifests name them; each counts once.
    pub size: String,
    /// To read all of it by hand.
    pub commands: Vec<String>,
}

/// Which part of the tree the page shows.
pub struct Part {
    /// Counted from 1 on.
    pub first: usize,
    pub last: usize,
    pub total: usize,
    pub earlier: Option<String>,
    pub later: Option<String>,
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
    /// True if it stands in an earlier part, and here only because the first of this one lies below it.
    pub is_repeated: bool,
    /// True if other objects lie below it, in a list of their own.
    pub has_children: bool,
    /// Lists that end behind it.
    pub closes: usize,
}

impl ImageView {
    /// One image of a registry, with a part of its tree, counted from 1 on; `None` if nothing is known of it.
    pub fn of(watched: &Watched, image: &Image, part: usize, now: SystemTime) -> Option<Self> {
        let Watched { registry, known } = watched;
        let over: Vec<_> =
            known.history.resolved.iter().rev().filter(|life| life.failure.images.contains(image)).collect();
        let past: Vec<Past> = over
            .iter()
            .take(CASES_SHOWN)
            .map(|life| Past {
                sentence: sentence(&life.failure),
                when: onset(&known.history, &life.failure, now),
                over: between(life.failure.last_seen, life.disproved_at, now),
            })
            .collect();
        let summary = images::find(registry, image)?;
        let tree = images::tree(registry, image);
        let total = tree.as_ref().map_or(0, |tree| count(&tree.root));
        // One that was the last may be gone: the image has changed in the meantime.
        let part = part.clamp(1, total.div_ceil(NODES_SHOWN).max(1));
        let begin = (part - 1) * NODES_SHOWN;
        let end = total.min(begin + NODES_SHOWN);
        let mut lines = Lines { registry: &registry.name, image, begin, end, met: 0, branches: Vec::new() };
        if let Some(tree) = &tree {
            lines.add(&tree.root);
        }
        let at = |part: usize| {
            let (name, part) = (image.to_string(), part.to_string());
            address("image", &[("registry", &registry.name), ("image", &name), ("part", &part)]) + "#tree-title"
        };
        let failures: Vec<_> = known.failures().iter().filter(|failure| failure.images.contains(image)).collect();
        let entries = known.report.iter().flat_map(|report| &report.unverified);
        let unjudged: Vec<_> = entries.filter(|entry| entry.images.contains(image)).collect();
        let search =
            |show: &str| address("search", &[("show", show), ("q", &image.to_string()), ("registry", &registry.name)]);
        Some(Self {
            registry: printable(&registry.name),
            name: Name::new(&image.to_string()),
            digest: summary.digest.map(|digest| Name::new(&digest.to_string())),
            state: summary.state,
            looked: known.last_sweep.map(|at| Moment::new(at, now)),
            search: search(""),
            cases_omitted: failures.len().saturating_sub(CASES_SHOWN),
            cases: failures.into_iter().take(CASES_SHOWN).map(|it| Case::of(watched, image, it, now)).collect(),
            unjudged_omitted: unjudged.len().saturating_sub(CASES_SHOWN),
            unjudged: unjudged.into_iter().take(CASES_SHOWN).map(|it| Unjudged::of(&registry.name, it)).collect(),
            unjudged_search: search("unverified"),
            past_omitted: over.len().saturating_sub(CASES_SHOWN),
            past,
            past_search: search("mended"),
            part: Part {
                first: (begin + 1).min(end),
                last: end,
                total,
                earlier: (part > 1).then(|| at(part - 1)),
                later: (end < total).then(|| at(part + 1)),
            },
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
    /// The first object that is shown, and the one behind the last, in the order of the tree.
    begin: usize,
    end: usize,
    met: usize,
    branches: Vec<Branch>,
}

impl Lines<'_> {
    /// A node and what lies below it, as far as it belongs to the part or leads to its first object.
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

/// A node and all below it.
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

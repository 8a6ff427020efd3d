//! What a sweep has to say, read from the graph and from what was done to it: no answer and no manifest is looked at.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use registry_integrity_probe::report::{Cause, Reason};

use super::graph::{Edge, Flaw, Graph, Kind, NodeId};

/// Indexes in each other that are walked.
const DEEPEST: usize = 8;

/// What is to be found of an object or a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    Broken(Reason),
    Unknown(Cause),
    /// It answers 5xx in every answer: its own fault, or the registry's.
    Struggles,
    /// Its bytes are promised and do not come.
    Cut,
    /// Something else than its bytes comes, in every answer; what that is called if it is the registry's.
    Refused(Cause),
}

/// A tag that is listed; `None`: it points nowhere.
pub struct Tag {
    pub repository: String,
    pub name: String,
    pub target: Option<NodeId>,
}

/// What was done, by repository.
#[derive(Default)]
pub struct Done {
    pub nodes: BTreeMap<(String, NodeId), Truth>,
    pub tags: BTreeMap<(String, String), Truth>,
    /// What was removed.
    pub gone: BTreeSet<(String, NodeId)>,
}

/// By repository, and digest or tag.
pub type Key = (String, String);

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// With the images that need what was found.
    pub findings: BTreeMap<Key, (Truth, BTreeSet<String>)>,
    /// By kind: manifests, children, configs, layers.
    pub objects: [u64; 4],
    pub broken: u64,
    pub unverified: u64,
    pub intact: u64,
}

/// An object that some image needs.
struct Needed {
    kind: Kind,
    depth: usize,
    images: BTreeSet<String>,
}

/// How many objects of each kind are served, and how many are not, in which way.
#[derive(Default)]
struct Alike {
    served: [u64; 4],
    struggling: [u64; 4],
    cut: [u64; 4],
    refused: u64,
    /// Repositories of which a config or a layer was served.
    readable: BTreeSet<String>,
}

impl Alike {
    fn count(&mut self, repository: &str, kind: Kind, truth: Option<Truth>) {
        if truth.is_none() && matches!(kind, Kind::Config | Kind::Layer) {
            self.readable.insert(repository.to_string());
        }
        let kind = kind as usize;
        match truth {
            None => self.served[kind] += 1,
            Some(Truth::Struggles) => self.struggling[kind] += 1,
            Some(Truth::Cut) => self.cut[kind] += 1,
            Some(Truth::Refused(_)) => self.refused += 1,
            Some(Truth::Broken(_) | Truth::Unknown(_)) => {}
        }
    }

    /// What an object that is not served is found to be: its own fault, or the registry's.
    fn settled(&self, repository: &str, kind: Kind, truth: Truth) -> Truth {
        let served = self.served[kind as usize];
        let [manifests, children, configs, layers] = self.served;
        let beside = if matches!(kind, Kind::Config | Kind::Layer) { configs + layers } else { manifests + children };
        // One alone, or at most one in ten, while others are served.
        let is_rare = |like_it: u64, served: u64| like_it == 1 || like_it * 10 <= like_it + served;
        let (is_its_own, cause) = match truth {
            Truth::Struggles => (served > 0 && is_rare(self.struggling[kind as usize], served), Cause::ServerError),
            // A client that may not read a repository is refused all of it.
            Truth::Refused(Cause::Unauthorized) if !self.readable.contains(repository) => (false, Cause::Unauthorized),
            Truth::Refused(cause) => (served > 0 && is_rare(self.refused, beside), cause),
            Truth::Cut => (served > 0 || (self.cut[kind as usize] == 1 && beside > 0), Cause::Unreachable),
            Truth::Broken(_) | Truth::Unknown(_) => return truth,
        };
        if is_its_own { Truth::Broken(Reason::Unreadable) } else { Truth::Unknown(cause) }
    }
}

/// True if somebody who wants some platforms (none: all) needs what an edge leads to.
fn is_wanted(edge: &Edge, among: &[Edge], wanted: &[&str]) -> bool {
    let covers = |platform: &str| {
        // Each of the few names that are planned, in one form.
        let of = |name: &str| {
            match name {
                "linux/arm" => "linux/arm/v7",
                "linux/arm/6" => "linux/arm/v6",
                "linux/arm64/v8" | "Linux/aarch64" => "linux/arm64",
                name => name,
            }
            .to_string()
        };
        wanted.is_empty() || wanted.iter().any(|wanted| of(wanted) == of(platform))
    };
    match edge.attests {
        Some(attested) => among
            .iter()
            .any(|other| other.attests.is_none() && other.to == attested && other.platform.is_none_or(covers)),
        None => edge.platform.is_none_or(covers),
    }
}

pub fn expected(graph: &Graph, tags: &[Tag], done: &Done, wanted: &[&str]) -> Expected {
    let mut found = Expected::default();
    let mut needed: BTreeMap<(String, NodeId), Needed> = BTreeMap::new();
    for Tag { repository, name, target } in tags {
        let image = format!("{repository}:{name}");
        let told = done.tags.get(&(repository.clone(), name.clone())).copied();
        let root = target.filter(|root| !done.gone.contains(&(repository.clone(), *root)));
        // A tag of what is gone does not say what it pointed to.
        let truth = told.or(Some(Truth::Broken(Reason::Missing)).filter(|_| root.is_none()));
        if let Some(truth) = truth {
            found.findings.insert((repository.clone(), name.clone()), (truth, BTreeSet::from([image])));
            continue;
        }
        let mut open: Vec<(NodeId, Kind, usize)> = root.into_iter().map(|root| (root, Kind::Manifest, 0)).collect();
        let mut seen = HashSet::new();
        while let Some((id, kind, depth)) = open.pop() {
            let key = (repository.clone(), id);
            let entry = needed.entry(key.clone()).or_insert_with(|| Needed { kind, depth, images: BTreeSet::new() });
            entry.kind = entry.kind.min(kind);
            entry.images.insert(image.clone());
            if !seen.insert(id) || depth > DEEPEST || done.nodes.contains_key(&key) || graph.nodes[id].flaw.is_some() {
                continue;
            }
            let edges = &graph.nodes[id].edges;
            for edge in edges.iter().filter(|edge| is_wanted(edge, edges, wanted)) {
                open.push((edge.to, edge.kind, depth + usize::from(edge.kind == Kind::Child)));
            }
        }
    }
    let mut alike = Alike::default();
    for ((repository, id), Needed { kind, depth, images }) in &needed {
        let node = &graph.nodes[*id];
        let truth = match (node.flaw, done.nodes.get(&(repository.clone(), *id))) {
            (Some(Flaw::Foreign), _) => continue,
            _ if *depth > DEEPEST => Some(Truth::Unknown(Cause::Protocol)),
            (Some(Flaw::Malformed), _) => Some(Truth::Broken(Reason::Malformed)),
            (Some(Flaw::WrongLength), _) => Some(Truth::Broken(Reason::SizeMismatch)),
            (Some(Flaw::NotJudged), _) => Some(Truth::Unknown(Cause::Protocol)),
            (None, truth) => truth.copied(),
        };
        found.objects[*kind as usize] += 1;
        alike.count(repository, *kind, truth);
        if let Some(truth) = truth {
            found.findings.insert((repository.clone(), node.digest.clone()), (truth, images.clone()));
        }
    }
    for ((repository, id), Needed { kind, .. }) in &needed {
        let key = (repository.clone(), graph.nodes[*id].digest.clone());
        if let Some((truth, _)) = found.findings.get_mut(&key) {
            *truth = alike.settled(repository, *kind, *truth);
        }
    }
    for Tag { repository, name, .. } in tags {
        let image = format!("{repository}:{name}");
        let of_it = || found.findings.values().filter(|(_, images)| images.contains(&image));
        match () {
            () if of_it().any(|(truth, _)| matches!(truth, Truth::Broken(_))) => found.broken += 1,
            () if of_it().next().is_some() => found.unverified += 1,
            () => found.intact += 1,
        }
    }
    found
}

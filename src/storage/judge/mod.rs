//! Derives findings from a tree. The revision **link** decides, not the data: without it, a registry finds nothing.

mod objects;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::finding::{Class, Finding};
use super::layout;
use super::reach::{Reach, Reached, served_manifests};
use super::tree::{Id, Repository, Role, Target, Tree, Unverified, display};
use crate::oci;

/// A finding with its evidence.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    pub finding: Finding,
    pub evidence: Vec<Evidence>,
}

/// A fact that can be checked again.
#[derive(Clone, Debug)]
pub(super) enum Evidence {
    /// This path does not exist.
    Absent(PathBuf),
    /// This path exists.
    Present(PathBuf),
    /// This link is not a digest.
    NoDigest(PathBuf),
    /// This file has this size.
    Length(PathBuf, u64),
}
use Evidence::{Absent, NoDigest, Present};

/// All findings, and what cannot be verified.
pub(super) fn judge(tree: &Tree) -> (Vec<Judgement>, Vec<Unverified>) {
    let judged: Vec<(Vec<Judgement>, Vec<Unverified>)> =
        tree.repositories.par_iter().map(|repository| RepositoryJudge::new(tree, repository).judge()).collect();
    let mut all = (Vec::new(), Vec::new());
    for (judgements, unverified) in judged {
        all.0.extend(judgements);
        all.1.extend(unverified);
    }
    all
}

struct RepositoryJudge<'a> {
    tree: &'a Tree,
    repository: &'a Repository,
    name: &'a Path,
    /// By digest, or by path without a digest: one finding each, of the first class that applies.
    found: BTreeMap<(Option<Id>, PathBuf), Draft>,
    unverified: Vec<Unverified>,
}

struct Draft {
    class: Class,
    detail: String,
    evidence: Vec<Evidence>,
    /// The affected tag, if there is no digest.
    tag: Option<String>,
}

impl<'a> RepositoryJudge<'a> {
    fn new(tree: &'a Tree, repository: &'a Repository) -> Self {
        Self { tree, repository, name: &repository.name, found: BTreeMap::new(), unverified: Vec::new() }
    }

    fn judge(mut self) -> (Vec<Judgement>, Vec<Unverified>) {
        self.names();
        let repository = self.repository;
        for link in &repository.revisions.entries {
            self.revision(link);
        }
        for (holder, edges) in served_manifests(self.tree, repository) {
            for edge in edges {
                self.negative_size(holder, edge);
                match edge.role {
                    Role::Child => self.child(holder, edge),
                    Role::Config | Role::Layer => self.layer(holder, edge),
                }
            }
        }
        for link in &repository.layers.entries {
            self.layer_link(link);
        }
        self.tags();
        self.finish()
    }

    fn names(&mut self) {
        let name = display(self.name);
        if name.parse::<oci::Repository>().is_err() {
            let path = layout::repository(self.name);
            self.note(&path, "not a valid repository name: no registry serves it, and most collectors abort at it");
        }
    }

    fn note(&mut self, path: &Path, detail: &str) {
        self.unverified.push(Unverified { path: display(path), detail: detail.to_string() });
    }

    fn add(&mut self, digest: Id, class: Class, detail: String, evidence: Vec<Evidence>) {
        self.add_found((Some(digest), PathBuf::new()), Draft { class, detail, evidence, tag: None });
    }

    fn add_found(&mut self, key: (Option<Id>, PathBuf), found: Draft) {
        let known = self.found.entry(key);
        match known {
            std::collections::btree_map::Entry::Vacant(vacant) => drop(vacant.insert(found)),
            std::collections::btree_map::Entry::Occupied(mut known) if found.class < known.get().class => {
                known.insert(found);
            }
            std::collections::btree_map::Entry::Occupied(_) => {}
        }
    }

    fn text(&self, id: Id) -> String {
        self.tree.digests.get(id).to_string()
    }

    fn revision_path(&self, id: Id) -> PathBuf {
        layout::revision_link(self.name, self.tree.digests.get(id))
    }

    fn layer_path(&self, id: Id) -> PathBuf {
        layout::layer_link(self.name, self.tree.digests.get(id))
    }

    fn data_path(&self, id: Id) -> PathBuf {
        layout::data(self.tree.digests.get(id))
    }

    fn tags(&mut self) {
        for tag in self.repository.tags.iter().flat_map(|tags| &tags.entries) {
            let name = display(Path::new(&tag.name));
            let folder = layout::tags(self.name).join(&tag.name);
            let link = layout::tag_current(self.name, Path::new(&tag.name));
            if name.parse::<oci::Tag>().is_err() {
                self.note(&folder, "not a valid tag: no registry serves it");
            }
            let found = |class, detail: String, evidence| Draft { class, detail, evidence, tag: Some(name.clone()) };
            match &tag.current {
                Target::Absent => {
                    let detail = "it has no target: it is listed, but a pull returns 404; push it again, or remove its directory";
                    let found =
                        found(Class::DanglingTag, detail.to_string(), vec![Present(folder), Absent(link.clone())]);
                    self.add_found((None, link), found);
                }
                Target::Unparsable => {
                    let detail = "its link is empty or not a digest, which also aborts collectors with --delete-untagged; \
                                  push it again";
                    let found = found(Class::BadLink, detail.to_string(), vec![NoDigest(link.clone())]);
                    self.add_found((None, link), found);
                }
                Target::Digest(digest) if self.repository.revisions.target(*digest) == Target::Absent => {
                    let detail = self.orphan_detail(*digest);
                    let evidence = vec![Present(link), Absent(self.revision_path(*digest))];
                    let detail = format!("its target is not served: {detail}");
                    self.add(*digest, Class::DanglingTag, detail, evidence);
                }
                Target::Digest(_) | Target::Unreadable(_) => {}
            }
        }
    }

    fn finish(self) -> (Vec<Judgement>, Vec<Unverified>) {
        if self.found.is_empty() {
            return (Vec::new(), self.unverified);
        }
        let reach = Reach::new(self.tree, self.repository);
        let name = display(self.name);
        let judgement = |((digest, _), found): ((Option<Id>, PathBuf), Draft)| {
            let image = found.tag.as_ref().map(|tag| format!("{name}:{tag}"));
            let Reached { tags, path } = match digest {
                Some(digest) => reach.of(digest),
                None => Reached { tags: found.tag.into_iter().collect(), path: image.into_iter().collect() },
            };
            let platform = digest.and_then(|digest| reach.platform(digest)).map(|it| format!("{it}: "));
            let finding = Finding {
                class: found.class,
                repository: Some(name.clone()),
                digest: digest.map(|digest| self.tree.digests.get(digest).to_string()),
                tags,
                path,
                detail: format!("{}{}", platform.unwrap_or_default(), found.detail),
            };
            Judgement { finding, evidence: found.evidence }
        };
        let mut judgements: Vec<Judgement> = self.found.into_iter().map(judgement).collect();
        judgements.sort_by(|a, b| (a.finding.class, &a.finding.digest).cmp(&(b.finding.class, &b.finding.digest)));
        (judgements, self.unverified)
    }
}

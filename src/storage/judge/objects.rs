//! Judges a repository's manifests and layers: every link, and every reference of a manifest.

use std::path::PathBuf;

use super::Evidence::{Absent, Length, NoDigest, Present};
use super::{Draft, Evidence, RepositoryJudge};
use crate::storage::finding::Class;
use crate::storage::layout;
use crate::storage::tree::{Blob, Content, Edge, Id, Link, Role, Target};

impl RepositoryJudge<'_> {
    pub(super) fn revision(&mut self, link: &Link) {
        let Some(digest) = link.digest else { return self.stray_link(link) };
        match link.target {
            Target::Unparsable => {
                let path = self.revision_path(digest);
                let detail = format!(
                    "its revision link is empty or not a digest, which also aborts every collector; {}",
                    self.repair_of_a_link(digest)
                );
                self.add(digest, Class::BadLink, detail, vec![NoDigest(path)]);
            }
            Target::Digest(target) => self.revision_data(digest, target),
            Target::Absent | Target::Unreadable(_) => {}
        }
    }

    fn stray_link(&mut self, link: &Link) {
        if link.target == Target::Unparsable {
            let path = layout::repository(self.name);
            self.note(&path, "a link in an unexpected place that is not a digest: collectors abort at it");
        }
    }

    fn revision_data(&mut self, digest: Id, target: Id) {
        let (link, data) = (self.revision_path(digest), self.data_path(target));
        let size = match self.tree.blob(target) {
            Blob::Present(size) => size,
            Blob::Absent => {
                let detail =
                    "its revision link exists, but its data is missing: a push of the same manifest repairs it";
                return self.add(digest, Class::MissingData, detail.to_string(), vec![Present(link), Absent(data)]);
            }
            Blob::Unknown(_) => return,
        };
        let evidence = || vec![Present(link.clone()), Length(data.clone(), size)];
        if self.tree.is_misdirected(digest, target) {
            let detail = format!(
                "its revision link points at the data of {}: a push of the same manifest repairs it",
                self.text(target)
            );
            return self.add(digest, Class::DigestMismatch, detail, evidence());
        }
        let keeps =
            "a push does not repair it, because a registry keeps existing data: remove the file, then push again";
        let manifest = self.tree.manifests.get(&target);
        match manifest.map(|manifest| &manifest.content) {
            Some(Content::WrongDigest { actual, also }) => {
                let also =
                    also.as_ref().map(|why| format!(" and is not a manifest ({why}), which aborts every collector"));
                let detail = format!("its data hashes to {actual}{}; {keeps}", also.unwrap_or_default());
                self.add(digest, Class::DigestMismatch, detail, evidence());
            }
            Some(Content::Malformed(why)) => {
                let detail = format!("its data is not a manifest ({why}), which aborts every collector; {keeps}");
                self.add(digest, Class::Malformed, detail, evidence());
            }
            Some(Content::SchemaOne) => {
                self.note(&data, "a Docker schema 1 manifest, which this program does not check")
            }
            Some(Content::Manifest(_)) | None => {
                if let Some(why) = manifest.and_then(|manifest| manifest.unusable.as_ref()) {
                    let detail = format!("no client can pull all of it: {why}; rebuild the image and push it");
                    self.add(digest, Class::Malformed, detail, evidence());
                }
            }
        }
    }

    pub(super) fn negative_size(&mut self, holder: Id, edge: &Edge) {
        if edge.has_negative_size {
            let path = self.data_path(holder);
            let detail = format!("has a negative size for {}, which some clients reject", self.text(edge.digest));
            self.note(&path, &detail);
        }
    }

    pub(super) fn child(&mut self, holder: Id, edge: &Edge) {
        if self.is_unknown_algorithm(holder, edge) {
            return;
        }
        let child = edge.digest;
        match self.repository.revisions.target(child) {
            Target::Absent => {
                let detail = self.orphan_detail(child);
                let evidence = vec![Present(self.revision_path(holder)), Absent(self.revision_path(child))];
                self.add(child, Class::OrphanChild, detail, evidence);
            }
            Target::Digest(target) => self.size(child, target, edge, "its index says"),
            Target::Unparsable | Target::Unreadable(_) => {}
        }
    }

    /// The remains of a manifest without a revision link, and its repair.
    pub(super) fn orphan_detail(&self, child: Id) -> String {
        let bytes = match (self.tree.blob(child), self.tree.manifests.get(&child).map(|it| &it.content)) {
            (Blob::Present(_), Some(Content::Manifest(edges))) => match self.gone(edges) {
                0 => "its data still exists: a push of the same manifest repairs it, until a garbage collection \
                      deletes what it needs"
                    .to_string(),
                gone => format!(
                    "its data still exists, but {gone} of the {} objects that it needs are missing: only a push of \
                     the complete image from another copy repairs it",
                    edges.len()
                ),
            },
            (Blob::Present(_), Some(Content::SchemaOne)) => {
                "its data still exists: a push of the same manifest repairs it".to_string()
            }
            (Blob::Present(_), Some(Content::WrongDigest { .. })) => {
                "its data does not match its digest: remove the file, then push the same manifest again".to_string()
            }
            (Blob::Present(_), Some(Content::Malformed(why))) => {
                format!("its data still exists, but is not a manifest ({why}): rebuild the image and push it")
            }
            (Blob::Present(_), None) => "its data could not be checked".to_string(),
            (Blob::Absent, _) => "its data is missing too: only a push from another copy repairs it".to_string(),
            (Blob::Unknown(_), _) => "its data could not be checked".to_string(),
        };
        let served_by_two = match self.repository.layers.target(child) {
            Target::Digest(_) => " (registry 2 still serves it by a layer link, registry 3 does not)",
            _ => "",
        };
        format!("it has no revision link here{served_by_two}; {bytes}")
    }

    /// Number of references without data.
    fn gone(&self, edges: &[Edge]) -> usize {
        let is_gone = |edge: &&Edge| !edge.may_be_absent && self.tree.blob(edge.digest) == Blob::Absent;
        edges.iter().filter(is_gone).count()
    }

    pub(super) fn layer(&mut self, holder: Id, edge: &Edge) {
        if self.is_unknown_algorithm(holder, edge) {
            return;
        }
        let what = if edge.role == Role::Config { "config" } else { "layer" };
        let layer = edge.digest;
        match self.repository.layers.target(layer) {
            Target::Absent if edge.may_be_absent => {}
            Target::Absent => {
                let bytes = match self.tree.blob(layer) {
                    Blob::Present(_) => "its data still exists",
                    Blob::Absent => "its data is missing too",
                    Blob::Unknown(_) => "its data could not be checked",
                };
                let detail = format!("the {what} has no layer link here; {bytes}: a push of the same image repairs it");
                let evidence = vec![Present(self.revision_path(holder)), Absent(self.layer_path(layer))];
                self.add(layer, Class::MissingLayer, detail, evidence);
            }
            Target::Digest(target) => match self.tree.blob(target) {
                Blob::Absent if edge.may_be_absent => {}
                Blob::Absent => {
                    let detail = format!(
                        "the {what}'s link exists, but its data is missing: a push of the same image repairs it, unless \
                         the registry's cache still lists the data"
                    );
                    let evidence = vec![Present(self.revision_path(holder)), Absent(self.data_path(target))];
                    self.add(layer, Class::MissingLayer, detail, evidence);
                }
                Blob::Present(_) => self.size(layer, target, edge, "its manifest says"),
                Blob::Unknown(_) => {}
            },
            Target::Unparsable | Target::Unreadable(_) => {}
        }
    }

    fn is_unknown_algorithm(&mut self, holder: Id, edge: &Edge) -> bool {
        let is_unknown = self.tree.digests.get(edge.digest).algorithm().is_none();
        if is_unknown && !edge.may_be_absent {
            let path = self.data_path(holder);
            let detail =
                format!("references {}, whose digest algorithm this program does not support", self.text(edge.digest));
            self.note(&path, &detail);
        }
        is_unknown
    }

    fn size(&mut self, digest: Id, target: Id, edge: &Edge, says: &str) {
        let (Blob::Present(actual), Some(expected)) = (self.tree.blob(target), edge.size) else { return };
        if actual != expected {
            let data = self.data_path(target);
            let detail = format!(
                "the size is {actual} bytes, but {says} {expected}; a push does not repair it, because a registry keeps \
                 existing data: remove the file, then push again"
            );
            self.add(digest, Class::SizeMismatch, detail, vec![Length(data, actual)]);
        }
    }

    pub(super) fn layer_link(&mut self, link: &Link) {
        let Some(digest) = link.digest else { return self.stray_link(link) };
        let path = self.layer_path(digest);
        match link.target {
            Target::Unparsable => {
                let detail = "its layer link is empty or not a digest, which also aborts registry 3's collector; an upload \
                              of the same data repairs it";
                self.add(digest, Class::BadLink, detail.to_string(), vec![NoDigest(path)]);
            }
            Target::Digest(target) => match self.tree.blob(target) {
                Blob::Absent => {
                    let detail =
                        "its layer link exists, its data is missing, and no manifest that is served here needs it";
                    let evidence = vec![Present(path), Absent(self.data_path(target))];
                    self.add_unless_needed(digest, detail, evidence);
                }
                Blob::Present(size) if self.tree.is_misdirected(digest, target) => {
                    let detail = format!(
                        "its layer link points at the data of {}: an upload of the same data repairs it",
                        self.text(target)
                    );
                    let evidence = vec![Present(path), Length(self.data_path(target), size)];
                    self.add(digest, Class::DigestMismatch, detail, evidence);
                }
                Blob::Present(_) | Blob::Unknown(_) => {}
            },
            Target::Absent | Target::Unreadable(_) => {}
        }
    }

    /// A layer that an image needs is already reported as missing, which is more specific.
    fn add_unless_needed(&mut self, digest: Id, detail: &str, evidence: Vec<Evidence>) {
        let key = (Some(digest), PathBuf::new());
        if !self.found.contains_key(&key) {
            let found = Draft { class: Class::OrphanLayerLink, detail: detail.to_string(), evidence, tag: None };
            self.add_found(key, found);
        }
    }

    fn repair_of_a_link(&self, digest: Id) -> String {
        match self.tree.blob(digest) {
            Blob::Present(_) => "its data still exists: a push of the same manifest repairs it".to_string(),
            _ => "its data is missing too: only a push from another copy repairs it".to_string(),
        }
    }
}

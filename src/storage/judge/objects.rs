//! What is wrong with a repository's manifests and layers: each link, and each thing that a manifest names.

use std::path::PathBuf;

use super::Evidence::{Absent, Length, NoDigest, Present};
use super::{Evidence, Found, RepositoryJudge};
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
                    "its revision link is empty or no digest, which also stops every collector; {}",
                    self.mending_a_link(digest)
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
            self.note(&path, "a link that is no digest, where no registry puts one: collectors stop at it");
        }
    }

    fn revision_data(&mut self, digest: Id, target: Id) {
        let (link, data) = (self.revision_path(digest), self.data_path(target));
        let size = match self.tree.blob(target) {
            Blob::Present(size) => size,
            Blob::Absent => {
                let detail = "its revision link is there and its bytes are gone: a push of the same manifest mends it";
                return self.add(digest, Class::MissingData, detail.to_string(), vec![Present(link), Absent(data)]);
            }
            Blob::Unknown(_) => return,
        };
        let evidence = || vec![Present(link.clone()), Length(data.clone(), size)];
        if self.tree.is_misdirected(digest, target) {
            let detail = format!(
                "its revision link points at the bytes of {}: a push of the same manifest mends it",
                self.text(target)
            );
            return self.add(digest, Class::DigestMismatch, detail, evidence());
        }
        let keeps =
            "a push does not mend it, since a registry keeps the bytes that it has: remove the file, then push again";
        let manifest = self.tree.manifests.get(&target);
        match manifest.map(|manifest| &manifest.content) {
            Some(Content::WrongDigest { actual, also }) => {
                let also =
                    also.as_ref().map(|why| format!(" and are no manifest ({why}), which stops every collector"));
                let detail = format!("its bytes hash to {actual}{}; {keeps}", also.unwrap_or_default());
                self.add(digest, Class::DigestMismatch, detail, evidence());
            }
            Some(Content::Malformed(why)) => {
                let detail = format!("its bytes are no manifest ({why}), which stops every collector; {keeps}");
                self.add(digest, Class::Malformed, detail, evidence());
            }
            Some(Content::SchemaOne) => {
                self.note(&data, "a Docker schema 1 manifest, which this program does not check")
            }
            Some(Content::Manifest(_)) | None => {
                if let Some(why) = manifest.and_then(|manifest| manifest.unusable.as_ref()) {
                    let detail =
                        format!("no client can pull all that it names: {why}; build the image again and push it");
                    self.add(digest, Class::Malformed, detail, evidence());
                }
            }
        }
    }

    pub(super) fn negative_size(&mut self, holder: Id, edge: &Edge) {
        if edge.has_negative_size {
            let path = self.data_path(holder);
            let detail = format!("states a negative size for {}, which some clients refuse", self.text(edge.digest));
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

    /// What is left of a manifest without revision link, and so what mends it.
    pub(super) fn orphan_detail(&self, child: Id) -> String {
        let bytes = match (self.tree.blob(child), self.tree.manifests.get(&child).map(|it| &it.content)) {
            (Blob::Present(_), Some(Content::Manifest(edges))) => match self.gone(edges) {
                0 => "its bytes are still there: a push of the same manifest mends it, until a garbage collection \
                      deletes what it needs"
                    .to_string(),
                gone => format!(
                    "its bytes are still there, but those of {gone} of the {} that it needs are gone: only a push of \
                     the whole image from a copy elsewhere mends it",
                    edges.len()
                ),
            },
            (Blob::Present(_), Some(Content::SchemaOne)) => {
                "its bytes are still there: a push of the same manifest mends it".to_string()
            }
            (Blob::Present(_), Some(Content::WrongDigest { .. })) => {
                "the bytes under its digest are not its own: remove the file, then push the same manifest again"
                    .to_string()
            }
            (Blob::Present(_), Some(Content::Malformed(why))) => {
                format!("its bytes are still there and are no manifest ({why}): build the image again and push it")
            }
            (Blob::Present(_), None) => "whether its bytes are its own cannot be told".to_string(),
            (Blob::Absent, _) => "its bytes are gone too: only a push from a copy elsewhere mends it".to_string(),
            (Blob::Unknown(_), _) => "whether its bytes are there cannot be told".to_string(),
        };
        let served_by_two = match self.repository.layers.target(child) {
            Target::Digest(_) => " (registry 2 still serves it by a layer link, registry 3 does not)",
            _ => "",
        };
        format!("it has no revision link here{served_by_two}; {bytes}")
    }

    /// How many of these have no bytes any more.
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
                    Blob::Present(_) => "its bytes are still there",
                    Blob::Absent => "its bytes are gone too",
                    Blob::Unknown(_) => "whether its bytes are there cannot be told",
                };
                let detail = format!("the {what} has no layer link here; {bytes}: a push of the same image mends it");
                let evidence = vec![Present(self.revision_path(holder)), Absent(self.layer_path(layer))];
                self.add(layer, Class::MissingLayer, detail, evidence);
            }
            Target::Digest(target) => match self.tree.blob(target) {
                Blob::Absent if edge.may_be_absent => {}
                Blob::Absent => {
                    let detail = format!(
                        "the {what}'s link is there and its bytes are gone: a push of the same image mends it, unless \
                         the registry's cache says that they are there"
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
                format!("names {}, of a digest algorithm that this program does not know", self.text(edge.digest));
            self.note(&path, &detail);
        }
        is_unknown
    }

    fn size(&mut self, digest: Id, target: Id, edge: &Edge, says: &str) {
        let (Blob::Present(actual), Some(expected)) = (self.tree.blob(target), edge.size) else { return };
        if actual != expected {
            let data = self.data_path(target);
            let detail = format!(
                "{actual} bytes are there, and {says} {expected}; a push does not mend it, since a registry keeps the \
                 bytes that it has: remove the file, then push again"
            );
            self.add(digest, Class::SizeMismatch, detail, vec![Length(data, actual)]);
        }
    }

    pub(super) fn layer_link(&mut self, link: &Link) {
        let Some(digest) = link.digest else { return self.stray_link(link) };
        let path = self.layer_path(digest);
        match link.target {
            Target::Unparsable => {
                let detail = "its layer link is empty or no digest, which also stops registry 3's collector; an upload \
                              of the same bytes mends it";
                self.add(digest, Class::BadLink, detail.to_string(), vec![NoDigest(path)]);
            }
            Target::Digest(target) => match self.tree.blob(target) {
                Blob::Absent => {
                    let detail =
                        "its layer link is there, its bytes are gone, and no manifest that is served here needs it";
                    let evidence = vec![Present(path), Absent(self.data_path(target))];
                    self.add_unless_needed(digest, detail, evidence);
                }
                Blob::Present(size) if self.tree.is_misdirected(digest, target) => {
                    let detail = format!(
                        "its layer link points at the bytes of {}: an upload of the same bytes mends it",
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

    /// A layer that an image needs is told as missing, which says more.
    fn add_unless_needed(&mut self, digest: Id, detail: &str, evidence: Vec<Evidence>) {
        let key = (Some(digest), PathBuf::new());
        if !self.found.contains_key(&key) {
            let found = Found { class: Class::OrphanLayerLink, detail: detail.to_string(), evidence, tag: None };
            self.add_found(key, found);
        }
    }

    fn mending_a_link(&self, digest: Id) -> String {
        match self.tree.blob(digest) {
            Blob::Present(_) => "its bytes are still there: a push of the same manifest mends it".to_string(),
            _ => "its bytes are gone too: only a push from a copy elsewhere mends it".to_string(),
        }
    }
}

//! The tree of one image: every object with its result, from the trace and the report of the same sweep.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::ImageName;
use super::trace::{ObjectRef, Seen, SeenState, Trace};
use crate::check::evidence::Evidence;
use crate::oci::{Descriptor, Digest, Manifest, Platform, Reference, Repository};
use crate::report::{Cause, Reason, Report};

/// Deeper than a walk goes.
const DEPTH_LIMIT: usize = 16;

/// An image as a tree, flattened from the top down.
#[derive(Debug, Default)]
pub struct Tree {
    /// The objects. A shared object is listed under each manifest that names it.
    pub rows: Vec<Row>,
    /// Warnings, in words; none of them breaks the image.
    pub warnings: Vec<String>,
    /// Required platforms that the index does not name.
    pub absent_platforms: Vec<Platform>,
    /// Platforms that the index names.
    pub platforms: Vec<Platform>,
}

/// An object in a tree.
#[derive(Debug)]
pub struct Row {
    /// For each level down to this one, whether it is the last of its siblings. Empty for the image's own manifest.
    pub last: Vec<bool>,
    /// A platform, `config`, `layer` and so on. A manifest can put any text here.
    pub label: String,
    /// True if it is requested from the manifests endpoint.
    pub is_manifest: bool,
    /// Its digest, once it is known.
    pub digest: Option<Digest>,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Duration of its request; `None` without one, or if it is listed above already.
    pub took: Option<Duration>,
    /// Its state.
    pub mark: Mark,
    /// Evidence for a blob. Manifests are always hashed.
    pub evidence: Option<Evidence>,
}

/// State of an object in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Not requested yet.
    Waiting,
    /// Suspect, and being confirmed.
    Confirming,
    /// Intact.
    Intact,
    /// Absent, which its descriptor allows.
    Absent,
    /// Of a platform that is not required.
    Unwanted,
    /// Broken.
    Failed(Reason),
    /// Unverified.
    Unverified(Cause),
}

impl Tree {
    /// The tree of an image so far. With the report of the sweep, it is final.
    pub fn of(name: &ImageName, trace: &Trace, platforms: &[Platform], report: Option<&Report>) -> Self {
        let Some(reference) = name.reference() else { return Self::default() };
        let mut builder = Builder {
            repository: &name.repository,
            trace,
            findings: report.map(|report| findings(report, &name.repository)),
            shown: HashSet::new(),
            undeclared: false,
            tree: Self::default(),
        };
        match trace.resolve(&name.repository, &reference) {
            Some(digest) => builder.root(&digest, platforms),
            None => builder.unresolved(&reference),
        }
        builder.tree
    }
}

/// The findings of a report for a repository, by digest or tag.
fn findings(report: &Report, repository: &Repository) -> HashMap<String, Mark> {
    let mut findings = HashMap::new();
    for entry in report.unverified.iter().filter(|entry| entry.repository.as_deref() == Some(repository)) {
        findings.insert(entry.reference.clone(), Mark::Unverified(entry.cause));
    }
    for failure in report.failures.iter().filter(|failure| failure.repository == *repository) {
        let tag = || failure.images.first().map(|image| image.reference.to_string());
        if let Some(reference) = failure.digest.as_ref().map(ToString::to_string).or_else(tag) {
            findings.insert(reference, Mark::Failed(failure.reason));
        }
    }
    findings
}

struct Builder<'a> {
    repository: &'a Repository,
    trace: &'a Trace,
    /// `None` while the sweep goes on.
    findings: Option<HashMap<String, Mark>>,
    shown: HashSet<ObjectRef>,
    /// True if a child has no platform, so that it may be for any.
    undeclared: bool,
    tree: Tree,
}

impl Builder<'_> {
    fn unresolved(&mut self, reference: &Reference) {
        let object = ObjectRef::Manifest(reference.clone());
        let seen = self.trace.of(self.repository, &object);
        let reference = reference.to_string();
        self.row(&[], (&format!("tag {reference}"), true), &reference, None, seen.as_ref());
    }

    fn root(&mut self, digest: &Digest, wanted: &[Platform]) {
        let manifest = self.manifest_of(digest);
        let is_index = manifest.as_ref().is_some_and(Manifest::is_index);
        self.manifest(&[], if is_index { "index" } else { "manifest" }, digest, None);
        let is_named = |wanted: &&Platform| self.tree.platforms.iter().any(|platform| wanted.matches(platform));
        let (_, absent): (Vec<&Platform>, Vec<&Platform>) = wanted.iter().partition(is_named);
        if self.findings.is_none() || absent.is_empty() {
            return;
        }
        let names = absent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (is_index, self.tree.platforms.first()) {
            (true, _) if self.undeclared => {
                let warning =
                    format!("whether there is one for {names} is not known: a child does not say what it is for");
                self.tree.warnings.push(warning);
            }
            (true, _) => self.tree.absent_platforms = absent.into_iter().cloned().collect(),
            (false, Some(platform)) => {
                self.tree.warnings.push(format!("it is one manifest, for {platform}, and not for {names}"));
            }
            (false, None) => {}
        }
    }

    fn manifest_of(&self, digest: &Digest) -> Option<Manifest> {
        let seen = self.trace.of(self.repository, &ObjectRef::Manifest(Reference::Digest(digest.clone())))?;
        seen.manifest.map(|manifest| *manifest)
    }

    /// A manifest, and what it names, unless that stands further up already.
    fn manifest(&mut self, last: &[bool], label: &str, digest: &Digest, descriptor: Option<&Descriptor>) {
        let object = ObjectRef::Manifest(Reference::Digest(digest.clone()));
        let is_new = self.object(last, (label, true), digest, object, descriptor.and_then(|child| child.size));
        let manifest = self.manifest_of(digest).filter(|_| is_new && last.len() < DEPTH_LIMIT);
        let Some(Manifest { manifests, config, layers, .. }) = manifest else {
            self.undeclared |= is_new && descriptor.is_some_and(|child| child.platform.is_none() && !child.attestation);
            return;
        };
        if let Some(config) = &config {
            self.compare_platforms(descriptor, config);
        }
        let count = manifests.len() + usize::from(config.is_some()) + layers.len();
        let mut below = (1..=count).map(|n| [last, &[n == count]].concat());
        for child in &manifests {
            let Some(last) = below.next() else { break };
            if let Some(platform) = child.platform.as_ref().filter(|_| !child.attestation) {
                self.tree.platforms.push(platform.clone());
            }
            self.manifest(&last, &child_label(child, &manifests), &child.digest, Some(child));
        }
        let blobs = config.iter().map(|config| ("config", config)).chain(layers.iter().map(|layer| ("layer", layer)));
        for ((label, blob), last) in blobs.zip(below) {
            self.object(&last, (label, false), &blob.digest, ObjectRef::Blob(blob.digest.clone()), blob.size);
        }
    }

    /// Compares the platform in the index with the one in the config.
    fn compare_platforms(&mut self, descriptor: Option<&Descriptor>, config: &Descriptor) {
        let read = self.trace.of(self.repository, &ObjectRef::Blob(config.digest.clone()));
        let Some(actual) = read.and_then(|config| config.platform) else {
            let is_image = config.media_type.as_deref().is_none_or(|text| text.contains("image"));
            self.undeclared |= is_image && descriptor.is_some_and(|child| child.platform.is_none());
            return;
        };
        match descriptor.and_then(|child| child.platform.as_ref().map(|platform| (child, platform))) {
            None => self.tree.platforms.push(*actual),
            Some((child, _)) if child.attestation => {}
            Some((child, declared)) => {
                if !declared.agrees_with(&actual) {
                    let digest = &child.digest;
                    self.tree
                        .warnings
                        .push(format!("the index says {declared} of {digest}, whose config says {actual}"));
                }
            }
        }
    }

    /// An object that a descriptor names. True if it does not stand further up.
    fn object(
        &mut self,
        last: &[bool],
        (label, is_manifest): (&str, bool),
        digest: &Digest,
        object: ObjectRef,
        size: Option<u64>,
    ) -> bool {
        let seen = self.trace.of(self.repository, &object);
        let size = size.or_else(|| seen.as_ref()?.length);
        self.row(last, (label, is_manifest), &digest.to_string(), size, seen.as_ref());
        let is_new = self.shown.insert(object);
        if let Some(row) = self.tree.rows.last_mut() {
            row.digest = Some(digest.clone());
            row.took = row.took.filter(|_| is_new);
        }
        is_new
    }

    fn row(
        &mut self,
        last: &[bool],
        (label, is_manifest): (&str, bool),
        reference: &str,
        size: Option<u64>,
        seen: Option<&Seen>,
    ) {
        let state = seen.map(|seen| seen.state);
        let mark = match &self.findings {
            Some(findings) => findings.get(reference).copied().unwrap_or(match state {
                None => Mark::Unwanted,
                Some(SeenState::Intact) => Mark::Intact,
                Some(SeenState::Suspect | SeenState::Unverified) => Mark::Absent,
            }),
            None => match state {
                None => Mark::Waiting,
                Some(SeenState::Intact) => Mark::Intact,
                Some(SeenState::Suspect | SeenState::Unverified) => Mark::Confirming,
            },
        };
        self.tree.rows.push(Row {
            last: last.to_vec(),
            label: label.to_string(),
            is_manifest,
            digest: None,
            size,
            took: seen.map(|seen| seen.took),
            mark,
            evidence: seen.and_then(|seen| seen.evidence),
        });
    }
}

/// A child by its platform; an attestation by that of the child that it is about.
fn child_label(child: &Descriptor, siblings: &[Descriptor]) -> String {
    let subject = siblings.iter().find(|sibling| Some(&sibling.digest) == child.attestation_subject.as_ref());
    let platform = subject.unwrap_or(child).platform.as_ref().map(ToString::to_string);
    match (child.attestation, subject, platform) {
        (true, Some(_), Some(platform)) => format!("attestation {platform}"),
        (true, _, _) => "attestation".to_string(),
        (false, _, Some(platform)) => platform,
        (false, _, None) => "manifest".to_string(),
    }
}

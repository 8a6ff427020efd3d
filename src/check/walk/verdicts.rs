//! Verdicts, applied to the graph of a walk.

use std::time::{Duration, SystemTime};

use super::blob_hasher::BrokenBlob;
use super::graph::{Finding, Grounds, NodeId, NodeState};
use super::subject::Subject;
use super::walker::Walk;
use crate::check::evidence::Evidence;
use crate::check::judge::{IntactObject, Verdict};
use crate::config::Limits;
use crate::oci::Manifest;
use crate::registry::Registry;
use crate::report::{Cause, Reason};

impl<R: Registry + 'static> Walk<R> {
    /// Records a verdict, and queues the objects that an intact one leads to.
    pub fn apply(&mut self, subject: Subject, verdict: Verdict, grounds: Grounds) {
        let finding = match verdict {
            Verdict::Intact(intact) => match subject {
                Subject::Root(root) => return intact.digest.into_iter().for_each(|digest| self.resolved(root, digest)),
                Subject::Node(id) => return self.intact(id, intact),
            },
            Verdict::Suspect { suspicion, detail } => {
                if let Subject::Node(id) = subject {
                    self.scope.manifests.doubted(&self.repository, &self.graph.nodes[id].digest);
                }
                Finding::Suspect { suspicion, detail, grounds }
            }
            Verdict::Unverified { cause, detail } => Finding::Unverified { cause, detail },
        };
        match subject {
            Subject::Root(root) => self.graph.roots[root].finding = Some(finding),
            Subject::Node(id) => self.graph.nodes[id].state = NodeState::Found(finding),
        }
    }

    /// Records an intact object, and queues the objects that it names.
    fn intact(&mut self, id: NodeId, intact: IntactObject) {
        let named = intact.manifest.as_deref().map_or(0, Manifest::descriptors);
        let Limits { descriptors, objects, depth, .. } = self.scope.limits;
        let excess = if named > descriptors {
            Some(format!("the manifest names more than {descriptors} objects"))
        } else if self.graph.nodes.len() + named > objects {
            Some(format!("the repository has more than {objects} objects"))
        } else {
            None
        };
        if let Some(detail) = excess {
            self.graph.nodes[id].state = NodeState::Found(Finding::Unverified { cause: Cause::Protocol, detail });
            return;
        }
        self.graph.nodes[id].state = NodeState::Intact(intact.length);
        let Some(manifest) = intact.manifest else { return };
        if !intact.is_cached {
            let (digest, size) = (&self.graph.nodes[id].digest, intact.length.unwrap_or_default());
            self.scope.manifests.hashed(&self.repository, digest, &manifest, size, SystemTime::now());
        }
        let found = self.graph.expand(id, &manifest, &self.scope.platforms, depth);
        self.queue.extend(found.into_iter().map(Subject::Node));
        let node = &mut self.graph.nodes[id];
        node.media_type = node.media_type.take().or_else(|| manifest.media_type.map(Into::into));
    }

    /// Compares the evidence of a response with what is known against the blob. Returns the finding of the background
    /// hasher, if there is one. If a known failure needs more evidence to be resolved, the blob is queued again.
    pub fn weigh(&mut self, id: NodeId, evidence: Evidence) -> Option<BrokenBlob> {
        let node = &self.graph.nodes[id];
        if node.is_manifest() || evidence == Evidence::Content {
            return None;
        }
        let blob_hasher = self.scope.blob_hasher.clone();
        if let Some(broken) = blob_hasher.as_ref().and_then(|hasher| hasher.finding(&self.repository, &node.digest)) {
            return Some(broken);
        }
        let &(reason, since) = self.known.get(&node.digest)?;
        let needed = match reason {
            Reason::DigestMismatch => Evidence::Content,
            Reason::Unreadable => Evidence::LastByte,
            Reason::Missing | Reason::SizeMismatch | Reason::Malformed => Evidence::Head,
        };
        if evidence >= needed {
            return None;
        }
        match blob_hasher {
            Some(blob_hasher) if needed == Evidence::Content => {
                // Stored times have whole seconds.
                let hashed_at = self.scope.evidence_schedule.hashed_at(&self.repository, &node.digest);
                if hashed_at.is_none_or(|at| at + Duration::from_secs(1) < since) {
                    blob_hasher.enqueue(self.due_blob(id), 0);
                    self.unproved.insert(self.graph.nodes[id].digest.clone());
                }
            }
            // Only once: the registry may never give more evidence than this.
            _ if self.required.insert(id, needed).is_none() => self.queue.push_back(Subject::Node(id)),
            _ => {}
        }
        None
    }

    /// Records the evidence for an intact blob.
    pub fn proved(&self, id: NodeId, evidence: Evidence) {
        let node = &self.graph.nodes[id];
        if node.is_manifest() {
            return;
        }
        self.scope.evidence_schedule.record(&self.repository, &node.digest, evidence, SystemTime::now());
        if let Some(blob_hasher) = self.scope.blob_hasher.as_ref().filter(|_| evidence >= Evidence::LastByte) {
            blob_hasher.mark_delivered(&self.repository, &node.digest);
        }
    }
}

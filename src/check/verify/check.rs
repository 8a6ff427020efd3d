//! Checks the images of one registry together, so that shared objects are requested once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use futures_util::future::join_all;
use url::Url;

use super::{ImageName, Trace, Tree};
use crate::check::evidence::EvidenceSchedule;
use crate::check::judge::{self, IntactObject};
use crate::check::manifest_cache::ManifestCache;
use crate::check::sweep::{Job, sweep_watched};
use crate::check::walk::Inquiry;
use crate::config::{self, ByteEvidence, Confirm, Credentials, ImageSelector, Target};
use crate::oci::{Digest, Image, Platform, Reference};
use crate::registry::{ClientError, HttpRegistry, Traffic, speaks_plain_http};
use crate::report::Verdict;
use crate::report::{Failure, Kind, KnownCatalog, Reason, Report};

/// Confirmation of a failure. Short, because a user waits.
const CONFIRM: Confirm = Confirm { attempts: 3, delay: Duration::from_millis(500) };

/// Requests in flight: more only wait for each other at a registry of two cores, and a distant one answers a large image
/// in a few rounds of these.
const CONCURRENCY: usize = 16;

/// A server that ignores ranges sends all of a layer: the gate reads as much of it, in bytes, where a sweep could not.
const UNRANGED_BYTES: u64 = 64 << 20;

/// How blobs are proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Evidence {
    /// Only ask the registry for their size
    Head,
    /// Read the last byte
    Byte,
    /// Download every byte and compare its hash
    Content,
}

impl Evidence {
    fn in_every_sweep(self) -> config::Evidence {
        let byte = if self == Self::Byte { ByteEvidence::Within(Duration::ZERO) } else { ByteEvidence::Off };
        let content = (self == Self::Content).then_some(Duration::ZERO);
        config::Evidence { byte, content, content_budget: None }
    }
}

/// Options for all images.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// How blobs are proved.
    pub evidence: Evidence,
    /// Platforms that must exist; empty: all that an index names.
    pub platforms: Vec<Platform>,
    /// True to use plain HTTP.
    pub plain_http: bool,
    /// Credentials for all registries.
    pub credentials: Credentials,
}

/// Images of one registry, and the client for it.
pub struct Check {
    names: Vec<ImageName>,
    target: Target,
    evidence: Evidence,
    client: Arc<HttpRegistry>,
    traffic: Arc<Traffic>,
}

/// The result of checking a registry's images once.
#[derive(Debug)]
pub struct Verification {
    /// The report of the sweep, including absent platforms.
    pub report: Report,
    /// Each image with its tree.
    pub trees: Vec<(ImageName, Tree)>,
    /// How blobs were proved.
    pub evidence: Evidence,
}

impl Verification {
    /// The verdict on one image.
    pub fn verdict(&self, name: &ImageName) -> Verdict {
        let image = image(name);
        let needs = |images: &[Image]| image.as_ref().is_some_and(|image| images.contains(image));
        // A finding without images, such as a defect of the probe, may concern any image.
        let may_need = |images: &[Image]| images.is_empty() || needs(images);
        if self.report.failures.iter().any(|failure| needs(&failure.images)) {
            Verdict::Broken
        } else if self.report.unverified.iter().any(|entry| may_need(&entry.images)) {
            Verdict::Unverified
        } else if self.report.empty {
            Verdict::Empty
        } else {
            Verdict::Intact
        }
    }
}

impl Check {
    /// One check for each registry that the images name, in the order in which it is named first.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if a client cannot be set up.
    pub async fn of(names: Vec<ImageName>, settings: &VerifyOptions) -> Result<Vec<Self>, ClientError> {
        let mut groups: Vec<Vec<ImageName>> = Vec::new();
        for name in names {
            match groups.iter_mut().find(|group| group[0].host == name.host) {
                Some(group) if group.contains(&name) => {}
                Some(group) => group.push(name),
                None => groups.push(vec![name]),
            }
        }
        join_all(groups.into_iter().map(|group| Self::of_one(group, settings))).await.into_iter().collect()
    }

    async fn of_one(names: Vec<ImageName>, settings: &VerifyOptions) -> Result<Self, ClientError> {
        let first = &names[0];
        let host = first.registry_host();
        let plain = settings.plain_http || (first.is_local() && speaks_plain_http(host).await);
        let url = format!("{}://{host}", if plain { "http" } else { "https" });
        let url = Url::parse(&url).map_err(|error| ClientError::Http {
            registry: first.host.clone(),
            reason: format!("{url} is no URL: {error}"),
        })?;
        let mut target = Target::with_defaults(url);
        target.name.clone_from(&first.host);
        target.concurrency = CONCURRENCY;
        target.confirm = CONFIRM;
        target.evidence = settings.evidence.in_every_sweep();
        target.limits.unranged_bytes = UNRANGED_BYTES;
        target.platforms.clone_from(&settings.platforms);
        target.credentials = settings.credentials.clone();
        target.images = names.iter().filter_map(image).map(ImageSelector::Image).collect();
        let traffic = Arc::new(Traffic::default());
        let client = Arc::new(HttpRegistry::new(&target, Arc::clone(&traffic))?);
        client.skip_slow_start();
        Ok(Self { names, target, evidence: settings.evidence, client, traffic })
    }

    /// The images.
    pub fn names(&self) -> &[ImageName] {
        &self.names
    }

    /// Platforms that must exist; empty: all.
    pub fn platforms(&self) -> &[Platform] {
        &self.target.platforms
    }

    /// The requests so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Checks the images now, and records the progress in `trace`.
    pub async fn look(&self, trace: Arc<Trace>) -> Verification {
        let evidence_schedule = Arc::new(EvidenceSchedule::one_shot(&self.target.evidence));
        let traffic = Arc::clone(&self.traffic);
        let manifests = Arc::new(ManifestCache::none());
        let catalog = KnownCatalog::default();
        let job = Job {
            target: &self.target,
            evidence_schedule,
            manifests,
            blob_hasher: None,
            traffic,
            known: &[],
            catalog: &catalog,
            contradictions: Arc::default(),
            progress: Arc::default(),
        };
        let observer: Arc<Trace> = Arc::clone(&trace);
        let sweep = sweep_watched(Arc::clone(&self.client), job, Some(observer));
        let tags = join_all(self.names.iter().map(|name| self.moved_tag(name)));
        let ((mut report, _), moved) = tokio::join!(sweep, tags);
        let mut trees = Vec::new();
        for (name, warning) in self.names.iter().zip(moved) {
            let mut tree = Tree::of(name, &trace, &self.target.platforms, Some(&report));
            tree.warnings.extend(warning);
            trees.push((name.clone(), tree));
        }
        for (name, tree) in &trees {
            if let Some(image) = image(name).filter(|_| !tree.absent_platforms.is_empty()) {
                add_absent_platforms(&mut report, &image, tree);
            }
        }
        Verification { report, trees, evidence: self.evidence }
    }

    /// A warning if the image is named by tag and digest, and the tag has moved: only the digest was checked.
    async fn moved_tag(&self, name: &ImageName) -> Option<String> {
        let (tag, digest) = name.tag.as_ref().zip(name.digest.as_ref())?;
        let tag_now = Inquiry::Resolution(Reference::Tag(tag.clone())).head(&*self.client, &name.repository).await;
        let said = match tag_now {
            judge::Verdict::Intact(IntactObject { digest: Some(now), .. }) if now == *digest => return None,
            judge::Verdict::Intact(IntactObject { digest: Some(now), .. }) => format!("is {now} now"),
            judge::Verdict::Intact(_) => return None,
            judge::Verdict::Suspect { detail, .. } | judge::Verdict::Unverified { detail, .. } => {
                format!("could not be read: {detail}")
            }
        };
        Some(format!("the digest was verified; the tag {tag} {said}"))
    }
}

fn image(name: &ImageName) -> Option<Image> {
    Some(Image { repository: name.repository.clone(), reference: name.reference()? })
}

/// An index that does not name a platform cannot be pulled for it: a failure, although no object is at fault.
fn add_absent_platforms(report: &mut Report, image: &Image, tree: &Tree) {
    let was_broken = report.failures.iter().any(|failure| failure.images.contains(image));
    let was_unverified = report.unverified.iter().any(|entry| entry.images.contains(image));
    let index: Option<&Digest> = tree.rows.first().and_then(|row| row.digest.as_ref());
    let has: Vec<String> = tree.platforms.iter().map(ToString::to_string).collect();
    let has = if has.is_empty() { "names no platform".to_string() } else { format!("has {}", has.join(", ")) };
    let now = SystemTime::now();
    report.failures.extend(tree.absent_platforms.iter().map(|platform| Failure {
        repository: image.repository.clone(),
        digest: None,
        kind: Kind::Child,
        reason: Reason::Missing,
        media_type: None,
        platform: Some(platform.to_string()),
        attestation: false,
        images: vec![image.clone()],
        path: [image.to_string()].into_iter().chain(index.map(ToString::to_string)).collect(),
        detail: format!("the index names no manifest for it; it {has}"),
        first_seen: now,
        last_seen: now,
    }));
    if !was_broken {
        let images = &mut report.images;
        let before = if was_unverified { &mut images.unverified } else { &mut images.intact };
        *before = before.saturating_sub(1);
        images.broken += 1;
    }
}

//! What is checked of a cache of another registry: the repositories and tags that the configuration names.

use super::findings::Findings;
use super::selection::Selection;
use crate::check::judge::Verdict;
use crate::check::walk::Inquiry;
use crate::config::{ImageSelector, Target};
use crate::oci::{Image, Reference, Repository};
use crate::registry::Registry;
use crate::report::{Cause, Kind, Reason, Unverified};

/// Checks what `images` names: repositories by the catalog, tags by HEAD. A request for a tag of a repository that the cache
/// lacks, or for a digest, would make it download something.
pub(super) async fn check_named<R: Registry>(
    registry: &R,
    target: &Target,
    selection: &Selection,
    found: &mut Findings,
) {
    for selector in &target.images {
        let (repository, image) = match selector {
            ImageSelector::Repository(repository) => (repository, None),
            ImageSelector::Image(image) => (&image.repository, Some(image)),
        };
        if selection.repositories.contains_key(repository) {
            if let Some(image) = image.filter(|image| matches!(image.reference, Reference::Tag(_))) {
                check_tag(registry, image, found).await;
            }
        } else if selection.is_complete && target.admits(repository) {
            found.unverified.push(absent_repository(repository, image));
            found.images += u64::from(image.is_some());
            found.walked.extend(image.map(|image| image.repository.clone()));
        }
    }
}

async fn check_tag<R: Registry>(registry: &R, image: &Image, found: &mut Findings) {
    let judged = Inquiry::Resolution(image.reference.clone()).head(registry, &image.repository).await;
    match judged {
        Verdict::Intact(_) => found.objects.manifest += 1,
        // Absence is normal in a cache, but it proves nothing about the image.
        Verdict::Suspect { suspicion, detail } if suspicion.reason() == Reason::Missing => {
            let detail = format!("{detail}: `images` names the tag, and the cache does not serve it");
            found.unverified.push(unverified_image(image, Cause::Incomplete, detail));
        }
        Verdict::Suspect { suspicion, detail } => {
            found.unverified.push(unverified_image(image, suspicion.cause(), detail));
        }
        Verdict::Unverified { cause, detail } => found.unverified.push(unverified_image(image, cause, detail)),
    }
    found.walked.insert(image.repository.clone());
    found.images += 1;
}

fn absent_repository(repository: &Repository, image: Option<&Image>) -> Unverified {
    let detail = format!(
        "`images` names the repository {repository}, which is not in the cache's catalog; pull it through the cache, or \
         remove it from `images`"
    );
    match image {
        Some(image) => unverified_image(image, Cause::Incomplete, detail),
        None => Unverified {
            repository: Some(repository.to_string()),
            reference: repository.to_string(),
            kind: None,
            cause: Cause::Incomplete,
            images: Vec::new(),
            detail,
        },
    }
}

fn unverified_image(image: &Image, cause: Cause, detail: String) -> Unverified {
    Unverified {
        repository: Some(image.repository.to_string()),
        reference: image.reference.to_string(),
        kind: Some(Kind::Manifest),
        cause,
        images: vec![image.clone()],
        detail,
    }
}

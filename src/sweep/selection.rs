//! What a sweep walks: what the catalog names, or the configuration instead of it.

use std::collections::BTreeMap;

use super::found::Found;
use crate::config::{ImageSelector, Mode, Target};
use crate::oci::{Image, Repository};
use crate::registry::{List, ListEnd, Registry, Trouble};
use crate::report::{Cause, Unverified};
use crate::walk::Roots;

/// Characters that are told of a name that no repository may have.
const SHOWN_OF_A_NAME: usize = 300;

/// What a sweep walks.
pub(super) struct Selection {
    pub repositories: BTreeMap<Repository, Roots>,
    /// True if these are all that there are.
    pub is_complete: bool,
    /// True if the catalog was asked and at least a part of it came.
    pub is_reached: bool,
}

/// Reads the catalog, or takes what the configuration names instead.
pub(super) async fn select<R: Registry>(registry: &R, target: &Target, found: &mut Found) -> Selection {
    if !target.images.is_empty() && target.mode == Mode::Authoritative {
        let mut repositories: BTreeMap<Repository, Roots> = BTreeMap::new();
        for selector in &target.images {
            match selector {
                ImageSelector::Repository(repository) => {
                    repositories.entry(repository.clone()).or_default().listed = true;
                }
                ImageSelector::Image(Image { repository, reference }) => {
                    repositories.entry(repository.clone()).or_default().named.insert(reference.clone());
                }
            }
        }
        repositories.retain(|repository, _| target.is_of_its_shard(repository));
        return Selection { repositories, is_complete: true, is_reached: false };
    }
    let listing = registry.list(&List::Catalog).await;
    let is_complete = listing.end == ListEnd::Complete;
    let is_reached = is_complete || !listing.names.is_empty();
    let trouble = match listing.end {
        ListEnd::Complete => None,
        ListEnd::Absent => Some(Trouble::new(Cause::Protocol, "the registry has no catalog")),
        ListEnd::Incomplete(trouble) => Some(trouble),
    };
    found.unverified.extend(trouble.map(|trouble| Unverified {
        repository: None,
        reference: Unverified::CATALOG.to_string(),
        kind: None,
        cause: trouble.cause,
        images: Vec::new(),
        detail: format!("the catalog could not be read to its end: {}", trouble.detail),
    }));
    let mut repositories = BTreeMap::new();
    for name in listing.names.into_iter().filter(|name| target.admits(name)) {
        match name.parse() {
            Ok(repository) => drop(repositories.insert(repository, Roots { listed: true, ..Roots::default() })),
            Err(error) => {
                // Only legal names have an end; this one may be as long as a page.
                let shown: String = name.chars().take(SHOWN_OF_A_NAME).collect();
                found.unverified.push(Unverified {
                    repository: Some(shown.clone()),
                    reference: shown,
                    kind: None,
                    cause: Cause::Protocol,
                    images: Vec::new(),
                    detail: format!("the catalog names it, but {error}"),
                });
            }
        }
    }
    Selection { repositories, is_complete, is_reached }
}

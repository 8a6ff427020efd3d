//! What a sweep walks: what the catalog names, or the configuration instead of it.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use super::findings::Findings;
use crate::check::walk::Roots;
use crate::config::{ImageSelector, Mode, Target};
use crate::oci::{Image, Repository};
use crate::registry::{List, ListEnd, Registry, Trouble};
use crate::report::{CatalogTrust, Cause, Failure, KnownCatalog, Unverified, counted};

/// Characters that are told of a name that no repository may have.
const SHOWN_OF_A_NAME: usize = 300;

/// What a sweep walks.
pub(super) struct Selection {
    pub repositories: BTreeMap<Repository, Roots>,
    /// True if these are all that there are.
    pub is_complete: bool,
    /// True if the catalog was asked and at least a part of it came.
    pub is_reached: bool,
    /// True if `sweep_timeout` ended the reading of the catalog, of which a part came.
    pub is_cut_short: bool,
    /// True if known failures may be resolved. A catalog that lost most of its repositories, or all of them, may be that of a
    /// registry that lost its storage.
    pub may_resolve: bool,
    /// True if a pattern of `repositories.include` matches nothing.
    pub is_filter_wrong: bool,
    /// Repositories of known failures that the catalog names, and that a wrong filter leaves out.
    pub filtered_out: HashSet<Repository>,
    /// The catalog to compare the next sweep with.
    pub catalog: KnownCatalog,
}

/// Reads the catalog, or takes what the configuration names instead.
pub(super) async fn select<R: Registry>(
    registry: &R,
    target: &Target,
    known: &[Failure],
    catalog: &KnownCatalog,
    found: &mut Findings,
) -> Selection {
    if !target.images.is_empty() && target.mode == Mode::Authoritative {
        return configured(target, catalog);
    }
    let listing = registry.list(&List::Catalog).await;
    let is_reached = listing.end == ListEnd::Complete || !listing.names.is_empty();
    let unread = match listing.end {
        ListEnd::Complete => None,
        ListEnd::Absent => Some(Trouble::new(Cause::Protocol, "the registry has no catalog")),
        ListEnd::Incomplete(trouble) => Some(trouble),
    };
    let mut selection = Selection {
        repositories: admitted(target, &listing.names, found),
        is_complete: unread.is_none(),
        is_reached,
        is_cut_short: false,
        may_resolve: true,
        is_filter_wrong: false,
        filtered_out: HashSet::new(),
        catalog: catalog.clone(),
    };
    match unread {
        Some(Trouble { cause, detail, .. }) => {
            let detail = format!("the catalog could not be read to its end: {detail}");
            found.unverified.push(Unverified::catalog(cause, detail));
        }
        // A cache names what it happens to hold, so that neither absence nor a shorter catalog means anything.
        None if target.mode == Mode::PullThrough => {}
        None => selection.judge_catalog(target, &listing.names, known, found),
    }
    selection
}

impl Selection {
    /// Holds a catalog that was read to its end against the last one, and the filter against it.
    fn judge_catalog(&mut self, target: &Target, names: &[String], known: &[Failure], found: &mut Findings) {
        let trust;
        (trust, self.catalog) = self.catalog.judge(names, !known.is_empty(), SystemTime::now());
        self.may_resolve = trust == CatalogTrust::Complete;
        if let CatalogTrust::Shrunk { before } = trust {
            self.is_complete = false;
            let count = counted(names.len() as u64, "repository", "repositories");
            found.unverified.push(Unverified::catalog(
                Cause::Incomplete,
                format!(
                    "the catalog names {count}, fewer than half of the {before} before; check that the registry \
                     has its storage and that the probe's credentials still see everything; if it is right, it is accepted \
                     once it is unchanged for 24 hours"
                ),
            ));
            return;
        }
        let filter = &target.repositories;
        let matched = filter.matched(names);
        let unmatched: Vec<&str> = filter.unmatched(&matched).collect();
        if unmatched.is_empty() {
            return;
        }
        self.is_filter_wrong = true;
        let named: HashSet<&str> = names.iter().map(String::as_str).collect();
        let repositories = known.iter().map(|failure| &failure.repository);
        self.filtered_out = repositories
            .filter(|repository| named.contains(&***repository) && !filter.admits(repository))
            .cloned()
            .collect();
        found.unverified.extend(unmatched.into_iter().map(|pattern| {
            let setting = "repositories.include";
            let detail = format!(
                "{setting}: the pattern \"{pattern}\" matches none of {} in the catalog; patterns are \
                 regular expressions that match the complete name, such as \"team/.*\"",
                counted(names.len() as u64, "repository", "repositories")
            );
            Unverified::filter(setting, pattern, detail)
        }));
    }

    /// Adds the repositories of known failures that a catalog does not name: an incomplete one may have lost them.
    pub fn add_unlisted(&mut self, target: &Target, known: &[Failure], found: &mut Findings) {
        if !self.is_reached || target.mode != Mode::Authoritative {
            return;
        }
        for failure in known.iter().filter(|failure| target.admits(&failure.repository)) {
            self.repositories.entry(failure.repository.clone()).or_insert_with(|| {
                found.unlisted.insert(failure.repository.clone());
                Roots { listed: true, ..Roots::default() }
            });
        }
    }
}

/// What `images` names.
fn configured(target: &Target, catalog: &KnownCatalog) -> Selection {
    let mut repositories: BTreeMap<Repository, Roots> = BTreeMap::new();
    for selector in &target.images {
        match selector {
            ImageSelector::Repository(repository) => {
                let roots = repositories.entry(repository.clone()).or_default();
                (roots.listed, roots.must_exist) = (true, true);
            }
            ImageSelector::Image(Image { repository, reference }) => {
                repositories.entry(repository.clone()).or_default().named.insert(reference.clone());
            }
        }
    }
    repositories.retain(|repository, _| target.is_of_its_shard(repository));
    Selection {
        repositories,
        is_complete: true,
        is_reached: false,
        is_cut_short: false,
        may_resolve: true,
        is_filter_wrong: false,
        filtered_out: HashSet::new(),
        catalog: catalog.clone(),
    }
}

/// The repositories of a catalog that this process checks.
fn admitted(target: &Target, names: &[String], found: &mut Findings) -> BTreeMap<Repository, Roots> {
    let mut repositories = BTreeMap::new();
    for name in names.iter().filter(|name| target.admits(name)) {
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
    repositories
}

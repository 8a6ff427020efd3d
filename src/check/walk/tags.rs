//! The tag list of the walked repository.

use std::collections::{BTreeSet, HashSet};

use super::scope::Roots;
use super::walker::Walk;
use crate::oci::{Reference, Tag};
use crate::registry::{List, ListEnd, Listing, Registry, Trouble};
use crate::report::{Cause, Failure};

/// A tag list, filtered.
pub(super) struct Listed {
    /// Tags that the filter admits.
    pub tags: BTreeSet<Tag>,
    /// How the reading ended.
    pub end: ListEnd,
    /// Indexes of the patterns of `tags.include` that match a listed name; `None` if no list was read.
    pub matched: Option<BTreeSet<usize>>,
    /// Names that the filter excludes.
    excluded: HashSet<String>,
}

impl Listed {
    /// Images of open failures that are listed, and that the filter excludes.
    pub fn filtered_out(&self, known: &[Failure]) -> HashSet<Reference> {
        let references = known.iter().flat_map(|failure| &failure.images).map(|image| &image.reference);
        references.filter(|reference| self.excluded.contains(&reference.to_string())).cloned().collect()
    }
}

impl<R: Registry> Walk<R> {
    /// Reads the tag list, if its images are to be walked. A list with illegal names is incomplete.
    pub(super) async fn listed_tags(&self, roots: &Roots) -> Listed {
        if !roots.listed {
            let (tags, excluded) = (BTreeSet::new(), HashSet::new());
            return Listed { tags, end: ListEnd::Complete, matched: None, excluded };
        }
        let Listing { names, end } = self.tag_list().await;
        let (mut tags, mut illegal, mut excluded) = (BTreeSet::new(), BTreeSet::new(), HashSet::new());
        for name in &names {
            if !self.scope.tags.admits(name) {
                excluded.insert(name.clone());
                continue;
            }
            match name.parse() {
                Ok(tag) => drop(tags.insert(tag)),
                Err(_) => drop(illegal.insert(name.as_str())),
            }
        }
        let first = illegal.first().and_then(|name| name.parse::<Tag>().err());
        let end = match (end, first) {
            (ListEnd::Complete, Some(error)) => {
                let detail = match illegal.len() {
                    1 => format!("it holds {error}"),
                    count => format!("it holds {count} names that no tag may have; {error}"),
                };
                ListEnd::Incomplete(Trouble::new(Cause::Protocol, detail))
            }
            (ListEnd::Absent, _) if roots.must_exist => ListEnd::Incomplete(absent()),
            (end, _) => end,
        };
        Listed { tags, end, matched: Some(self.scope.tags.matched(&names)), excluded }
    }

    async fn tag_list(&self) -> Listing {
        let list = List::Tags(self.repository.clone());
        let listing = self.registry.list(&list).await;
        if listing.end != ListEnd::Absent {
            return listing;
        }
        // The failures of a deleted repository are resolved, so make sure that it is deleted.
        tokio::time::sleep(self.scope.confirm.delay).await;
        self.registry.list(&list).await
    }
}

fn absent() -> Trouble {
    Trouble::new(
        Cause::Incomplete,
        "the registry answers 404, twice, although `images` names the repository: it does not exist, or the probe's \
         credentials may not see it; correct the name, push to it, or remove it from `images`",
    )
}

//! The tags that a walk begins with.

use std::collections::{BTreeSet, HashSet};

use super::{Roots, Walk};
use crate::oci::{Reference, Tag};
use crate::registry::{List, ListEnd, Listing, Registry, Trouble};
use crate::report::{Cause, Failure};

/// What a tag list says.
pub(super) struct Listed {
    /// The tags that are listed and wanted.
    pub tags: BTreeSet<Tag>,
    /// How the reading ended.
    pub end: ListEnd,
    /// Which patterns of `tags.include` match a listed name, by their place; `None` if no list was to be read.
    pub matched: Option<BTreeSet<usize>>,
    /// Names that are listed and not wanted.
    unwanted: HashSet<String>,
}

impl Listed {
    /// Images of known failures that the list still names and the filter leaves out.
    pub fn filtered_out(&self, known: &[Failure]) -> HashSet<Reference> {
        let references = known.iter().flat_map(|failure| &failure.images).map(|image| &image.reference);
        references.filter(|reference| self.unwanted.contains(&reference.to_string())).cloned().collect()
    }
}

impl<R: Registry> Walk<R> {
    /// Reads the tag list, if it is to be walked. Names that no tag can have are reported as a list that makes no sense.
    pub(super) async fn listed_tags(&self, roots: &Roots) -> Listed {
        if !roots.listed {
            let (tags, unwanted) = (BTreeSet::new(), HashSet::new());
            return Listed { tags, end: ListEnd::Complete, matched: None, unwanted };
        }
        let Listing { names, end } = self.tag_list().await;
        let (mut tags, mut illegal, mut unwanted) = (BTreeSet::new(), BTreeSet::new(), HashSet::new());
        for name in &names {
            if !self.scope.tags.admits(name) {
                unwanted.insert(name.clone());
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
        Listed { tags, end, matched: Some(self.scope.tags.matched(&names)), unwanted }
    }

    async fn tag_list(&self) -> Listing {
        let list = List::Tags(self.repository.clone());
        let listing = self.registry.list(&list).await;
        if listing.end != ListEnd::Absent {
            return listing;
        }
        // What was known of a repository is forgotten when it is gone: that is worth a second question.
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

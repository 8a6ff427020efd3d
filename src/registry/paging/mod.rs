//! Decides which page of a list to request next, and when the list is complete. No I/O.
//!
//! A page without a `Link` to the next one claims to be the last. That claim can be wrong: distribution 2.x loses the link
//! after some names, some registries never send one, some truncate a page silently. So the end is proved:
//!
//! - The catalog is read once per sweep, so one more request is affordable: the names after the last one.
//! - A tag list is read once per repository, so an ordinary one must cost one request. A second request is sent only if the
//!   last page may be full: it has as many names as requested, or as many as a page of this registry that turned out not to
//!   be the last, or a number at which registries are known to truncate, or the registry accepts no `n`.
//! - Where links carry a token instead of a name, the last page is the one without a link: such a registry cannot continue
//!   after a name.
//!
//! If no names follow, the list is complete. If new names follow, reading continues from there. If known names are repeated
//! or the request is rejected, the registry does not continue after that name. For a page that may be full, other requests
//! then look for a proof, in this order: the names after the greatest one; a page of one name, which shows whether the
//! registry limits pages and whether it links them; the names after the last but one, for registries that start again after
//! the last one; a page large enough for all names. A list without any proof is [`Cause::Incomplete`].

mod evidence;
mod request;
pub mod sizes;

use std::collections::HashSet;

use url::form_urlencoded;

use self::evidence::{BARREN_PAGES, Doubt, Facts, is_in_order, is_usual_cap};
pub use self::request::{PageRequest, PageResponse};
use super::Trouble;
use super::page::Page;
use crate::report::Cause;

/// Maximum length of a link's query, in bytes.
const QUERY_LIMIT: usize = 8 * 1024;
/// Maximum size of a list.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Number of names.
    pub names: usize,
    /// Total length of all names, in bytes.
    pub bytes: u64,
}

/// A list that is being read.
#[derive(Debug)]
pub struct Paging {
    /// True for the catalog, which is read once a sweep.
    is_catalog: bool,
    bounds: Bounds,
    /// The `n` that is sent; `None` if the registry rejects any.
    size: Option<usize>,
    /// Number of names at which this registry truncated a page although more were requested.
    cap: Option<usize>,
    known: HashSet<String>,
    bytes: usize,
    /// Names that were sent as `last`, from a link or without one.
    continued_after: HashSet<String>,
    /// Queries of the links that were followed.
    followed: HashSet<String>,
    /// Number of consecutive pages without a new name.
    barren: u32,
    /// Number of names on the first page, and the first of them.
    first: Option<(usize, Option<String>)>,
    /// Number of names on the previous page.
    previous: usize,
    /// Number of names on the shortest page with a link.
    shortest_linked: Option<usize>,
    /// Last names of pages that may have been truncated.
    page_ends: Vec<String>,
    /// The last name but one of the latest page with new names.
    last_but_one: Option<String>,
    facts: Facts,
    doubt: Option<Doubt>,
    requested_one: bool,
    /// Number of page sizes tried that are large enough for all names.
    sizes_tried: usize,
}

/// Properties of one page.
struct Read {
    /// Number of distinct names.
    count: usize,
    /// Number of names that were not known before.
    new: usize,
    first: Option<String>,
    last_but_one: Option<String>,
    last: Option<String>,
    is_in_order: bool,
    /// True if it contains the name that it was to follow.
    has_start: bool,
    next: Option<String>,
}

impl Paging {
    /// A list of which no page has been read. `cap` is the number of names at which this registry is known to truncate.
    pub fn new(is_catalog: bool, bounds: Bounds, cap: Option<usize>) -> Self {
        Self {
            is_catalog,
            bounds,
            size: None,
            cap,
            known: HashSet::new(),
            bytes: 0,
            continued_after: HashSet::new(),
            followed: HashSet::new(),
            barren: 0,
            first: None,
            previous: 0,
            shortest_linked: None,
            page_ends: Vec::new(),
            last_but_one: None,
            facts: Facts::default(),
            doubt: None,
            requested_one: false,
            sizes_tried: 0,
        }
    }

    /// Sets the `n` to send; `None` if the registry rejects any.
    pub fn set_size(&mut self, size: Option<usize>) {
        self.size = size;
    }

    /// The `n` that is sent.
    pub fn size(&self) -> Option<usize> {
        self.size
    }

    /// Number of names at which this registry truncates pages silently, if known.
    pub fn cap(&self) -> Option<usize> {
        self.cap
    }

    /// True if the list contains this name.
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Adds a name that was found in another way than on a page.
    pub fn add(&mut self, name: String) {
        let length = name.len();
        if self.known.insert(name) {
            self.bytes += length;
        }
    }

    /// All names, each once.
    pub fn into_names(self) -> Vec<String> {
        self.known.into_iter().collect()
    }

    /// The last names of pages that may have been truncated, each returned once.
    pub fn take_page_ends(&mut self) -> Vec<String> {
        std::mem::take(&mut self.page_ends)
    }

    /// The request to send after this response; `None` if the list is complete.
    ///
    /// # Errors
    ///
    /// [`Cause::Incomplete`] if the end cannot be proved, [`Cause::Protocol`] if a limit is exceeded, or the cause that
    /// prevented reading a page.
    pub fn next(&mut self, request: &PageRequest, response: PageResponse) -> Result<Option<PageRequest>, Trouble> {
        let (page, next) = match response {
            PageResponse::Page(page, next) => (page, next),
            PageResponse::Refused(trouble) => return self.refused(request, trouble),
        };
        let read = self.read(request, page, next)?;
        match request {
            PageRequest::One => {
                self.facts.ignores_size |= read.count > 1;
                self.facts.links |= read.count == 1 && read.next.is_some();
                self.settle()
            }
            PageRequest::AtOnce(size) => self.at_once(*size, &read),
            PageRequest::Start | PageRequest::Link(_) | PageRequest::After(_) => self.walk(request, &read),
        }
    }

    fn read(&mut self, request: &PageRequest, page: Page, next: Option<String>) -> Result<Read, Trouble> {
        let Page { names, is_cut } = page;
        let known_before = self.known.len();
        let read = Read {
            count: names.iter().collect::<HashSet<_>>().len(),
            new: 0,
            first: names.first().cloned(),
            last_but_one: names.iter().rev().nth(1).cloned(),
            last: names.last().cloned(),
            is_in_order: is_in_order(&names),
            has_start: matches!(request, PageRequest::After(start) if names.contains(start)),
            next,
        };
        names.into_iter().for_each(|name| self.add(name));
        let read = Read { new: self.known.len() - known_before, ..read };
        let Bounds { names, bytes } = self.bounds;
        // The maximum itself is allowed, unless more follow.
        let is_over = self.known.len() > names || self.bytes as u64 > bytes;
        if is_cut || is_over || (read.next.is_some() && self.known.len() == names) {
            let limit = format!("the list has more than {names} names, or {bytes} bytes of them");
            return Err(Trouble::new(Cause::Protocol, limit));
        }
        Ok(read)
    }

    /// Continues from the first page or from one that continues the list.
    fn walk(&mut self, request: &PageRequest, read: &Read) -> Result<Option<PageRequest>, Trouble> {
        self.note(request, read);
        if let Some(next) = &read.next {
            return self.follow(next);
        }
        let Some(last) = &read.last else { return self.ended(request) };
        match request {
            PageRequest::After(_) if read.new == 0 && !self.facts.may_be_truncated => Ok(None),
            // This registry includes `last` in what follows it.
            PageRequest::After(_) if read.new == 0 && read.count == 1 && read.has_start => self.ended(request),
            PageRequest::After(_) if read.new == 0 && self.is_rest(read) => Ok(None),
            PageRequest::After(_) if read.new == 0 => self.doubt(Doubt::Again),
            _ if !self.needs_proof(read) => Ok(None),
            _ if self.continued_after.insert(last.clone()) => Ok(Some(PageRequest::After(last.clone()))),
            _ => self.doubt(Doubt::Again),
        }
    }

    /// Records what a page shows about how the registry pages.
    fn note(&mut self, request: &PageRequest, read: &Read) {
        let is_full = read.count > 0 && self.may_be_full(read.count, self.size);
        let continues = read.new > 0 && self.previous > 0;
        if continues && self.size.is_some_and(|size| self.previous < size) {
            self.cap = Some(self.previous);
        }
        if let PageRequest::After(name) = request
            && continues
        {
            self.facts.may_be_truncated = true;
            self.facts.links_mislead = true;
            self.page_ends.push(name.clone());
        }
        if is_full || read.next.is_some() {
            self.facts.may_be_truncated = true;
            self.page_ends.extend(read.last.clone());
        }
        if read.next.is_some() {
            self.shortest_linked = Some(self.shortest_linked.map_or(read.count, |count| count.min(read.count)));
        } else {
            self.facts.is_unordered |= is_full && !read.is_in_order;
        }
        self.facts.ignores_size |= self.size.is_some_and(|size| read.count > size);
        let beginning = (read.count, read.first.clone());
        if let Some(first) = &self.first {
            let is_repeated = read.new == 0 && *first == beginning;
            self.facts.ignores_last |= is_repeated;
            self.facts.links_mislead |= is_repeated && matches!(request, PageRequest::Link(_));
        } else {
            self.first = Some(beginning);
            self.followed.insert(request.query(self.size));
        }
        if read.new > 0 {
            self.facts.more_is_linked = false;
            self.doubt = None;
            self.barren = 0;
            self.last_but_one.clone_from(&read.last_but_one);
        } else {
            self.barren += 1;
        }
        self.previous = read.count;
    }

    fn follow(&mut self, next: &str) -> Result<Option<PageRequest>, Trouble> {
        if next.len() > QUERY_LIMIT {
            return Err(Trouble::new(Cause::Protocol, format!("a link is longer than {QUERY_LIMIT} bytes")));
        }
        let is_circle = !self.followed.insert(next.to_string());
        if is_circle || self.barren == BARREN_PAGES {
            self.facts.more_is_linked = true;
            return self.doubt(if is_circle { Doubt::Circle } else { Doubt::Barren });
        }
        match self.name_in(next) {
            Some(last) => drop(self.continued_after.insert(last)),
            None => self.facts.has_tokens = true,
        }
        Ok(Some(PageRequest::Link(next.to_string())))
    }

    /// The `last` of a link's query, if it is a name from the list.
    fn name_in(&self, query: &str) -> Option<String> {
        let last = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "last");
        last.map(|(_, last)| last.into_owned()).filter(|last| self.known.contains(last))
    }

    /// Handles an empty page. In an unordered list it only proves that no greater name follows, unless `last` was not the
    /// greatest: then the registry continues by position.
    fn ended(&mut self, request: &PageRequest) -> Result<Option<PageRequest>, Trouble> {
        match request {
            PageRequest::After(name) if self.facts.is_unordered && self.greatest() == Some(name) => {
                self.doubt(Doubt::Unordered)
            }
            _ => Ok(None),
        }
    }

    fn refused(&mut self, request: &PageRequest, trouble: Trouble) -> Result<Option<PageRequest>, Trouble> {
        match (request, trouble.cause) {
            (PageRequest::Start, _) => Err(trouble),
            (PageRequest::After(_), _) if !self.facts.may_be_truncated => Ok(None),
            (PageRequest::One | PageRequest::AtOnce(_), Cause::Protocol) => self.settle(),
            // Some registries answer 5xx, or drop the connection, for a `last` they cannot use.
            (PageRequest::After(_), Cause::Protocol | Cause::ServerError | Cause::Unreachable) => {
                self.doubt(Doubt::Refused(trouble.detail))
            }
            // Other parameters of the link may be the reason, so `last` is tried without them.
            (PageRequest::Link(query), Cause::Protocol) => {
                self.facts.more_is_linked = true;
                self.doubt.get_or_insert(Doubt::Refused(trouble.detail));
                self.name_in(query).map_or_else(|| self.settle(), |last| Ok(Some(PageRequest::After(last))))
            }
            _ => Err(trouble),
        }
    }

    fn doubt(&mut self, doubt: Doubt) -> Result<Option<PageRequest>, Trouble> {
        self.doubt.get_or_insert(doubt);
        self.settle()
    }

    /// Decides from what is known, or returns the next request that may bring a proof.
    fn settle(&mut self) -> Result<Option<PageRequest>, Trouble> {
        let Facts { ignores_size, ignores_last, links, links_mislead, more_is_linked, .. } = self.facts;
        // A registry that ignores `n` sends everything at once; one that links pages links all but the last.
        let is_one_page = ignores_size && self.shortest_linked.is_none();
        if !more_is_linked && !links_mislead && (is_one_page || links) {
            return Ok(None);
        }
        if !ignores_last
            && let Some(greatest) = self.greatest().cloned()
            && self.continued_after.insert(greatest.clone())
        {
            return Ok(Some(PageRequest::After(greatest)));
        }
        if !more_is_linked && !self.requested_one && self.known.len() > 1 {
            self.requested_one = true;
            return Ok(Some(PageRequest::One));
        }
        if let Some(name) = self.last_but_one.take()
            && self.continued_after.insert(name.clone())
        {
            return Ok(Some(PageRequest::After(name)));
        }
        let large_enough = [self.bounds.names + 1, self.known.len() + 1];
        if let Some(size) = large_enough.get(self.sizes_tried) {
            self.sizes_tried += 1;
            return Ok(Some(PageRequest::AtOnce(*size)));
        }
        Err(self.incomplete())
    }

    /// Accepts a page as the entire list if it has all known names and room for more.
    fn at_once(&mut self, size: usize, read: &Read) -> Result<Option<PageRequest>, Trouble> {
        let has_all = read.next.is_none() && read.count == self.known.len();
        if has_all && read.count < size && !self.may_be_full(read.count, Some(size)) {
            return Ok(None);
        }
        Err(self.incomplete())
    }

    fn incomplete(&self) -> Trouble {
        let reason = self.doubt.as_ref().map(Doubt::reason).unwrap_or_default();
        Trouble::new(Cause::Incomplete, format!("the list may continue: {reason}"))
    }

    /// Whether a page is the rest of the list: it continues after a name, and is shorter than an earlier page, so not full.
    fn is_rest(&self, read: &Read) -> bool {
        let is_shorter = self.first.as_ref().is_some_and(|(count, _)| read.count < *count);
        is_shorter && !read.has_start && !self.facts.is_unordered
    }

    /// Whether a page without a link needs a proof that it is the last.
    fn needs_proof(&self, read: &Read) -> bool {
        let is_as_long_as_linked = self.shortest_linked.is_some_and(|linked| read.count >= linked);
        let may_be_full = self.may_be_full(read.count, self.size) || is_as_long_as_linked;
        read.new == 0 || (!self.facts.has_tokens && (self.is_catalog || may_be_full))
    }

    /// Whether a page with `count` names may be truncated when `size` were requested.
    fn may_be_full(&self, count: usize, size: Option<usize>) -> bool {
        size.is_none_or(|size| count == size) || self.cap == Some(count) || is_usual_cap(count)
    }

    fn greatest(&self) -> Option<&String> {
        self.known.iter().max()
    }
}

#[cfg(test)]
mod tests;

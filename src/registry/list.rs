//! Reads a paged list to its end, or says that it could not.

use std::collections::HashSet;

use http::header::LINK;
use url::form_urlencoded;

use super::client::HttpRegistry;
use super::headers::next_link;
use super::page::Page;
use super::{Body, List, ListEnd, Listing, Trouble, may_pass};
use crate::oci::Repository;
use crate::report::Cause;

/// The largest page that distribution gives by default (`catalog.maxentries`).
const PAGE: usize = 1000;
/// A link to the next page is not followed if its query is longer than this, in bytes.
const QUERY_LIMIT: usize = 8 * 1024;
/// So many pages in a row that bring nothing new, and the list is taken to have no end. A few are legal: a registry that
/// shows each user only some names may filter a page down to nothing.
const BARREN_PAGES: u32 = 10;

/// Reads a list, page by page.
pub async fn read(registry: &HttpRegistry, list: &List) -> Listing {
    let limits = registry.limits();
    let most = if *list == List::Catalog { limits.repositories } else { limits.tags };
    let mut reading = Reading { registry, list, most, known: HashSet::new(), bytes: 0 };
    let end = reading.all_pages().await;
    Listing { names: reading.known.into_iter().collect(), end: end.unwrap_or_else(ListEnd::Incomplete) }
}

struct Reading<'a> {
    registry: &'a HttpRegistry,
    list: &'a List,
    /// Names that are read.
    most: usize,
    known: HashSet<String>,
    /// Of all names.
    bytes: usize,
}

/// What one page brought.
struct Read {
    /// Names on it, repeated ones included.
    names: usize,
    /// Names that were not known.
    new: usize,
    /// True if it names more than is read.
    is_cut: bool,
    /// The query of the next page, as the registry links it.
    next: Option<String>,
    last: Option<String>,
}

impl Reading<'_> {
    async fn all_pages(&mut self) -> Result<ListEnd, Trouble> {
        let mut query = format!("n={PAGE}");
        let mut asked = HashSet::new();
        let mut barren = 0;
        loop {
            let Some(page) = self.page(&query).await? else { return Ok(ListEnd::Absent) };
            asked.insert(query);
            if let Read { next: Some(_), last: Some(last), .. } = &page {
                self.look_above(last).await?;
            }
            barren = if page.new == 0 { barren + 1 } else { 0 };
            let most_bytes = self.registry.limits().list_page_bytes;
            // As many as there may be is not too many, unless there are more.
            let is_over = self.known.len() > self.most || self.bytes as u64 > most_bytes;
            if page.is_cut || is_over || (page.next.is_some() && self.known.len() == self.most) {
                let limit = format!("the list has more than {} names, or {most_bytes} bytes of them", self.most);
                return Err(Trouble::new(Cause::Protocol, limit));
            }
            query = match page {
                Read { next: Some(next), .. } if asked.contains(&next) => {
                    return Err(Trouble::new(Cause::Protocol, "the list's pages go in a circle"));
                }
                Read { next: Some(_), .. } if barren == BARREN_PAGES => {
                    return Err(Trouble::new(Cause::Protocol, "the list's pages bring nothing new and do not end"));
                }
                Read { next: Some(next), .. } if next.len() > QUERY_LIMIT => {
                    return Err(Trouble::new(Cause::Protocol, format!("a link is longer than {QUERY_LIMIT} bytes")));
                }
                Read { next: Some(next), .. } => next,
                // distribution 2.x loses the link of a full page under some names: the end is believed when it is seen.
                Read { names, new, last: Some(last), .. } if names >= PAGE && new > 0 => {
                    self.look_above(&last).await?;
                    page_after(&last)
                }
                Read { .. } => return Ok(ListEnd::Complete),
            };
        }
    }

    /// Asks for the repositories above the last of a page. distribution 2.x lists `a` behind `a/0x`, since `_` sorts behind
    /// digits, and loses it if the page ends between the two.
    async fn look_above(&mut self, last: &str) -> Result<(), Trouble> {
        if *self.list != List::Catalog {
            return Ok(());
        }
        let lost: Vec<Repository> = last
            .match_indices('/')
            .filter(|&(at, _)| last[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
            .filter_map(|(at, _)| last[..at].parse().ok())
            .filter(|name: &Repository| !self.known.contains(&**name))
            .collect();
        for name in lost {
            let tags = List::Tags(name.clone());
            let answer = self.registry.persist(&self.registry.list_request(&tags, "n=1")?).await?.answer;
            match answer.status {
                200..=299 => self.add(name.to_string()),
                404 => {}
                _ => return Err(answer.trouble().unwrap_or_else(|| Trouble::new(Cause::Protocol, answer.summary()))),
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String) {
        let length = name.len();
        if self.known.insert(name) {
            self.bytes += length;
        }
    }

    /// Reads one page; `None` if the registry says that there is no such list.
    async fn page(&mut self, query: &str) -> Result<Option<Read>, Trouble> {
        let request = self.registry.list_request(self.list, query)?;
        let mut exchanged = self.registry.persist(&request).await;
        // Much hangs on a page, so that what passes is given twice the time to do so.
        let trouble = match &exchanged {
            Ok(exchanged) => exchanged.answer.trouble(),
            Err(trouble) => Some(trouble.clone()),
        };
        if trouble.is_some_and(|trouble| may_pass(trouble.cause)) {
            exchanged = self.registry.persist(&request).await;
        }
        // A page size may be refused, and 3.x drops the connection on some names unless everything is asked at once.
        let refused = match &exchanged {
            Ok(exchanged) => exchanged.answer.status == 400,
            Err(trouble) => trouble.cause == Cause::Unreachable && self.known.is_empty(),
        };
        if refused && query == format!("n={PAGE}") {
            let without_size = self.registry.persist(&self.registry.list_request(self.list, "")?).await;
            if without_size.is_ok() {
                exchanged = without_size;
            }
        }
        let exchanged = exchanged?;
        let answer = &exchanged.answer;
        if answer.status == 404 && answer.error_code.is_some() && matches!(self.list, List::Tags(_)) {
            return Ok(None);
        }
        if !(200..300).contains(&answer.status) {
            return Err(answer.trouble().unwrap_or_else(|| Trouble::new(Cause::Protocol, answer.summary())));
        }
        let body = match &answer.body {
            Body::Whole(bytes) => bytes,
            Body::TooLong { limit } => {
                return Err(Trouble::new(Cause::Protocol, format!("a page is longer than {limit} bytes")));
            }
            Body::Cut { .. } | Body::Hashed { .. } | Body::Unread => {
                return Err(Trouble::new(Cause::Unreachable, "the connection ended within a page"));
            }
        };
        let Page { names, is_cut } = Page::read(body, self.list, self.most)?;
        let (count, last) = (names.len(), names.last().cloned());
        let known_before = self.known.len();
        names.into_iter().for_each(|name| self.add(name));
        let next = exchanged
            .headers
            .get_all(LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(next_link)
            .map(query_of);
        Ok(Some(Read { names: count, new: self.known.len() - known_before, is_cut, next, last }))
    }
}

/// Of a link only the query is taken: registries behind a proxy write the host, scheme or path that they see themselves.
fn query_of(link: &str) -> String {
    let link = link.split('#').next().unwrap_or(link);
    link.split_once('?').map(|(_, query)| query.to_string()).unwrap_or_default()
}

fn page_after(last: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("n", &PAGE.to_string())
        .append_pair("last", last)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_query_of_a_link_counts() {
        assert_eq!(query_of("/v2/_catalog?last=a%2Fb&n=2"), "last=a%2Fb&n=2");
        assert_eq!(query_of("http://internal:5000/v2/_catalog?last=b#x"), "last=b");
        assert_eq!(query_of("/v2/_catalog"), "");
        assert_eq!(page_after("a/0x"), "n=1000&last=a%2F0x");
    }
}

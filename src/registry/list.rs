//! Reads a paged list: sends the requests that [`Paging`] chooses.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::LINK;
use tokio::time::{Instant, timeout_at};

use super::client::HttpRegistry;
use super::headers::next_link;
use super::page::Page;
use super::paging::sizes::SIZES;
use super::paging::{Bounds, PageRequest, PageResponse, Paging};
use super::response::Exchanged;
use super::{Answer, Body, List, ListEnd, Listing, Trouble, may_pass};
use crate::oci::Repository;
use crate::report::Cause;

/// Reads a list, page by page, until a deadline if there is one.
pub async fn read(registry: &HttpRegistry, list: &List, deadline: Option<Instant>) -> Listing {
    let limits = registry.limits;
    let is_catalog = *list == List::Catalog;
    let names = if is_catalog { limits.repositories } else { limits.tags };
    let bounds = Bounds { names, bytes: limits.list_page_bytes };
    let paging = Paging::new(is_catalog, bounds, registry.page_sizes.cap());
    let mut reading = Reading { registry, list, paging, most: names };
    let end = match deadline {
        None => Ok(reading.read_all().await),
        Some(deadline) => timeout_at(deadline, reading.read_all()).await,
    };
    if let Some(cap) = reading.paging.cap() {
        registry.page_sizes.cap.store(cap, Ordering::Relaxed);
    }
    let names = reading.paging.into_names();
    match end {
        Ok(end) => Listing { names, end: end.unwrap_or_else(ListEnd::Incomplete) },
        Err(_) => Listing::timed_out(names),
    }
}

struct Reading<'a> {
    registry: &'a HttpRegistry,
    list: &'a List,
    paging: Paging,
    /// Maximum number of names.
    most: usize,
}

impl Reading<'_> {
    async fn read_all(&mut self) -> Result<ListEnd, Trouble> {
        let Some(page) = self.first_page().await? else { return Ok(ListEnd::Absent) };
        let mut request = PageRequest::Start;
        let mut response = page;
        loop {
            let next = self.paging.next(&request, response)?;
            for last in self.paging.take_page_ends() {
                self.look_above(&last).await?;
            }
            let Some(next) = next else { return Ok(ListEnd::Complete) };
            request = next;
            response = self.response(&request).await;
        }
    }

    /// Looks for the parents of a page's last repository. distribution 2.x lists `a` after `a/0x`, because `_` sorts after
    /// digits, and loses it if the page ends between the two.
    async fn look_above(&mut self, last: &str) -> Result<(), Trouble> {
        if *self.list != List::Catalog {
            return Ok(());
        }
        let lost: Vec<Repository> = last
            .match_indices('/')
            .filter(|&(at, _)| last[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
            .filter_map(|(at, _)| last[..at].parse().ok())
            .filter(|name: &Repository| !self.paging.knows(name))
            .collect();
        for name in lost {
            let tags = List::Tags(name.clone());
            let answer = self.registry.persist(&Arc::new(self.registry.requests.page(&tags, "n=1"))).await?.answer;
            match answer.status {
                200..=299 => self.paging.add(name.to_string()),
                // Some registries deny access to repositories that do not exist.
                401 | 403 | 404 => {}
                _ => return Err(answer.trouble().unwrap_or_else(|| Trouble::new(Cause::Protocol, answer.summary()))),
            }
        }
        Ok(())
    }

    /// Reads the first page, with the largest `n` that the registry accepts; `None` if the list does not exist.
    async fn first_page(&mut self) -> Result<Option<PageResponse>, Trouble> {
        let accepted = self.registry.page_sizes.accepted(self.list);
        let mut index = accepted.load(Ordering::Relaxed).min(SIZES.len() - 1);
        loop {
            self.paging.set_size(SIZES[index]);
            let exchanged = self.insist(&PageRequest::Start).await;
            let is_last = index == SIZES.len() - 1;
            match &exchanged {
                // Some registries reject an `n` that is too large.
                Ok(exchanged) if !is_last && matches!(exchanged.answer.status, 400 | 405 | 422) => index += 1,
                // distribution 3.x drops the connection after some names, but not without `n`.
                Err(trouble) if !is_last && trouble.cause == Cause::Unreachable => {
                    self.paging.set_size(None);
                    let without_size = self.send(&PageRequest::Start).await;
                    let exchanged = without_size.or(exchanged)?;
                    return self.page_of(&exchanged).map(Some);
                }
                _ => {
                    let exchanged = exchanged?;
                    let answer = &exchanged.answer;
                    let is_unknown = answer.status == 404 && answer.error_code.is_some() && answer.trouble().is_none();
                    if is_unknown && matches!(self.list, List::Tags(_)) {
                        return Ok(None);
                    }
                    let page = self.page_of(&exchanged)?;
                    accepted.store(index, Ordering::Relaxed);
                    return Ok(Some(page));
                }
            }
        }
    }

    /// Requests a further page.
    async fn response(&self, request: &PageRequest) -> PageResponse {
        // The registry has this page, and all repositories on it depend on the response.
        let exchanged = match request {
            PageRequest::Start | PageRequest::Link(_) => self.insist(request).await,
            PageRequest::After(_) | PageRequest::One | PageRequest::AtOnce(_) => self.send(request).await,
        };
        exchanged.and_then(|exchanged| self.page_of(&exchanged)).unwrap_or_else(PageResponse::Refused)
    }

    async fn send(&self, request: &PageRequest) -> Result<Box<Exchanged>, Trouble> {
        let query = request.query(self.paging.size());
        self.registry.persist(&Arc::new(self.registry.requests.page(self.list, &query))).await
    }

    /// Sends a request again after a temporary error that outlasted its retries.
    async fn insist(&self, request: &PageRequest) -> Result<Box<Exchanged>, Trouble> {
        let exchanged = self.send(request).await;
        let trouble = match &exchanged {
            Ok(exchanged) => exchanged.answer.trouble(),
            Err(trouble) => Some(trouble.clone()),
        };
        if trouble.is_some_and(|trouble| may_pass(trouble.cause)) { self.send(request).await } else { exchanged }
    }

    fn page_of(&self, exchanged: &Exchanged) -> Result<PageResponse, Trouble> {
        let answer = &exchanged.answer;
        let trouble = answer.trouble();
        if is_html(answer) && trouble.as_ref().is_none_or(|trouble| trouble.cause == Cause::Protocol) {
            let path = match self.list {
                List::Catalog => "_catalog".to_string(),
                List::Tags(repository) => format!("{repository}/tags/list"),
            };
            let status = if answer.status == 200 { String::new() } else { format!(" (status {})", answer.status) };
            let detail = format!("GET /v2/{path} returned HTML instead of JSON{status}; is this a registry?");
            return Err(Trouble::new(Cause::Protocol, detail));
        }
        if !(200..300).contains(&answer.status) {
            return Err(trouble.unwrap_or_else(|| Trouble::new(Cause::Protocol, answer.summary())));
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
        let page = Page::read(body, self.list, self.most)?;
        let links = exchanged.headers.get_all(LINK);
        let next = links.iter().filter_map(|value| value.to_str().ok()).find_map(next_link).map(query_of);
        Ok(PageResponse::Page(page, next))
    }
}

/// True for a page for people, whatever its type is said to be.
fn is_html(answer: &Answer) -> bool {
    let media_type = answer.content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default();
    let starts_with =
        |first: &[u8]| matches!(&answer.body, Body::Whole(bytes) if bytes.trim_ascii_start().starts_with(first));
    starts_with(b"<") || (media_type.trim().eq_ignore_ascii_case("text/html") && !starts_with(b"{"))
}

/// Of a link only the query is taken: registries behind a proxy write the host, scheme or path that they see themselves.
fn query_of(link: &str) -> String {
    let link = link.split('#').next().unwrap_or(link);
    link.split_once('?').map(|(_, query)| query.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_query_of_a_link_counts() {
        assert_eq!(query_of("/v2/_catalog?last=a%2Fb&n=2"), "last=a%2Fb&n=2");
        assert_eq!(query_of("http://internal:5000/v2/_catalog?last=b#x"), "last=b");
        assert_eq!(query_of("/v2/_catalog"), "");
    }
}

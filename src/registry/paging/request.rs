//! The requests for pages of a list, and their responses.

use url::form_urlencoded;

use crate::registry::Trouble;
use crate::registry::page::Page;

/// Which page to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageRequest {
    /// The beginning of the list.
    Start,
    /// The target of a link, by its query.
    Link(String),
    /// The names after this one.
    After(String),
    /// A page of one name.
    One,
    /// A page large enough for all names, of at most this many.
    AtOnce(usize),
}

impl PageRequest {
    /// The query to send. `size` is the usual `n`, if the registry accepts one.
    pub fn query(&self, size: Option<usize>) -> String {
        let sized = |size: usize| format!("n={size}");
        match self {
            Self::Start => size.map(sized).unwrap_or_default(),
            Self::Link(query) => query.clone(),
            Self::After(last) => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.extend_pairs(size.map(|size| ("n", size.to_string())));
                query.append_pair("last", last).finish()
            }
            Self::One => sized(1),
            Self::AtOnce(size) => sized(*size),
        }
    }
}

/// The response to a request for a page.
#[derive(Debug)]
pub enum PageResponse {
    /// A page, and the query of the link to the next one.
    Page(Page, Option<String>),
    /// The request was rejected or failed.
    Refused(Trouble),
}

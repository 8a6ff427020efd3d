//! Paging of lists: distribution 2.8's, unless a fault changes it.

use serde_json::{Value, json};

/// How the list is paged in the response to one request.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// Any `n` is accepted.
    pub takes_any_size: bool,
    /// `n` is ignored, and all names are sent.
    pub ignores_size: bool,
    /// Pages are silently limited to this many names.
    pub cap: Option<usize>,
    /// What `last` means.
    pub last: Last,
    /// Status of the response to a `last` without meaning; if `None`, it is ignored.
    pub refusal: Option<u16>,
    /// Names are unordered.
    pub is_unordered: bool,
}

/// What `last` means.
#[derive(Clone, Copy, Debug, Default)]
pub enum Last {
    /// A name: the page begins after it.
    #[default]
    Name,
    /// The number of names before the page.
    Offset,
    /// Nothing. Links carry an opaque token in this parameter.
    Token(&'static str),
    /// Nothing.
    Nothing,
}

/// The page sizes of a list.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Page size without `n`.
    pub default: usize,
    /// Maximum `n`; a larger one is rejected.
    pub limit: usize,
}

/// The path of a list and the parameters of a request for it.
pub struct Query<'a> {
    pub path: &'a str,
    pub parameters: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a request for a page is rejected.
pub struct Rejection {
    pub status: u16,
    pub code: &'static str,
    pub message: &'static str,
    pub detail: Value,
}

/// One page, and the target of the link to the next one.
pub struct Page {
    pub names: Vec<String>,
    pub next: Option<String>,
}

impl Paging {
    /// The requested page.
    ///
    /// # Errors
    ///
    /// The rejection of the request.
    pub fn page(&self, mut names: Vec<String>, sizes: Sizes, query: &Query<'_>) -> Result<Page, Rejection> {
        if self.is_unordered {
            // A stable order that is not sorted.
            names
                .sort_by_cached_key(|name| name.bytes().fold(7, |hash: u32, byte| hash * 31 % 1_009 + u32::from(byte)));
        }
        // distribution ignores an `n` that is not a number or negative.
        let asked = (query.parameters)("n").and_then(|n| n.parse::<i64>().ok()).and_then(|n| usize::try_from(n).ok());
        let count = asked.unwrap_or(sizes.default);
        if count > sizes.limit && !self.takes_any_size && !self.ignores_size && self.cap.is_none() {
            return Err(Rejection {
                status: 400,
                code: "PAGINATION_NUMBER_INVALID",
                message: "invalid number of results requested",
                detail: json!({"n": count}),
            });
        }
        let count = if self.ignores_size { usize::MAX } else { count.min(self.cap.unwrap_or(usize::MAX)) };
        let start = self.start(&names, query)?;
        let total = names.len();
        let names: Vec<String> = names.into_iter().skip(start).take(count).collect();
        let end = start + names.len();
        let next = names.last().filter(|_| end < total).map(|last| self.link(query.path, last, end, count));
        Ok(Page { names, next })
    }

    /// The number of names before the page.
    fn start(&self, names: &[String], query: &Query<'_>) -> Result<usize, Rejection> {
        let token = match self.last {
            Last::Token(parameter) => (query.parameters)(parameter).and_then(|token| offset_of(&token)),
            Last::Name | Last::Offset | Last::Nothing => None,
        };
        let Some(last) = (query.parameters)("last").filter(|last| !last.is_empty() && token.is_none()) else {
            return Ok(token.unwrap_or(0));
        };
        let start = match self.last {
            Last::Name if self.is_unordered => names.iter().position(|name| *name == last).map(|at| at + 1),
            Last::Name => {
                // distribution compares in this order, even with a name that does not exist.
                let last = last.replace('/', "\0");
                Some(names.partition_point(|name| name.replace('/', "\0") <= last))
            }
            Last::Offset => last.parse().ok(),
            Last::Token(_) | Last::Nothing => None,
        };
        match (start, self.refusal) {
            (None, Some(status)) => Err(Rejection {
                status,
                code: "UNSUPPORTED",
                message: "invalid parameter: last",
                detail: json!({"last": last}),
            }),
            (start, _) => Ok(start.unwrap_or(0)),
        }
    }

    fn link(&self, path: &str, last: &str, end: usize, count: usize) -> String {
        match self.last {
            Last::Token(parameter) => format!("{path}?{parameter}={}&n={count}", token_of(end)),
            Last::Offset => format!("{path}?last={end}&n={count}"),
            Last::Name | Last::Nothing => {
                let last: String = url::form_urlencoded::byte_serialize(last.as_bytes()).collect();
                format!("{path}?last={last}&n={count}")
            }
        }
    }
}

/// An opaque token for an offset.
fn token_of(offset: usize) -> String {
    format!("gAAAA{:016x}==", offset ^ 0x5A5A_5A5A)
}

fn offset_of(token: &str) -> Option<usize> {
    let digits = token.strip_prefix("gAAAA")?.strip_suffix("==")?;
    usize::from_str_radix(digits, 16).ok().map(|offset| offset ^ 0x5A5A_5A5A)
}

//! The client for one registry: the only place that sends requests to registries.
//!
//! A walk asks a [`Question`] through the [`Registry`] trait and gets data: an [`Answer`], whatever its status, or the
//! [`Trouble`] that prevented one. Nothing here decides what is broken.

mod afresh;
mod answer;
mod auth;
mod body;
mod brought;
mod client;
#[cfg(test)]
#[path = "../../tests/corpus/corpus.rs"]
mod corpus;
mod deadline;
mod error_body;
mod exchange;
#[cfg(test)]
#[path = "../../tests/corpus/foreign_bytes.rs"]
mod foreign_bytes;
mod headers;
mod http;
mod list;
mod pacing;
mod page;
mod paging;
mod payload;
mod proxy;
mod redirect;
mod request;
mod response;
mod retry;
mod scheme;
mod tls;
mod traffic;
mod transport;

use std::future::Future;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

pub use afresh::Afresh;
pub use auth::docker_config::default_places;
pub use brought::Brought;
pub use client::{ClientError, HttpRegistry};
pub use deadline::Deadline;
pub use headers::ContentRange;
pub use http::Background;
pub use scheme::speaks_plain_http;
pub use traffic::{Code, DURATION_BUCKETS, Durations, Method, Traffic};

use crate::oci::{Digest, Reference, Repository};
use crate::report::Cause;

/// A registry. Implemented by the HTTP client and by its wrappers.
pub trait Registry: Send + Sync {
    /// Requests one object. Temporary errors have been retried when this returns.
    fn ask(&self, question: &Question) -> impl Future<Output = Result<Answer, Trouble>> + Send;

    /// Reads a list to its end, page by page.
    fn list(&self, list: &List) -> impl Future<Output = Listing> + Send;

    /// Reads a list until a deadline at the latest. The HTTP client keeps the names that it has read by then.
    fn list_until(&self, list: &List, deadline: Instant) -> impl Future<Output = Listing> + Send {
        async move { timeout_at(deadline, self.list(list)).await.unwrap_or_else(|_| Listing::timed_out(Vec::new())) }
    }

    /// True if a request would be sent soon. A walk starts no more than that, so that it chooses the next request when its turn
    /// comes, not long before.
    fn has_room(&self) -> bool;
}

/// A request for one object, or for a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The object's repository.
    pub repository: Repository,
    /// The object.
    pub object: Object,
    /// How much of it is read.
    pub how: How,
    /// Only a connection opened after this may carry the request: behind a layer-4 balancer, an older one leads to the same
    /// replica again.
    pub opened_after: Option<Instant>,
}

/// An object by its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// `/v2/<name>/manifests/<reference>`
    Manifest(Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(Digest),
}

/// How much of an object is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Only the headers.
    Head,
    /// All of it; for manifests, which are small.
    Whole,
    /// The last of its `size` bytes: the cheapest proof that it is there to its end.
    LastByte {
        /// Length of the object in bytes, at least 1.
        size: u64,
    },
    /// All of its `size` bytes without a range, for a server that does not honour ranges: read to the end if that is at
    /// most `limits.unranged_bytes`, otherwise only begun.
    Unranged {
        /// Length of the object in bytes.
        size: u64,
    },
    /// All of a blob, to be hashed. It may take as long as bytes keep arriving.
    Content {
        /// Length of the object in bytes, if known; bytes beyond it are not read.
        size: Option<u64>,
    },
}

/// A response, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The method of the request.
    pub method: Method,
    /// HTTP status.
    pub status: u16,
    /// The code of the OCI error body; if it lists several, the one that denies access. `None` without such a body (a proxy's
    /// page, or HEAD).
    pub error_code: Option<String>,
    /// The code of an object store's error body (`<Code>ExpiredToken</Code>`). It does not prove that the registry answered.
    pub storage_code: Option<String>,
    /// The host that answered, if a redirect led to another origin.
    pub redirected_to: Option<Box<str>>,
    /// True if the response has `Retry-After`.
    pub has_retry_after: bool,
    /// `Docker-Content-Digest`, as received.
    pub content_digest: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Length`.
    pub content_length: Option<u64>,
    /// `Content-Range`, on 206 and 416.
    pub content_range: Option<ContentRange>,
    /// True if the body has a `Content-Encoding` that was not requested and is not decoded: neither its bytes nor its length
    /// are the object's.
    pub is_encoded: bool,
    /// What was read of the body.
    pub body: Body,
    /// True if only the end of the connection ends the body, so that a truncated body looks complete.
    pub ends_with_connection: bool,
    /// Number of exchanges, including this one: more than 1 after retries.
    pub exchanges: u32,
}

/// What was read of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body was not requested, or is an error's.
    Unread,
    /// All of it.
    Whole(Bytes),
    /// All of it, hashed as it arrived, because it is too long to be kept.
    Hashed {
        /// The digest of the bytes, in the requested digest's algorithm.
        digest: Digest,
        /// Length in bytes.
        length: u64,
    },
    /// The connection ended before the announced bytes had arrived.
    Cut {
        /// Bytes that arrived.
        received: u64,
    },
    /// The body is longer than the limit; the connection was dropped.
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
}

/// Why a request has no usable response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Trouble {
    /// The cause, as reported.
    pub cause: Cause,
    /// What happened. Free of URLs, credentials and other secrets.
    pub detail: String,
    /// True if the server received this request and delivered nothing usable. False if it was not reached, took too long, or
    /// something else failed, such as a token service: that is no evidence about the object.
    pub is_refusal: bool,
}

impl Trouble {
    /// An error that is no evidence about the object.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), is_refusal: false }
    }

    /// The end of the sweep's time, which stopped or prevented a request.
    fn sweep_timeout() -> Self {
        Self::new(Cause::Timeout, "not reached before sweep_timeout ended the sweep")
    }

    /// An error with which the server met this request.
    pub fn refusal(cause: Cause, detail: impl Into<String>) -> Self {
        Self { is_refusal: true, ..Self::new(cause, detail) }
    }
}

/// True if a retry may succeed: an outage passes, denied access hardly ever changes.
pub fn may_pass(cause: Cause) -> bool {
    !matches!(cause, Cause::Incomplete | Cause::Unauthorized | Cause::Protocol)
}

/// A paged list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(Repository),
}

/// The part of a list that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The names as received, without duplicates, in no order.
    pub names: Vec<String>,
    /// Whether that is all of it.
    pub end: ListEnd,
}

impl Listing {
    /// The names that could be read before the sweep's time ended.
    fn timed_out(names: Vec<String>) -> Self {
        Self { names, end: ListEnd::Incomplete(Trouble::sweep_timeout()) }
    }
}

/// Whether a list was read completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// The list is complete.
    Complete,
    /// The registry has no such list: the repository has no manifests, or was deleted.
    Absent,
    /// More names exist, or may exist, that could not be read.
    Incomplete(Trouble),
}

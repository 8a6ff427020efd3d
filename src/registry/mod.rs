//! The registry as a walk sees it, and the only HTTP client.
//!
//! A walk asks a [`Question`] through the [`Registry`] trait. What comes back is data: an [`Answer`], whatever its
//! status, or the [`Trouble`] that stood in for one. Nothing here judges.

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

/// A registry that can be asked. Implemented by the HTTP client, and by what wraps it.
pub trait Registry: Send + Sync {
    /// Asks for one object. Passing trouble has been retried when this returns.
    fn ask(&self, question: &Question) -> impl Future<Output = Result<Answer, Trouble>> + Send;

    /// Reads a list to its end, page by page.
    fn list(&self, list: &List) -> impl Future<Output = Listing> + Send;

    /// Reads a list until a deadline at the latest. The HTTP client keeps the names that it has read by then.
    fn list_until(&self, list: &List, deadline: Instant) -> impl Future<Output = Listing> + Send {
        async move { timeout_at(deadline, self.list(list)).await.unwrap_or_else(|_| Listing::timed_out(Vec::new())) }
    }

    /// Whether a question would be put soon. Who has many of them begins no more than there is room for, so that the one that
    /// comes first is chosen when its turn has come, and not long before.
    fn has_room(&self) -> bool;
}

/// What is asked about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it lies.
    pub repository: Repository,
    /// Which object.
    pub object: Object,
    /// How much of it.
    pub how: How,
    /// The connection that carries it was opened after this. Behind a balancer that hands on connections, a kept one leads
    /// to the same replica again.
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

/// How much of an object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The headers alone.
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
    /// All of a blob, however long, to be hashed. It may take as long as it keeps coming.
    Content {
        /// Length of the object in bytes, where it is known: what comes beyond is not read.
        size: Option<u64>,
    },
}

/// An answer that came, whatever it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The method that it answers.
    pub method: Method,
    /// HTTP status.
    pub status: u16,
    /// The code of an OCI error body, of several the one that refuses; `None` if the body was none (a proxy's page, or HEAD).
    pub error_code: Option<String>,
    /// The code of an error body as object storages write it (`<Code>ExpiredToken</Code>`): it signs nothing.
    pub storage_code: Option<String>,
    /// The host that answered, if a redirect led away from the registry's own.
    pub redirected_to: Option<Box<str>>,
    /// True if `Retry-After` came with it.
    pub has_retry_after: bool,
    /// `Docker-Content-Digest`, as it was written.
    pub content_digest: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Length`.
    pub content_length: Option<u64>,
    /// `Content-Range`, on 206 and 416.
    pub content_range: Option<ContentRange>,
    /// True if the body comes in a `Content-Encoding` that nobody asked for and that is not undone here: neither its bytes
    /// nor their number are the object's.
    pub is_encoded: bool,
    /// What was read of the body.
    pub body: Body,
    /// True if nothing but the end of the connection ends the body: then a truncated body looks complete.
    pub ends_with_connection: bool,
    /// Exchanges that were needed, counting this one: more than 1 if passing trouble was retried.
    pub exchanges: u32,
}

/// What was read of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// It was not asked for, or is an error's.
    Unread,
    /// All of it.
    Whole(Bytes),
    /// All of it, hashed as it came since it is too long to be kept.
    Hashed {
        /// What the bytes hash to, in the algorithm of the digest that was asked for.
        digest: Digest,
        /// How many there were.
        length: u64,
    },
    /// The connection ended before everything that was promised had come.
    Cut {
        /// Bytes that came.
        received: u64,
    },
    /// It is longer than what may be read; the connection was dropped.
    TooLong {
        /// How much may be read, in bytes.
        limit: u64,
    },
}

/// No answer, or none that HTTP allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Trouble {
    /// What it is, as the report says it.
    pub cause: Cause,
    /// What was seen. Free of URLs, credentials and anything else that is secret.
    pub detail: String,
    /// True if the server took this very request and delivered nothing that can be used. False if it was not reached, took
    /// too long, or something else failed, such as a token service: that says nothing of the object.
    pub is_refusal: bool,
}

impl Trouble {
    /// Trouble of a cause.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), is_refusal: false }
    }

    /// The end of the sweep's time, which stopped or prevented a request.
    fn sweep_timeout() -> Self {
        Self::new(Cause::Timeout, "not reached before sweep_timeout ended the sweep")
    }

    /// Trouble with which the server met this very request.
    pub fn refusal(cause: Cause, detail: impl Into<String>) -> Self {
        Self { is_refusal: true, ..Self::new(cause, detail) }
    }
}

/// True for what may be over when it is asked again: an outage passes, a refusal hardly ever does.
pub fn may_pass(cause: Cause) -> bool {
    !matches!(cause, Cause::Incomplete | Cause::Unauthorized | Cause::Protocol)
}

/// A list that a registry pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(Repository),
}

/// What could be read of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The names, as the registry wrote them, each once, in no order.
    pub names: Vec<String>,
    /// How the reading ended.
    pub end: ListEnd,
}

impl Listing {
    /// The names that could be read before the sweep's time ended.
    fn timed_out(names: Vec<String>) -> Self {
        Self { names, end: ListEnd::Incomplete(Trouble::sweep_timeout()) }
    }
}

/// How the reading of a list ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// The list is whole.
    Complete,
    /// The registry says that there is no such list: a repository without manifests, or one that is gone.
    Absent,
    /// There is more, or may be, that could not be read.
    Incomplete(Trouble),
}

//! The requests that a walk needs, before they are sent.

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, RANGE};
use tokio::time::Instant;
use url::Url;

use super::auth::schemes::Scope;
use super::body::Wanted;
use super::{How, List, Method, Object, Question, Trouble};
use crate::config::Limits;
use crate::oci::{MANIFEST_ACCEPT, Repository};
use crate::report::Cause;

/// A blob of unknown length is not hashed beyond this, in bytes.
const UNSIZED_LIMIT: u64 = 64 * 1024 * 1024 * 1024;

/// What a request is for. A registry that fails for one kind may serve the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Catalog,
    Tags,
    Manifest,
    Blob,
}

impl Kind {
    pub const COUNT: usize = 4;
}

/// One request, before it is sent.
pub struct Request {
    pub kind: Kind,
    pub method: Method,
    pub url: Url,
    accept: HeaderValue,
    accept_encoding: HeaderValue,
    range: Option<HeaderValue>,
    /// What a token is requested for.
    pub scope: Scope,
    /// What is read of a successful body.
    pub wanted: Wanted,
    /// True for a request of the background, which takes the permit that sweeps leave free.
    pub is_background: bool,
    /// The connection that carries it was opened after this.
    pub opened_after: Option<Instant>,
}

impl Request {
    /// True if all of a blob is requested, however long it takes.
    pub fn is_of_content(&self) -> bool {
        matches!(self.wanted, Wanted::Content(..))
    }

    /// The same for the background hasher.
    pub fn in_background(self) -> Self {
        Self { is_background: true, ..self }
    }

    /// The request as it is sent to its own URL, or to where a redirect leads.
    pub fn to(&self, url: &Url, authorization: Option<&HeaderValue>) -> reqwest::Request {
        let method = match self.method {
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
        };
        let mut request = reqwest::Request::new(method, url.clone());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, self.accept.clone());
        headers.insert(ACCEPT_ENCODING, self.accept_encoding.clone());
        headers.extend(self.range.clone().map(|range| (RANGE, range)));
        headers.extend(authorization.cloned().map(|authorization| (AUTHORIZATION, authorization)));
        request
    }
}

/// Makes the requests to one registry.
pub struct Requests {
    base: Url,
    /// The path up to `/v2/`, including it.
    prefix: String,
    limits: Limits,
}

impl Requests {
    /// Requests to the registry at a URL, which may have a path but no credentials.
    ///
    /// # Errors
    ///
    /// [`Trouble`] if the URL has no host.
    pub fn new(base: &Url, limits: Limits) -> Result<Self, Trouble> {
        let mut base = base.clone();
        let invalid = || Trouble::new(Cause::Protocol, "not a valid URL");
        if base.host_str().is_none_or(str::is_empty) {
            return Err(invalid());
        }
        base.set_username("").map_err(|()| invalid())?;
        base.set_password(None).map_err(|()| invalid())?;
        base.set_fragment(None);
        base.set_query(None);
        let prefix = format!("{}/v2/", base.path().trim_end_matches('/'));
        Ok(Self { base, prefix, limits })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&[&self.prefix, path].concat());
        url
    }

    /// A page of a list; `query` without its question mark.
    pub fn page(&self, list: &List, query: &str) -> Request {
        let (kind, path, scope) = match list {
            List::Catalog => (Kind::Catalog, "_catalog".to_string(), Scope::Catalog),
            List::Tags(repository) => (Kind::Tags, format!("{repository}/tags/list"), Scope::Pull(repository.clone())),
        };
        let mut url = self.url(&path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        self.json(kind, url, scope, Wanted::All(self.limits.list_page_bytes))
    }

    /// `GET /v2/`, whose challenge shows how the registry authenticates.
    pub fn base(&self) -> Request {
        self.json(Kind::Catalog, self.url(""), Scope::Catalog, Wanted::Nothing)
    }

    fn json(&self, kind: Kind, url: Url, scope: Scope, wanted: Wanted) -> Request {
        Request {
            kind,
            method: Method::Get,
            url,
            accept: HeaderValue::from_static("application/json"),
            accept_encoding: HeaderValue::from_static("gzip"),
            range: None,
            scope,
            wanted,
            is_background: false,
            opened_after: None,
        }
    }

    /// An object, or as much of it as the question needs.
    pub fn object(&self, question: &Question, method: Method) -> Request {
        let Question { repository, object, how, opened_after } = question;
        let path = |endpoint: &str, reference: &str| self.url(&[&**repository, endpoint, reference].concat());
        let mut request = Request {
            kind: Kind::Manifest,
            method,
            url: match object {
                Object::Manifest(reference) => path("/manifests/", &reference.to_string()),
                Object::Blob(digest) => path("/blobs/", &digest.to_string()),
            },
            accept: HeaderValue::from_static(MANIFEST_ACCEPT),
            // A compressing proxy would drop Content-Length and serve ranges of something else.
            accept_encoding: HeaderValue::from_static("identity"),
            range: None,
            scope: Scope::Pull(Repository::clone(repository)),
            wanted: Wanted::All(self.limits.manifest_bytes),
            is_background: false,
            opened_after: *opened_after,
        };
        if let Object::Blob(digest) = object {
            let algorithm = digest.algorithm();
            let (range, wanted) = match *how {
                How::LastByte { size } => {
                    (Some(format!("bytes={0}-{0}", size.saturating_sub(1))), Wanted::Part(Some(size), algorithm))
                }
                How::Head | How::Whole => (Some("bytes=0-0".to_string()), Wanted::Part(None, algorithm)),
                How::Unranged { size } => (None, Wanted::Part(Some(size), algorithm)),
                How::Content { size } => (None, Wanted::Content(size.unwrap_or(UNSIZED_LIMIT), algorithm)),
            };
            request.kind = Kind::Blob;
            request.accept = HeaderValue::from_static("*/*");
            request.range = range.filter(|_| method == Method::Get).and_then(|range| range.parse().ok());
            request.wanted = wanted;
        }
        if method == Method::Head {
            request.wanted = Wanted::Nothing;
        }
        request
    }
}

//! The HTTP client of one registry: authorization, redirects, retries, and the gate that keeps it gentle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Uri;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RANGE, RETRY_AFTER,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http_body_util::Full;
use tokio::time::error::Elapsed;
use tokio::time::timeout_at;
use url::Url;

use super::auth::Authenticator;
use super::auth::requests::Requests;
use super::auth::schemes::Scope;
use super::body::{Reading, Room, Wanted};
use super::connect::Proxies;
use super::connections::Sent;
use super::error_body::{error_code, storage_code};
use super::headers::{ContentRange, retry_after};
use super::list::PageSizes;
use super::pacing::breaker::Standing;
use super::pacing::budget::Budget;
use super::pacing::gate::{Gate, Outcome};
use super::tls::{self, TlsError};
use super::transport::{Response, Settings, Transport, uri_of};
use super::{Answer, Body, Code, How, List, Listing, Method, Object, Question, Registry, Traffic, Trouble, body, list};
use crate::config::{Limits, Mode, ProxyUrl, Target};
use crate::oci::{MANIFEST_ACCEPT, Repository};
use crate::report::Cause;

/// A blob whose length nobody told is not hashed beyond this, in bytes.
const UNSIZED_LIMIT: u64 = 64 * 1024 * 1024 * 1024;
/// Headers that a request has at most.
const HEADERS: usize = 8;
/// Before the first retry; doubled before each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// A registry behind HTTP.
pub struct HttpRegistry {
    transport: Transport,
    base: Url,
    origin: Origin,
    authenticator: Authenticator,
    gate: Gate,
    /// True if one request less is in flight than may be, so that a blob can be hashed meanwhile.
    has_place_beside: bool,
    budget: Budget,
    pub(super) request_timeout: Duration,
    limits: Limits,
    pub(super) traffic: Arc<Traffic>,
    /// Endpoints where HEAD was refused although GET is served: manifests, blobs.
    head_refused: [AtomicBool; 2],
    /// False for a cache, which a GET would make download what it does not hold.
    get_instead_of_head: bool,
    pub(super) room: Room,
    standings: [Standing; Kind::COUNT],
    page_sizes: PageSizes,
    /// Of each kind, what was served last: asked again before the kind is given up.
    witnesses: [Mutex<Option<Arc<Request>>>; Kind::COUNT],
    /// Held while a witness is asked.
    in_doubt: tokio::sync::Mutex<()>,
    /// True once anything was answered.
    has_answered: AtomicBool,
}

/// A client that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS settings are unusable.
    #[error("registry {registry}: {source}")]
    Tls {
        /// The registry's name.
        registry: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The registry's URL or the proxy's is none that requests can be sent to.
    #[error("registry {registry}: {reason}")]
    Http {
        /// The registry's name.
        registry: String,
        /// What is wrong, without any password.
        reason: String,
    },
}

/// What a request is for. A registry in trouble with one of these may be well with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Catalog,
    Tags,
    Manifest,
    Blob,
}

impl Kind {
    const COUNT: usize = 4;
}

/// One request, before it is sent.
pub(super) struct Request {
    kind: Kind,
    method: Method,
    uri: Uri,
    accept: HeaderValue,
    accept_encoding: HeaderValue,
    range: Option<HeaderValue>,
    /// What a token is asked for.
    scope: Scope,
    /// What is read of a successful body.
    wanted: Wanted,
    /// True if it is not a sweep's, and takes the place that sweeps leave free.
    beside: bool,
    /// The connection that carries it was opened after this.
    opened_after: Option<tokio::time::Instant>,
}

/// What all URLs of a registry begin with, in the parts that a request is made of: putting them together anew costs less
/// than to parse a text, for every request.
struct Origin {
    scheme: Scheme,
    authority: Authority,
    /// Up to `/v2/` and with it.
    prefix: String,
}

impl Origin {
    fn of(base: &Url) -> Result<Self, Trouble> {
        let uri = uri_of(base)?;
        let nowhere = || Trouble::new(Cause::Protocol, "the registry's URL names no host");
        let parts = uri.into_parts();
        let (scheme, authority) = parts.scheme.zip(parts.authority).ok_or_else(nowhere)?;
        let prefix = format!("{}/v2/", base.path().trim_end_matches('/'));
        Ok(Self { scheme, authority, prefix })
    }

    /// Names and digests being legal, they stand in a URL as they are.
    fn uri(&self, repository: &Repository, endpoint: &str, reference: &str) -> Result<Uri, Trouble> {
        let path = [&self.prefix, &**repository, endpoint, reference].concat();
        let unusable = |_: http::Error| Trouble::new(Cause::Protocol, "a URL that cannot be asked for");
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path)).map_err(|error| unusable(error.into()))?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|error| unusable(error.into()))
    }
}

/// An answer's headers beside it, for what only lists need of them. Handed on in a place of its own, as [`Response`] is.
pub(super) struct Exchanged {
    pub answer: Answer,
    pub headers: HeaderMap,
}

impl Request {
    /// True if all of a blob is asked for, however long it takes.
    fn is_of_content(&self) -> bool {
        matches!(self.wanted, Wanted::Content(..))
    }

    /// As it is sent to where it belongs, or to where a redirect leads.
    fn sent_to(&self, uri: &Uri, authorization: Option<&HeaderValue>) -> Sent {
        let mut request = http::Request::new(Full::default());
        *request.method_mut() = match self.method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
        };
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(ACCEPT, self.accept.clone());
        headers.insert(ACCEPT_ENCODING, self.accept_encoding.clone());
        headers.extend(self.range.clone().map(|range| (RANGE, range)));
        headers.extend(authorization.cloned().map(|authorization| (AUTHORIZATION, authorization)));
        request
    }
}

impl HttpRegistry {
    /// A client for a registry; its requests are counted in `traffic`.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the TLS files cannot be read, or the proxy's URL is of no use.
    pub fn new(target: &Target, traffic: Arc<Traffic>) -> Result<Self, ClientError> {
        let tls = tls::client_config(&target.tls)
            .map_err(|source| ClientError::Tls { registry: target.name.clone(), source })?;
        let unusable = |reason: String| ClientError::Http { registry: target.name.clone(), reason };
        let origin = Origin::of(&target.url).map_err(|trouble| unusable(trouble.to_string()))?;
        let proxies = Proxies::new(target.proxy_url.as_ref().map(ProxyUrl::expose));
        let transport = Transport::new(Settings {
            tls,
            proxies: proxies.ok_or_else(|| unusable("proxy_url cannot be used as a proxy".to_string()))?,
            request_timeout: target.request_timeout,
            connections: target.concurrency,
            response_headers: target.limits.response_headers,
        });
        let hashes_in_turn = target.evidence.content.is_some_and(|period| !period.is_zero());
        let has_place_beside = hashes_in_turn && target.concurrency > 1;
        let gate = Gate::new(target.concurrency - usize::from(has_place_beside), target.rate_limit);
        traffic.set_concurrency(gate.limit());
        Ok(Self {
            transport,
            base: target.url.clone(),
            origin,
            authenticator: Authenticator::new(target.credentials.clone(), target.url.clone()),
            gate,
            has_place_beside,
            budget: Budget::new(target.evidence.content_budget),
            request_timeout: target.request_timeout,
            limits: target.limits,
            traffic,
            head_refused: Default::default(),
            get_instead_of_head: target.mode == Mode::Authoritative,
            room: Room::default(),
            standings: Default::default(),
            page_sizes: PageSizes::default(),
            witnesses: Default::default(),
            in_doubt: tokio::sync::Mutex::default(),
            has_answered: AtomicBool::new(false),
        })
    }

    /// What the registry may cost at most.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How the registry pages, as its lists have shown so far.
    pub(super) fn page_sizes(&self) -> &PageSizes {
        &self.page_sizes
    }

    /// Uses the whole concurrency from the first request on: for somebody who waits for a few objects.
    pub fn hurry(&self) {
        self.gate.open_wide();
        self.traffic.set_concurrency(self.gate.limit());
    }

    /// Paces what is asked from now on: requests a second at most; `None`: as fast as concurrency allows.
    pub fn set_rate(&self, rate: Option<f64>) {
        self.gate.set_rate(rate);
    }

    /// A request for a page of a list; `query` without its question mark.
    pub(super) fn list_request(&self, list: &List, query: &str) -> Result<Arc<Request>, Trouble> {
        let (kind, path, scope) = match list {
            List::Catalog => (Kind::Catalog, "_catalog".to_string(), Scope::Catalog),
            List::Tags(repository) => (Kind::Tags, format!("{repository}/tags/list"), Scope::Pull(repository.clone())),
        };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.origin.prefix));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        Ok(Arc::new(Request {
            kind,
            method: Method::Get,
            uri: uri_of(&url)?,
            accept: HeaderValue::from_static("application/json"),
            accept_encoding: HeaderValue::from_static("gzip"),
            range: None,
            scope,
            wanted: Wanted::All(self.limits.list_page_bytes),
            beside: false,
            opened_after: None,
        }))
    }

    /// `GET /v2/`, which shows what the registry asks for.
    pub(super) fn base_request(&self) -> Result<Request, Trouble> {
        let mut url = self.base.clone();
        url.set_path(&self.origin.prefix);
        Ok(Request {
            kind: Kind::Catalog,
            method: Method::Get,
            uri: uri_of(&url)?,
            accept: HeaderValue::from_static("application/json"),
            accept_encoding: HeaderValue::from_static("gzip"),
            range: None,
            scope: Scope::Catalog,
            wanted: Wanted::Nothing,
            beside: false,
            opened_after: None,
        })
    }

    fn object_request(&self, question: &Question, method: Method) -> Result<Request, Trouble> {
        let Question { repository, object, how, opened_after } = question;
        let mut request = Request {
            kind: Kind::Manifest,
            method,
            uri: match object {
                Object::Manifest(reference) => self.origin.uri(repository, "/manifests/", &reference.to_string())?,
                Object::Blob(digest) => self.origin.uri(repository, "/blobs/", &digest.to_string())?,
            },
            accept: HeaderValue::from_static(MANIFEST_ACCEPT),
            // A compressing proxy would drop Content-Length and answer ranges of something else.
            accept_encoding: HeaderValue::from_static("identity"),
            range: None,
            scope: Scope::Pull(repository.clone()),
            wanted: Wanted::All(self.limits.manifest_bytes),
            beside: false,
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
        Ok(request)
    }

    async fn ask_by(&self, question: &Question, method: Method) -> Result<Answer, Trouble> {
        self.persist(&Arc::new(self.object_request(question, method)?)).await.map(|exchanged| exchanged.answer)
    }

    /// Before a kind of question is given up, what was served before is asked for again: if it still is, only a part of
    /// the registry is in trouble, or not ours to read. Gives the trouble to answer with, if the kind is given up.
    async fn given_up(&self, kind: Kind) -> Option<Trouble> {
        let standing = &self.standings[kind as usize];
        let is_in_doubt = || standing.is_in_doubt(self.has_answered.load(Ordering::Relaxed));
        if is_in_doubt() {
            let _alone = self.in_doubt.lock().await;
            if is_in_doubt() {
                let witness = self.witnesses[kind as usize].lock().unwrap_or_else(PoisonError::into_inner).clone();
                standing.decide(match witness {
                    None => false,
                    Some(request) => {
                        // What is rare has a place of its own, so that what every request carries with it stays small.
                        let result = Box::pin(self.exchange(&request)).await;
                        result.is_ok_and(|exchanged| exchanged.answer.trouble().is_none())
                    }
                });
            }
        }
        standing.given_up()
    }

    /// Notes how a question ended.
    fn note(&self, request: &Arc<Request>, result: &Result<Box<Exchanged>, Trouble>, trouble: Option<&Trouble>) {
        self.standings[request.kind as usize].note(trouble);
        if trouble.is_none() {
            self.has_answered.store(true, Ordering::Relaxed);
        }
        // What was hashed would cost as much again.
        if !request.is_of_content()
            && result.as_ref().is_ok_and(|exchanged| (200..300).contains(&exchanged.answer.status))
        {
            let mut witness = self.witnesses[request.kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
            *witness = Some(Arc::clone(request));
        }
    }

    /// Sends a request until it is answered, or passing trouble has been retried enough.
    pub(super) async fn persist(&self, request: &Arc<Request>) -> Result<Box<Exchanged>, Trouble> {
        if let Some(trouble) = self.given_up(request.kind).await {
            return Err(trouble);
        }
        let budget = self.limits.retries;
        let mut spent = 0;
        let mut exchanges = 0;
        loop {
            exchanges += 1;
            let result = self.exchange(request).await;
            let trouble = match &result {
                Ok(exchanged) => exchanged.answer.trouble(),
                Err(trouble) => Some(trouble.clone()),
            };
            // What is not implemented does not pass, other than the rest of 5xx.
            let is_lasting = result.as_ref().is_ok_and(|exchanged| exchanged.answer.status == 501);
            let cost = |trouble: &Trouble| if is_lasting { budget } else { retry_cost(trouble.cause, budget) };
            match trouble.as_ref().map(cost) {
                Some(cost) if spent < budget => spent += cost,
                _ => {
                    self.note(request, &result, trouble.as_ref());
                    return result.map(|mut exchanged| {
                        exchanged.answer.exchanges = exchanges;
                        exchanged
                    });
                }
            }
            let backoff = FIRST_BACKOFF * 2u32.saturating_pow(exchanges - 1);
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    /// One exchange: authorized, redirected, its body read.
    async fn exchange(&self, request: &Request) -> Result<Box<Exchanged>, Trouble> {
        // A blob may take hours: no question of a sweep waits for that, unless only one may be under way.
        let permit = if request.beside && self.has_place_beside {
            self.gate.enter_beside().await
        } else {
            self.gate.enter().await
        };
        let result = self.in_time(request).await;
        let outcome = match &result {
            Ok(exchanged) => match exchanged.answer.status {
                _ if exchanged.answer.is_throttled() => Outcome::Throttled,
                500.. => Outcome::Struggled,
                _ => Outcome::Answered,
            },
            Err(trouble) => match trouble.cause {
                Cause::RateLimited => Outcome::Throttled,
                Cause::Incomplete | Cause::Unauthorized | Cause::Protocol => Outcome::Answered,
                Cause::Unreachable | Cause::Timeout | Cause::ServerError => Outcome::Struggled,
            },
        };
        let was_long = result.as_ref().is_ok_and(|exchanged| matches!(exchanged.answer.body, Body::Hashed { .. }));
        if (request.is_of_content() || was_long) && outcome == Outcome::Answered {
            // How long a blob takes says how long it is, not how busy the registry is.
            drop(permit);
        } else {
            permit.done(outcome);
            self.traffic.set_concurrency(self.gate.limit());
        }
        if let Ok(exchanged) = &result
            && (exchanged.answer.status == 503 || exchanged.answer.is_throttled())
            && let Some(wait) = header(&exchanged.headers, &RETRY_AFTER)
            && let Some(wait) = retry_after(wait, SystemTime::now())
        {
            self.gate.pause(wait);
        }
        result
    }

    /// The whole exchange within the request's time, or all but a body that is hashed: that may take as long as it comes.
    async fn in_time(&self, request: &Request) -> Result<Box<Exchanged>, Trouble> {
        self.authenticator.introduce(&request.scope, &Requests(self)).await?;
        let deadline = tokio::time::Instant::now() + self.request_timeout;
        let late = |_: Elapsed| {
            let took = humantime::format_duration(self.request_timeout);
            Trouble::new(Cause::Timeout, format!("{} had no whole answer in {took}", request.method.as_str()))
        };
        let response = timeout_at(deadline, self.authorized(request)).await.map_err(late)??;
        let length = number(&response.headers, &http::header::CONTENT_LENGTH);
        let reading = request.wanted.reading(length, self.limits.unranged_bytes);
        if reading.is_some_and(|reading| reading.is_long) {
            return self.read(request, reading, response).await;
        }
        timeout_at(deadline, self.read(request, reading, response)).await.map_err(late)?
    }

    async fn authorized(&self, request: &Request) -> Result<Box<Response>, Trouble> {
        let requests = Requests(self);
        let authorization = self.authenticator.authorize(&request.scope, &requests).await?;
        let response = self.redirected(request, authorization.as_ref()).await?;
        // A challenge of another host, to which a redirect led, is not the registry's to answer.
        if response.status == 401
            && response.redirected_to.is_none()
            && let Some(other) =
                self.authenticator.answer(&response.headers, &request.scope, authorization.as_ref(), &requests).await?
        {
            drop(response);
            let response = self.redirected(request, Some(&other)).await?;
            self.note_accepted(request, &response, Some(&other));
            return Ok(response);
        }
        self.note_accepted(request, &response, authorization.as_ref());
        Ok(response)
    }

    fn note_accepted(&self, request: &Request, response: &Response, authorization: Option<&HeaderValue>) {
        if let Some(authorization) = authorization.filter(|_| response.status != 401 && response.status < 500) {
            self.authenticator.accepted(&request.scope, authorization);
        }
    }

    /// The answer of where a request, or a redirect, led to.
    pub(super) async fn redirected(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<Box<Response>, Trouble> {
        let response = self.send(request, &request.uri, authorization).await?;
        if is_redirect(&response) {
            return Box::pin(self.follow(request, authorization, response)).await;
        }
        Ok(response)
    }

    /// Follows redirects by hand: no credential crosses to another host or port, and nothing goes from https to http.
    async fn follow(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
        mut response: Box<Response>,
    ) -> Result<Box<Response>, Trouble> {
        let refusal = |detail: String| Trouble::refusal(Cause::Protocol, detail);
        let first = Url::parse(&request.uri.to_string())
            .map_err(|_| Trouble::new(Cause::Protocol, "a URL that cannot be asked for"))?;
        let method = request.method.as_str();
        let mut url = first.clone();
        for _ in 0..self.limits.redirects {
            let Response { status, redirected_to, .. } = &*response;
            let by = redirected_to.as_deref().map(|host| format!(" from {host}")).unwrap_or_default();
            let target = header(&response.headers, &LOCATION)
                .and_then(|location| url.join(location).ok())
                .filter(|target| matches!(target.scheme(), "http" | "https") && target.has_host())
                .ok_or_else(|| refusal(format!("{method} {status}{by}: a redirect leads nowhere")))?;
            if url.scheme() == "https" && target.scheme() == "http" {
                return Err(refusal(format!("{method} {status}{by}: a redirect leads from https to http")));
            }
            url = target;
            let is_the_registry_s = url.origin() == first.origin();
            let authorization = authorization.filter(|_| is_the_registry_s);
            let uri = uri_of(&url)?;
            response = self.send(request, &uri, authorization).await?;
            response.redirected_to = uri.authority().filter(|_| !is_the_registry_s).map(|it| it.as_str().into());
            if !is_redirect(&response) {
                return Ok(response);
            }
        }
        Err(refusal(format!("{method} was answered by more than {} redirects", self.limits.redirects)))
    }

    async fn send(
        &self,
        request: &Request,
        uri: &Uri,
        authorization: Option<&HeaderValue>,
    ) -> Result<Box<Response>, Trouble> {
        self.send_counted(uri, request.opened_after, request.method, || request.sent_to(uri, authorization)).await
    }

    pub(super) async fn send_counted(
        &self,
        uri: &Uri,
        opened_after: Option<tokio::time::Instant>,
        method: Method,
        request: impl Fn() -> Sent + Send,
    ) -> Result<Box<Response>, Trouble> {
        let counted = CountedExchange { traffic: &self.traffic, method, began: Instant::now(), code: Code::Timeout };
        let result = self.transport.send(uri, opened_after, request).await;
        counted.ended(match &result {
            Ok(response) => Code::of_status(response.status),
            Err(trouble) => code_of(trouble),
        });
        result
    }

    async fn read(
        &self,
        request: &Request,
        reading: Option<Reading>,
        response: Box<Response>,
    ) -> Result<Box<Exchanged>, Trouble> {
        let Response { status, headers, mut payload, redirected_to } = *response;
        let content_length = number(&headers, &http::header::CONTENT_LENGTH);
        let mut answer = Answer {
            method: request.method,
            status,
            error_code: None,
            storage_code: None,
            redirected_to,
            has_retry_after: headers.contains_key(RETRY_AFTER),
            content_digest: header(&headers, &HeaderName::from_static("docker-content-digest")).map(str::to_string),
            content_type: header(&headers, &CONTENT_TYPE).map(str::to_string),
            content_length,
            content_range: header(&headers, &http::header::CONTENT_RANGE).and_then(ContentRange::parse),
            is_encoded: header(&headers, &CONTENT_ENCODING).is_some_and(|it| !it.eq_ignore_ascii_case("identity")),
            body: Body::Unread,
            ends_with_connection: payload.ends_with_connection(),
            exchanges: 1,
        };
        match reading {
            Some(Reading { limit, hashed, .. }) if (200..300).contains(&status) => {
                // Of a part that turns out to be longer the beginning is read, which may not come.
                let too_long =
                    !matches!(request.wanted, Wanted::Part(..)) && content_length.is_some_and(|length| length > limit);
                let budget = request.is_of_content().then_some(&self.budget);
                answer.body = match hashed {
                    _ if too_long => Body::TooLong { limit },
                    Some(algorithm) => {
                        body::hash(&mut payload, algorithm, limit, self.request_timeout, budget, &self.traffic).await?
                    }
                    None => body::read(&mut payload, limit, &self.room, &self.traffic).await?,
                };
                // A page of a list that is cut proves nothing, and is asked for again.
                if matches!((request.kind, &answer.body), (Kind::Catalog | Kind::Tags, Body::Cut { .. })) {
                    return Err(Trouble::new(Cause::Unreachable, "the connection ended within a page"));
                }
            }
            Some(_) => {
                let error = body::read_error(&mut payload, &self.traffic).await;
                answer.error_code = error_code(&error);
                answer.storage_code = storage_code(&error);
            }
            None => {}
        }
        Ok(Box::new(Exchanged { answer, headers }))
    }
}

impl Registry for HttpRegistry {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        let refused = &self.head_refused[usize::from(matches!(question.object, Object::Blob(_)))];
        if question.how != How::Head || refused.load(Ordering::Relaxed) {
            return self.ask_by(question, Method::Get).await;
        }
        let head = self.ask_by(question, Method::Head).await?;
        if !self.get_instead_of_head || !head.leaves_get_open() {
            return Ok(head);
        }
        let get = self.ask_by(question, Method::Get).await?;
        // What refuses one HEAD for its form may serve the next one.
        if (200..300).contains(&get.status) && matches!(head.status, 403 | 405 | 501) {
            refused.store(true, Ordering::Relaxed);
        }
        Ok(Answer { exchanges: head.exchanges + get.exchanges, ..get })
    }

    async fn list(&self, list: &List) -> Listing {
        list::read(self, list).await
    }

    fn has_room(&self) -> bool {
        self.gate.has_room()
    }
}

/// The same registry, asked beside its sweeps: one question at a time, to hash a blob.
pub struct Beside(pub Arc<HttpRegistry>);

impl Registry for Beside {
    async fn ask(&self, question: &Question) -> Result<Answer, Trouble> {
        let request = Request { beside: true, ..self.0.object_request(question, Method::Get)? };
        self.0.persist(&Arc::new(request)).await.map(|exchanged| exchanged.answer)
    }

    async fn list(&self, list: &List) -> Listing {
        self.0.list(list).await
    }

    fn has_room(&self) -> bool {
        self.0.has_room()
    }
}

/// Counts an exchange also if it is dropped halfway, when the request's time is over.
struct CountedExchange<'a> {
    traffic: &'a Traffic,
    method: Method,
    began: Instant,
    code: Code,
}

impl CountedExchange<'_> {
    fn ended(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for CountedExchange<'_> {
    fn drop(&mut self) {
        self.traffic.count(self.method, self.code, self.began.elapsed());
    }
}

/// How an exchange is counted that brought no answer.
pub(super) fn code_of(trouble: &Trouble) -> Code {
    match trouble.cause {
        Cause::Timeout => Code::Timeout,
        Cause::Protocol => Code::Protocol,
        _ => Code::Unreachable,
    }
}

/// What one retry after this costs of the retries that there may be: all of them for what passes, half of them for what
/// takes long to fail, one for what hardly ever passes.
fn retry_cost(cause: Cause, budget: u32) -> u32 {
    match cause {
        Cause::Unreachable | Cause::RateLimited | Cause::ServerError => 1,
        Cause::Timeout => 2,
        Cause::Incomplete | Cause::Unauthorized | Cause::Protocol => budget,
    }
}

fn is_redirect(response: &Response) -> bool {
    matches!(response.status, 301 | 302 | 303 | 307 | 308)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    header(headers, name)?.trim().parse().ok()
}

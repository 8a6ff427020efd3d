//! Hand-written HTTP/1.1, because HTTP libraries refuse to send the invalid responses that faults require.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::paging::Paging;
use super::route::Route;

const REQUEST_HEAD_LIMIT: usize = 64 * 1024;
const REQUEST_HEADERS_LIMIT: usize = 100;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The endpoint of the path.
    pub route: Route,
    /// How a requested list is paged.
    pub(super) paging: Box<Paging>,
}

impl Request {
    /// True if the response must not have a body.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// True if the connection must be closed after the response.
    pub fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// A query parameter.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).next()
    }

    /// A query parameter that may be repeated.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        url::form_urlencoded::parse(self.query.as_bytes())
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// A response, and how it is sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers in order; `Content-Length` is added if absent.
    pub headers: Vec<(String, String)>,
    /// The body; not sent to HEAD.
    pub body: Body,
    /// Delay before it is sent.
    pub delay: Duration,
    /// Where and how the connection breaks, if at all.
    pub breaks: Option<(BreakPoint, Break)>,
}

/// The body of a response.
#[derive(Clone, Debug)]
pub struct Body {
    /// The content, repeated if endless.
    pub bytes: Bytes,
    /// Whether the body never ends.
    pub endless: bool,
    /// Whether the length is undeclared, so that the body ends with the connection.
    pub undeclared: bool,
    /// Pause between two bytes.
    pub pause: Option<Duration>,
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakPoint {
    /// Before the response.
    BeforeAnswer,
    /// After this many bytes of the body. Responses to HEAD are not affected.
    InBody(usize),
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more is sent until the client disconnects.
    Hang,
}

impl Answer {
    /// A response without a body.
    pub fn new(status: u16) -> Self {
        let body = Body { bytes: Bytes::new(), endless: false, undeclared: false, pause: None };
        Self { status, headers: Vec::new(), body, delay: Duration::ZERO, breaks: None }
    }

    /// Sets a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set_header(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body.bytes = bytes.into();
        self
    }

    /// Sets a header and replaces one of the same name.
    pub fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.remove_header(name);
        self.headers.push((name.to_string(), value.into()));
    }

    /// Removes a header.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(candidate, _)| !candidate.eq_ignore_ascii_case(name));
    }

    /// A header's value.
    pub fn get_header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// True if nothing is sent.
    pub fn is_silent(&self) -> bool {
        matches!(self.breaks, Some((BreakPoint::BeforeAnswer, _)))
    }

    fn head(&self) -> Bytes {
        let reason = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason.unwrap_or("Unknown"));
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if self.get_header("Content-Length").is_none() && !self.body.endless && !self.body.undeclared {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.bytes.len()));
        }
        head.push_str("\r\n");
        head.into()
    }

    /// True if the client can detect the end of the body, so that the connection can be reused.
    fn is_self_delimiting(&self) -> bool {
        !self.body.endless
            && !self.body.undeclared
            && self.get_header("Content-Length").is_none_or(|length| length == self.body.bytes.len().to_string())
    }
}

/// A client connection.
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
}

impl Connection {
    /// Wraps an accepted stream.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    /// The next request; `None` if the client has disconnected or the request is invalid.
    ///
    /// # Errors
    ///
    /// Socket errors.
    pub async fn read_request(&mut self) -> io::Result<Option<Request>> {
        loop {
            match parse_request(&self.received) {
                Parsed::Request { request, head_length, body_length } => {
                    self.received.advance(head_length);
                    return Ok(self.skip(body_length).await?.then_some(request));
                }
                Parsed::Incomplete if self.received.len() < REQUEST_HEAD_LIMIT => {
                    if self.stream.read_buf(&mut self.received).await? == 0 {
                        return Ok(None);
                    }
                }
                Parsed::Incomplete | Parsed::Invalid => return Ok(None),
            }
        }
    }

    /// Skips a request body, because the registry is read-only.
    async fn skip(&mut self, mut length: usize) -> io::Result<bool> {
        while length > self.received.len() {
            length -= self.received.len();
            self.received.clear();
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(false);
            }
        }
        self.received.advance(length);
        Ok(true)
    }

    /// Sends a response; returns the connection if it can be reused.
    ///
    /// # Errors
    ///
    /// Socket errors, for example if the client has disconnected.
    pub async fn send(mut self, answer: &Answer, is_head: bool) -> io::Result<Option<Self>> {
        let body_limit = match answer.breaks {
            Some((BreakPoint::BeforeAnswer, how)) => return self.end(how).await,
            Some((BreakPoint::InBody(limit), _)) => Some(limit),
            None => None,
        };
        let head = answer.head();
        if is_head {
            self.stream.write_all(&head).await?;
            return Ok(Some(self));
        }
        let body = &answer.body;
        let sent = body.bytes.slice(..body_limit.unwrap_or(usize::MAX).min(body.bytes.len()));
        if let Some(pause) = body.pause {
            self.stream.write_all(&head).await?;
            for byte in sent.chunks(1) {
                self.stream.write_all(byte).await?;
                tokio::time::sleep(pause).await;
            }
        } else {
            self.stream.write_all_buf(&mut head.chain(sent)).await?;
        }
        match answer.breaks {
            Some((BreakPoint::InBody(_), how)) => return self.end(how).await,
            _ if body.endless => loop {
                self.stream.write_all(&body.bytes).await?;
            },
            _ => {}
        }
        Ok(answer.is_self_delimiting().then_some(self))
    }

    async fn end(mut self, how: Break) -> io::Result<Option<Self>> {
        match how {
            Break::Close => {}
            Break::Reset => self.stream.set_zero_linger()?,
            Break::Hang => {
                let mut ignored = [0; 1024];
                while self.stream.read(&mut ignored).await? > 0 {}
            }
        }
        Ok(None)
    }
}

enum Parsed {
    Request { request: Request, head_length: usize, body_length: usize },
    Incomplete,
    Invalid,
}

fn parse_request(received: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; REQUEST_HEADERS_LIMIT];
    let mut head = httparse::Request::new(&mut headers);
    let head_length = match head.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Incomplete,
        Err(_) => return Parsed::Invalid,
    };
    let (path, query) = head.path.unwrap_or_default().split_once('?').unwrap_or((head.path.unwrap_or_default(), ""));
    let request = Request {
        method: head.method.unwrap_or_default().to_string(),
        path: path.to_string(),
        query: query.to_string(),
        headers: head
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
        route: Route::of(path),
        paging: Box::default(),
    };
    let body_length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    Parsed::Request { request, head_length, body_length }
}

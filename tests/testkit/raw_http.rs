//! HTTP as it is on the wire: nothing is followed, decoded or smoothed over.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer of a test takes longer than this, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back until the connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// The status; `None` if there was no complete head.
    pub status: Option<u16>,
    /// Names in lower case, in the order of the answer.
    pub headers: Vec<(String, String)>,
    /// Every byte behind the head.
    pub body: Bytes,
    /// How the connection ended.
    pub end: End,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed it.
    Closed,
    /// The server reset it.
    Reset,
    /// It was still open when patience or the wanted number of bytes ran out.
    Open,
}

impl RawAnswer {
    /// The first header of a name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request that is put on the wire as it is.
#[derive(Clone, Debug)]
pub struct Ask {
    address: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    patience: Duration,
    at_most: usize,
}

/// A request of a server.
pub fn ask(address: SocketAddr, method: &str, target: &str) -> Ask {
    Ask {
        address,
        method: method.to_string(),
        target: target.to_string(),
        headers: Vec::new(),
        patience: PATIENCE,
        at_most: usize::MAX,
    }
}

impl Ask {
    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    /// Gives up after this time.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Reads no more than about this many bytes.
    pub fn at_most(self, bytes: usize) -> Self {
        Self { at_most: bytes, ..self }
    }

    /// Sends it and reads until the connection ends.
    pub async fn send(self) -> RawAnswer {
        let mut stream = TcpStream::connect(self.address).await.expect("the server accepts connections");
        let mut request = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.address);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the server takes a request");
        let mut received = Vec::new();
        let end = tokio::time::timeout(self.patience, read_to_end(&mut stream, &mut received, self.at_most)).await;
        parse(&received, end.unwrap_or(End::Open))
    }
}

async fn read_to_end(stream: &mut TcpStream, received: &mut Vec<u8>, at_most: usize) -> End {
    while received.len() < at_most {
        match stream.read_buf(received).await {
            Ok(0) => return End::Closed,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return End::Reset,
            Err(error) => panic!("reading an answer: {error}"),
        }
    }
    End::Open
}

fn parse(received: &[u8], end: End) -> RawAnswer {
    let Some(head_length) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return RawAnswer { status: None, headers: Vec::new(), body: Bytes::copy_from_slice(received), end };
    };
    let head = String::from_utf8_lossy(&received[..head_length]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
        .collect();
    RawAnswer { status, headers, body: Bytes::copy_from_slice(&received[head_length + 4..]), end }
}

//! Proxies that keep what they were asked, and lead everything to one server whatever its name.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// How a proxy of HTTP treats its clients.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Leads everybody to this server.
    LeadsTo(SocketAddr),
    /// Lets nobody through, and says so with this status line.
    Refuses(&'static str),
    /// Listens and says nothing.
    IsSilent,
}

/// A proxy of HTTP, until it is dropped.
pub struct HttpProxy {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl HttpProxy {
    /// One that leads to a server.
    pub async fn to(server: SocketAddr) -> Self {
        Self::start(Manner::LeadsTo(server), None).await
    }

    /// The same behind TLS.
    pub async fn behind_tls(server: SocketAddr, acceptor: TlsAcceptor) -> Self {
        Self::start(Manner::LeadsTo(server), Some(acceptor)).await
    }

    /// One that lets nobody through, and says so with this status line.
    pub async fn refusing(status: &'static str) -> Self {
        Self::start(Manner::Refuses(status), None).await
    }

    /// One that never answers.
    pub async fn silent() -> Self {
        Self::start(Manner::IsSilent, None).await
    }

    async fn start(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (tls, kept) = (tls.clone(), Arc::clone(&kept));
                clients.spawn(async move {
                    match tls {
                        None => hand_on(client, manner, &kept).await,
                        Some(tls) => match tls.accept(client).await {
                            Ok(client) => hand_on(client, manner, &kept).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, heard, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of the requests that it got, as they came.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `None` once either side has gone.
async fn hand_on<S>(mut client: S, manner: Manner, kept: &Mutex<Vec<String>>) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    kept.lock().unwrap().push(head.clone());
    let mut server = match manner {
        Manner::LeadsTo(server) => TcpStream::connect(server).await.ok()?,
        Manner::Refuses(status) => {
            let challenge = "Proxy-Authenticate: Basic realm=\"proxy\"\r\nContent-Length: 0";
            client.write_all(format!("HTTP/1.1 {status}\r\n{challenge}\r\n\r\n").as_bytes()).await.ok()?;
            return client.shutdown().await.ok();
        }
        // Until the client has gone.
        Manner::IsSilent => return client.read_u8().await.ok().map(drop),
    };
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    } else {
        // `GET http://host/path`, once: the answer ends with the connection, and says so.
        let (method, rest) = head.split_once(" http://")?;
        let path = rest.find('/').map(|at| &rest[at..])?;
        let head = format!("{method} {path}").replacen("\r\n", "\r\nConnection: close\r\n", 1);
        server.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.ok()?;
        let line = answer.windows(2).position(|end| end == b"\r\n")?;
        answer.splice(line..line, *b"\r\nConnection: close");
        client.write_all(&answer).await.ok()?;
        return client.shutdown().await.ok();
    }
    copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}

/// What a proxy of SOCKS was asked (RFC 1928, RFC 1929).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// User and password, if it wanted them.
    pub login: Option<(String, String)>,
    /// Where to.
    pub destination: Destination,
    /// The port there.
    pub port: u16,
}

/// Where to, as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// By a name, that the proxy is to resolve.
    Name(String),
    /// By an address of either family, which the client has resolved.
    Loopback,
    /// By any other address.
    Elsewhere,
}

/// How a proxy of SOCKS treats its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Lets everybody through.
    Open,
    /// Lets everybody through who says a user and a password.
    WantsLogin,
    /// Believes no password.
    RefusesLogin,
    /// Says that the destination refuses.
    Refuses,
}

/// A proxy of SOCKS 5, until it is dropped.
pub struct SocksProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl SocksProxy {
    /// One that leads to a server.
    pub async fn to(server: SocketAddr, conduct: Conduct) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let kept = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                clients.spawn(async move { socks(client, server, conduct, &kept).await });
            }
        });
        Self { address, asked, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for SocksProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `None` once either side has gone, or said something else than it should.
async fn socks(mut client: TcpStream, server: SocketAddr, conduct: Conduct, kept: &Mutex<Vec<Asked>>) -> Option<()> {
    const NO_LOGIN: u8 = 0;
    const PASSWORD: u8 = 2;
    let version = client.read_u8().await.ok()?;
    let methods = counted(&mut client).await?;
    let method = if matches!(conduct, Conduct::WantsLogin | Conduct::RefusesLogin) { PASSWORD } else { NO_LOGIN };
    if version != 5 || !methods.contains(&method) {
        return client.write_all(&[5, 0xff]).await.ok();
    }
    client.write_all(&[5, method]).await.ok()?;
    let login = if method == PASSWORD {
        let _version = client.read_u8().await.ok()?;
        let login = (text(counted(&mut client).await?), text(counted(&mut client).await?));
        client.write_all(&[1, u8::from(conduct == Conduct::RefusesLogin)]).await.ok()?;
        Some(login)
    } else {
        None
    };
    let mut request = [0; 4];
    client.read_exact(&mut request).await.ok()?;
    let destination = match request {
        [5, 1, 0, 1] => {
            let address = Ipv4Addr::from(client.read_u32().await.ok()?);
            if address.is_loopback() { Destination::Loopback } else { Destination::Elsewhere }
        }
        [5, 1, 0, 3] => Destination::Name(text(counted(&mut client).await?)),
        [5, 1, 0, 4] => {
            let address = Ipv6Addr::from(client.read_u128().await.ok()?);
            if address.is_loopback() { Destination::Loopback } else { Destination::Elsewhere }
        }
        _ => return None,
    };
    let port = client.read_u16().await.ok()?;
    kept.lock().unwrap().push(Asked { login, destination, port });
    let status = if conduct == Conduct::Refuses { 5 } else { 0 };
    client.write_all(&[5, status, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    if status != 0 {
        return None;
    }
    let mut server = TcpStream::connect(server).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}

/// Bytes behind their count.
async fn counted(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; client.read_u8().await.ok()?.into()];
    client.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

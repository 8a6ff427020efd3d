//! Detects whether a registry on this machine uses TLS: container tools accept plain HTTP there.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TIME_LIMIT: Duration = Duration::from_secs(5);

/// True if a host (`host:port`, or `host` for the default ports) is to be asked without TLS: it answers HTTP, or nothing
/// listens there.
pub async fn speaks_plain_http(host: &str) -> bool {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if has_port {
        answers_plain_http(host).await.unwrap_or(true)
    } else {
        is_plain_rather_than_tls(&format!("{host}:80"), &format!("{host}:443")).await
    }
}

/// TLS is used if it is offered, unless the other port is known to answer HTTP.
async fn is_plain_rather_than_tls(plain: &str, tls: &str) -> bool {
    match answers_plain_http(plain).await {
        Some(true) => true,
        answers => connect(tls).await.is_none() && answers.is_none(),
    }
}

/// Whether the server at an address answers HTTP without TLS; `None` if nothing listens there. Servers that want TLS close
/// the connection, send a TLS alert, or answer 400 (Go's and nginx's do).
async fn answers_plain_http(address: &str) -> Option<bool> {
    let stream = connect(address).await?;
    let status = timeout(TIME_LIMIT, first_status(stream, address)).await;
    Some(matches!(status, Ok(Some(status)) if status != 400))
}

async fn connect(address: &str) -> Option<TcpStream> {
    timeout(TIME_LIMIT, TcpStream::connect(address)).await.ok()?.ok()
}

async fn first_status(mut stream: TcpStream, address: &str) -> Option<u16> {
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut line).await.ok()?;
    let line = std::str::from_utf8(&line).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn server_that_says(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn only_an_answer_of_a_registry_is_plain_http() {
        for (answer, plain) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], true),
            (b"HTTP/1.1 401 Unauthorized\r\n\r\n", true),
            (b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", false),
            (b"\x15\x03\x01\x00\x02\x02\x16", false),
            (b"", false),
        ] {
            assert_eq!(speaks_plain_http(&server_that_says(answer).await).await, plain, "{answer:?}");
        }
    }

    /// Without a port in its name, a registry may listen at either default port.
    #[tokio::test]
    async fn tls_is_used_where_only_its_port_is_open() {
        let free = || async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let (closed, tls) = (free().await, server_that_says(b"").await);
        assert!(!is_plain_rather_than_tls(&closed, &tls).await, "TLS only");
        assert!(is_plain_rather_than_tls(&closed, &free().await).await, "neither");
        let plain = server_that_says(b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert!(is_plain_rather_than_tls(&plain, &tls).await, "both");
        let unusable = server_that_says(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
        assert!(!is_plain_rather_than_tls(&unusable, &closed).await, "the plain port wants TLS");
    }
}

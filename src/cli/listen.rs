//! Listening sockets of `serve` and `demo`.

use std::io;

use tokio::net::TcpListener;

use super::CommandError;

/// Binds every address. As in Prometheus, `:10500` means all interfaces.
pub async fn listen(addresses: &[String]) -> Result<Vec<TcpListener>, CommandError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener =
            bind(address).await.map_err(|source| CommandError::Listen { address: address.clone(), source })?;
        if let Ok(local) = listener.local_addr() {
            tracing::info!(address = %local, "listening");
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else { return TcpListener::bind(address).await };
    match TcpListener::bind(format!("[::]:{port}")).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        // This socket accepts IPv4 connections too.
        bound => bound,
    }
}

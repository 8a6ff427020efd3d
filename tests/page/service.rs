//! The service in this process, over a state that was made by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use registry_integrity_probe::state::State;
use registry_integrity_probe::web::{Limits, Web, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::testkit::raw_http::ask;

pub struct Service {
    pub address: SocketAddr,
    pub state: Arc<State>,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Service {
    pub async fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, shutdown) = (Arc::new(state), CancellationToken::new());
        let web = Web { state: Arc::clone(&state), lifecycle: None, external_url: None };
        let task = tokio::spawn(serve(vec![listener], web.into_router(), Limits::default(), shutdown.clone()));
        Self { address, state, shutdown, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Status and body.
    pub async fn get(&self, path: &str) -> (Option<u16>, String) {
        let answer = ask(self.address, "GET", path).send().await;
        (answer.status, answer.text())
    }
}

//! A webhook that an Alertmanager tells.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;

use super::PATIENCE;
use crate::testkit::poll_until;

/// What an Alertmanager told.
#[derive(Clone, Default)]
pub struct Webhook(Arc<Mutex<Vec<Value>>>);

impl Webhook {
    /// Listens on a free port.
    pub async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receive = |State(webhook): State<Self>, Json(told): Json<Value>| async move {
            let alerts = told["alerts"].as_array().expect("a notification has alerts");
            webhook.0.lock().unwrap().extend(alerts.iter().cloned());
        };
        let app = Router::new().route("/", post(receive)).with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, app).await });
        address
    }

    /// Waits until an alert of this name is told to be `firing` or `resolved`.
    pub async fn wait_for(&self, alert: &str, status: &str) -> Value {
        poll_until(PATIENCE, async || {
            let told = self.0.lock().unwrap();
            told.iter().find(|told| told["labels"]["alertname"] == alert && told["status"] == status).cloned()
        })
        .await
    }

    /// Everything so far.
    pub fn told(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }
}

//! A service in this process, and a registry that it knows the story of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::{ByteEvidence, Confirm, Target};
use registry_integrity_probe::demo::images::populate;
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::registry::HttpRegistry;
use registry_integrity_probe::state::State;
use registry_integrity_probe::web::{Limits, Web, serve};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::testkit::raw_http::{RawAnswer, ask};

/// A service that ends when it is dropped.
pub struct Service {
    pub address: SocketAddr,
    pub state: Arc<State>,
    shutdown: CancellationToken,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Service {
    pub async fn of(state: State) -> Self {
        let state = Arc::new(state);
        let app = Web { state: Arc::clone(&state), lifecycle: None, external_url: None }.into_router();
        Self::serving(state, app).await
    }

    pub async fn serving(state: Arc<State>, app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(vec![listener], app, Limits::default(), shutdown.clone()));
        Self { address, state, shutdown }
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> RawAnswer {
        let question = ask(self.address, method, path);
        headers.iter().fold(question, |question, (name, value)| question.header(name, value)).send().await
    }

    /// The answer to a GET, which is JSON whatever its status.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.ask("GET", path, &[]).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}: {answer:?}");
        (answer.status.unwrap(), serde_json::from_slice(&answer.body).unwrap())
    }

    /// The answer to a GET that is to succeed.
    pub async fn found(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Why a GET was refused.
    pub async fn refused(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get(path).await;
        let why = body["error"].as_str().unwrap_or_else(|| panic!("{path}: {status} {body}"));
        (status, why.to_string())
    }
}

/// The registry `private`, which is swept whenever the test wants.
pub struct Watched {
    pub registry: Registry,
    pub service: Service,
    target: Target,
}

impl Watched {
    /// With what `demo` shows, and not swept yet.
    pub async fn demo() -> Self {
        let registry = Registry::start().await.unwrap();
        populate(&registry);
        let target = Target {
            name: "private".to_string(),
            confirm: Confirm { attempts: 1, delay: Duration::from_millis(5) },
            ..Target::with_defaults(registry.url().parse().unwrap())
        };
        let service = Service::of(State::new([&target, &crate::testkit::sample::target("mirror")])).await;
        Self { registry, service, target }
    }

    /// Hashes every blob in every sweep.
    pub async fn hashing(self) -> Self {
        let mut target = self.target.clone();
        target.evidence.content = Some(Duration::ZERO);
        target.evidence.byte = ByteEvidence::Off;
        self.service.state.configure([&target, &crate::testkit::sample::target("mirror")]);
        Self { target, ..self }
    }

    pub async fn sweep(&self) {
        let watched = self.service.state.registry("private").unwrap();
        let client = Arc::new(HttpRegistry::new(&self.target, Arc::clone(&watched.traffic)).unwrap());
        let known = watched.known();
        let job = Job {
            target: &self.target,
            evidence_schedule: watched.evidence_schedule(),
            manifests: Arc::clone(&watched.manifests),
            blob_hasher: None,
            traffic: Arc::clone(&watched.traffic),
            known: known.failures(),
            catalog: &Default::default(),
            contradictions: Arc::default(),
            progress: Arc::default(),
        };
        let (report, _) = sweep(client, job).await;
        watched.finish_sweep(report, SystemTime::now());
    }

    /// The incident, and how it ended: `infra-ci:latest` was moved away from the broken index, then that was pushed again.
    pub async fn after_the_incident() -> Self {
        let watched = Self::demo().await;
        watched.sweep().await;
        watched.registry.push("infra-ci:latest", &Image::manifest().named("infra-ci fixed"));
        watched.sweep().await;
        let index = Image::index().named("infra-ci 5319f03e").based_on("debian 12").with_attestation();
        watched.registry.push("infra-ci:5319f03e", &index);
        watched.sweep().await;
        watched
    }
}

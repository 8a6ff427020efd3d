//! Over how many connections a sweep asks.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry_integrity_probe::check::evidence::EvidenceSchedule;
use registry_integrity_probe::check::manifest_cache::ManifestCache;
use registry_integrity_probe::check::sweep::{Job, sweep};
use registry_integrity_probe::config::Target;
use registry_integrity_probe::demo::{Image, Registry};
use registry_integrity_probe::registry::{HttpRegistry, Traffic};
use registry_integrity_probe::report::{Outcome, Report};
use tokio::net::TcpListener;

use crate::testkit::tls::PrivateCa;

async fn sweep_with(client: &Arc<HttpRegistry>, target: &Target) -> Report {
    let job = Job {
        target,
        evidence_schedule: Arc::new(EvidenceSchedule::one_shot(&target.evidence)),
        manifests: Arc::new(ManifestCache::none()),
        blob_hasher: None,
        traffic: Arc::default(),
        known: &[],
        catalog: &Default::default(),
        contradictions: Arc::default(),
        progress: Arc::default(),
    };
    sweep(Arc::clone(client), job).await.0
}

#[tokio::test]
async fn connections_are_used_again_also_by_the_next_sweep() {
    let registry = Registry::start().await.unwrap();
    for tag in 0..40 {
        registry.push(&format!("app:{tag}"), &Image::manifest().named(&tag.to_string()));
    }
    let target = Target::with_defaults(registry.url().parse().unwrap());
    let client = Arc::new(HttpRegistry::new(&target, Arc::new(Traffic::default())).unwrap());
    for _ in 0..3 {
        assert_eq!(sweep_with(&client, &target).await.outcome, Outcome::Complete);
    }
    let (connections, requests) = (registry.connection_count(), registry.request_count());
    assert!(connections <= target.concurrency && requests > 10 * connections, "{connections} for {requests}");
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_over_one_connection() {
    let ca = PrivateCa::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = ca.server(&["localhost"]).acceptor(&[b"h2"]);
    let seen: Arc<Mutex<Vec<Vec<Version>>>> = Arc::default();
    let server = tokio::spawn({
        let seen = Arc::clone(&seen);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let connection = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(Vec::new());
                    seen.len() - 1
                };
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.lock().unwrap()[connection].push(request.version());
                    let body = match request.uri().path() {
                        "/v2/_catalog" => r#"{"repositories":["a","b","c"]}"#,
                        _ => r#"{"tags":[]}"#,
                    };
                    async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(body.as_bytes())))) }
                });
                tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
            }
        }
    });
    let mut target = Target::with_defaults(format!("https://localhost:{}", address.port()).parse().unwrap());
    target.tls.ca_file = Some(ca.ca_file());
    let client = Arc::new(HttpRegistry::new(&target, Arc::new(Traffic::default())).unwrap());
    let report = sweep_with(&client, &target).await;
    server.abort();
    assert_eq!((report.outcome, report.repositories), (Outcome::Complete, 3));
    assert_eq!(*seen.lock().unwrap(), [vec![Version::HTTP_2; 5]]);
}

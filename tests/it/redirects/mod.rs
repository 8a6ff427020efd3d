//! Redirects: blobs often lie elsewhere, and elsewhere must not learn who we are.

mod credentials;

use futures_util::future::join_all;
use registry_integrity_probe::config::{ByteEvidence, Credentials, Secret, Target};
use registry_integrity_probe::demo::fault::{answers, at, everything, redirects_to};
use registry_integrity_probe::demo::{Auth, Endpoint, Registry, TokenService};
use registry_integrity_probe::report::{Cause, Outcome};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;
use crate::testkit::tls::{PrivateCa, TlsFront};

fn as_probe(target: &mut Target) {
    target.credentials =
        Credentials::Basic { username: Secret::Inline("probe".into()), password: Secret::Inline("hunter2".into()) };
}

async fn storage() -> Registry {
    let storage = Registry::start().await.unwrap();
    storage.push("app:1", &app());
    storage.push("whole:1", &registry_integrity_probe::demo::Image::manifest().named("whole"));
    storage
}

#[tokio::test]
async fn blobs_elsewhere_are_read_there_and_no_credential_crosses() {
    let (registry, storage) = (registry_with(&app()).await, storage().await);
    registry.require(Auth::basic("probe", "hunter2"));
    registry.fault(at(Endpoint::Blob), redirects_to(storage.url()));
    let report = Sweeping::of(&registry).with(as_probe).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{:#?}", report.unverified);
    let crossed = storage.requests();
    assert!(!crossed.is_empty() && crossed.iter().all(|request| request.authorization.is_none()), "{crossed:#?}");
}

#[tokio::test]
async fn a_challenge_of_another_host_is_not_answered() {
    let (registry, thief) = (registry_with(&app()).await, storage().await);
    registry.require(Auth::basic("probe", "hunter2"));
    let tokens = TokenService::new();
    for auth in [Auth::basic("probe", "hunter2"), Auth::bearer(&tokens)] {
        thief.require(auth);
        let fault = registry.fault(at(Endpoint::Blob), redirects_to(thief.url()));
        let report = Sweeping::of(&registry).with(as_probe).sweep().await;
        fault.lift();
        assert_eq!(reasons(&report), []);
        assert!(causes(&report).iter().all(|&cause| cause == Cause::Unauthorized), "{:?}", report.unverified);
        let stolen: Vec<_> = thief.requests().into_iter().filter(|request| request.authorization.is_some()).collect();
        assert!(stolen.is_empty(), "{stolen:#?}");
        assert!(
            thief.requests().iter().all(|request| request.endpoint != Endpoint::Token),
            "asked the thief's service"
        );
    }
}

#[tokio::test]
async fn url_signed_for_get_switches_to_get() {
    let (registry, storage) = (registry_with(&app()).await, storage().await);
    registry.fault(at(Endpoint::Blob), redirects_to(storage.url()));
    for status in [403, 405, 501] {
        let refused = storage.fault(everything().head_only(), answers(status));
        let report = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await;
        refused.lift();
        assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{status}: {report:#?}");
        let heads = registry.requests().iter().filter(|r| r.endpoint == Endpoint::Blob && r.method == "HEAD").count();
        // All six are under way before the first refusal is known, and a refusal is believed when it comes twice.
        assert!(heads <= 12, "{heads} HEADs");
        registry.clear_requests();
    }
}

#[tokio::test]
async fn head_refused_for_manifests_says_nothing_of_blobs() {
    let registry = registry_with(&app()).await;
    registry.fault(at(Endpoint::Manifest).head_only(), answers(405));
    let report = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2));
    let of_blobs: Vec<_> = registry.requests().into_iter().filter(|r| r.endpoint == Endpoint::Blob).collect();
    assert!(of_blobs.iter().all(|request| request.method == "HEAD"), "{of_blobs:#?}");
}

#[tokio::test]
async fn loops_end_after_five_hops() {
    let registry = registry_with(&app()).await;
    registry.fault(at(Endpoint::Blob), redirects_to(registry.url()));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(reasons(&report), []);
    assert_eq!(causes(&report), [Cause::Protocol; 6]);
    assert!(report.unverified.iter().all(|entry| entry.detail.contains("more than 5 redirects")), "{report:#?}");
    let blob = app().layers().next().unwrap().digest.to_string();
    let gets = registry.requests().iter().filter(|r| r.path.ends_with(&blob) && r.method == "GET").count();
    assert_eq!(gets, 36, "the question and five hops, all that once more, and two confirmations of it");
}

#[tokio::test]
async fn five_hops_are_followed_and_a_sixth_is_not() {
    let mut hosts = vec![storage().await];
    for _ in 0..6 {
        let before = storage().await;
        before.fault(at(Endpoint::Blob), redirects_to(hosts.last().unwrap().url()));
        hosts.push(before);
    }
    let [.., after_five, after_six] = &hosts[..] else { panic!("too few hosts") };
    let report = Sweeping::of(after_five).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{:#?}", report.unverified);
    assert_eq!(causes(&Sweeping::of(after_six).sweep().await), [Cause::Protocol; 6]);
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_protocol() {
    let locations = ["", "http://", "ftp://elsewhere/", "file:///etc/passwd", "http://[/"];
    join_all(locations.map(|location| async move {
        let registry = registry_with(&app()).await;
        registry.fault(at(Endpoint::Blob), answers(307).header("Location", location).without_header("Content-Type"));
        let report = Sweeping::of(&registry).sweep().await;
        assert_eq!(reasons(&report), [], "{location}");
        assert!(causes(&report).iter().all(|&cause| cause == Cause::Protocol), "{location} {:?}", report.unverified);
        assert_eq!(report.images.unverified, 2);
    }))
    .await;
}

#[tokio::test]
async fn what_was_encrypted_is_not_read_in_the_open() {
    let (registry, storage) = (registry_with(&app()).await, storage().await);
    let ca = PrivateCa::new();
    let front = TlsFront::start(registry.address(), &ca.server(&["localhost"])).await;
    let trusting = || Sweeping::over(&front.url("localhost")).with(|target| target.tls.ca_file = Some(ca.ca_file()));
    assert_eq!(trusting().sweep().await.images.intact, 2, "without a redirect");
    registry.fault(at(Endpoint::Blob), redirects_to(storage.url()));
    let report = trusting().sweep().await;
    assert_eq!((reasons(&report), causes(&report)), (vec![], vec![Cause::Protocol; 6]));
    assert!(report.unverified.iter().all(|entry| entry.detail.contains("from https to http")), "{report:#?}");
    assert_eq!(storage.request_count(), 0, "{:#?}", storage.requests());
}

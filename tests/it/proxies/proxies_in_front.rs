//! What a proxy in front of a registry answers in its place is no evidence against an image.

use registry_integrity_probe::demo::fault::{
    Effect, answers_html, answers_json, answers_with, at, everything, in_repository, on, on_tag,
};
use registry_integrity_probe::demo::{Endpoint, Image};
use registry_integrity_probe::report::Cause;

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

#[tokio::test]
async fn a_page_for_people_with_status_200_is_no_broken_image() {
    for selector in [
        at(Endpoint::Manifest),
        at(Endpoint::Blob),
        on_tag("1"),
        at(Endpoint::Manifest).get_only(),
        in_repository("app").at(Endpoint::Manifest),
        in_repository("app").at(Endpoint::Blob),
    ] {
        let registry = registry_with(&app()).await;
        registry.fault(selector.clone(), answers_html(200));
        let report = Sweeping::of(&registry).sweep().await;
        assert_eq!(reasons(&report), [], "{selector:?}: {:#?}", report.failures);
        assert!(!report.unverified.is_empty(), "{selector:?}: a page proves nothing");
        assert!(causes(&report).iter().all(|&cause| cause == Cause::Protocol), "{selector:?}: {:?}", causes(&report));
    }
}

#[tokio::test]
async fn a_login_page_for_everything_fails_the_sweep_and_no_image() {
    let registry = registry_with(&app()).await;
    registry.fault(everything(), answers_html(200));
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((reasons(&report), causes(&report)), (vec![], vec![Cause::Protocol]));
    assert!(!report.catalog_accessible);
}

#[tokio::test]
async fn a_gateway_s_json_with_status_200_is_no_broken_image() {
    let registry = registry_with(&app()).await;
    for selector in [at(Endpoint::Manifest), at(Endpoint::Manifest).get_only()] {
        let fault = registry.fault(selector, answers_json(r#"{"message":"under maintenance"}"#));
        let report = Sweeping::of(&registry).sweep().await;
        fault.lift();
        assert_eq!(reasons(&report), [], "{:#?}", report.failures);
        assert_eq!(report.images.unverified, 2);
    }
}

#[tokio::test]
async fn proxy_404_is_missing_only_beside_served_neighbour() {
    let not_found: [Effect; 3] = [
        answers_html(404),
        answers_with(404, "text/plain", "404 page not found\n"),
        answers_with(404, "application/json", r#"{"message":"no Route matched with those values"}"#),
    ];
    for effect in not_found {
        let registry = registry_with(&app()).await;
        let at_large = registry.fault(at(Endpoint::Manifest), effect.clone());
        let report = Sweeping::of(&registry).sweep().await;
        at_large.lift();
        assert_eq!(reasons(&report), []);
        assert_eq!(report.images.unverified, 2);
        let gone: Image = app();
        registry.fault(on(&gone.layers().next().unwrap().digest), effect);
        assert_eq!(Sweeping::of(&registry).sweep().await.failures.len(), 1);
    }
}

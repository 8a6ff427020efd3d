//! Answers that refuse: what their status seems to say of an object is not said of it.

use std::time::Duration;

use registry_integrity_probe::config::{ByteEvidence, Target};
use registry_integrity_probe::demo::fault::{
    Effect, answers, answers_with, at, ends_undeclared_body_after, on, on_tag, without_digest,
};
use registry_integrity_probe::demo::{Endpoint, Image};
use registry_integrity_probe::report::{Cause, Outcome, Reason};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

fn not_found_with(code: &str) -> Effect {
    answers_with(404, "application/json", format!(r#"{{"errors":[{{"code":"NAME_UNKNOWN"}},{{"code":"{code}"}}]}}"#))
}

const REFUSALS: [(&str, Cause); 4] = [
    ("DENIED", Cause::Unauthorized),
    ("UNAUTHORIZED", Cause::Unauthorized),
    ("TOOMANYREQUESTS", Cause::RateLimited),
    ("UNSUPPORTED", Cause::Protocol),
];

#[tokio::test]
async fn a_404_that_refuses_says_of_nothing_that_it_is_missing() {
    let image = Image::index().named("index").platforms(["linux/amd64", "linux/arm64"]);
    let child = &image.child("linux/amd64").unwrap().digest;
    let layer = &image.layers().next().unwrap().digest;
    for (code, cause) in REFUSALS {
        for (selector, is_of_blob) in [(on_tag("1").in_repository("app"), false), (on(child), false), (on(layer), true)]
        {
            let registry = registry_with(&image).await;
            registry.fault(selector, not_found_with(code));
            let report = Sweeping::of(&registry).with(|target| target.limits.retries = 0).sweep().await;
            // One layer among others that is never delivered, without a reason that concerns the client.
            let expected = match is_of_blob && cause == Cause::Protocol {
                true => (vec![Reason::Unreadable], vec![]),
                false => (vec![], vec![cause]),
            };
            assert_eq!((reasons(&report), causes(&report)), expected, "{code}: {report:#?}");
        }
    }
}

#[tokio::test]
async fn tag_list_refused_with_404_is_not_absent() {
    let image = app();
    for (code, cause) in REFUSALS {
        let registry = registry_with(&image).await;
        registry.remove_blob("app", &image.layers().next().unwrap().digest);
        let mut sweeping = Sweeping::of(&registry).with(|target| target.limits.retries = 0);
        assert_eq!(reasons(&sweeping.sweep().await), [Reason::Missing]);
        registry.fault(at(Endpoint::Tags).in_repository("app"), not_found_with(code));
        let report = sweeping.sweep().await;
        assert_eq!((reasons(&report), causes(&report)), (vec![Reason::Missing], vec![cause]), "{code}");
    }
}

#[tokio::test]
async fn retry_after_on_403_is_a_rate_limit() {
    let image = app();
    let layer = &image.layers().next().unwrap().digest;
    let registry = registry_with(&image).await;
    let limited = || answers(403).header("Retry-After", "1");
    let fault = registry.fault(on(layer).times(1), limited());
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, fault.strikes()), (Outcome::Complete, 1));
    assert!(report.duration_seconds >= 1.0, "{}", report.duration_seconds);
    registry.fault(on(layer), limited());
    let report = Sweeping::of(&registry).with(|target| target.limits.retries = 1).sweep().await;
    assert_eq!((reasons(&report), causes(&report)), (vec![], vec![Cause::RateLimited]));
}

#[tokio::test]
async fn invalid_docker_content_digest_is_ignored() {
    let image = app();
    let hex = image.root().digest.to_string().split_off("sha256:".len());
    let short = "md5:00".to_string();
    for header in [String::new(), hex.clone(), format!("\"sha256:{hex}\""), "rubbish".to_string(), short] {
        let registry = registry_with(&image).await;
        for endpoint in [Endpoint::Manifest, Endpoint::Blob] {
            registry.fault(at(endpoint), without_digest().header("Docker-Content-Digest", &*header));
        }
        let report = Sweeping::of(&registry).sweep().await;
        assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{header}: {report:#?}");

        registry.remove_manifest("app", &image.root().digest);
        assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::Missing], "{header}");
    }
}

#[tokio::test]
async fn refused_head_is_followed_by_get() {
    for status in [400, 402, 403, 405, 406, 409, 415, 416, 422, 501] {
        let registry = registry_with(&app()).await;
        registry.push("more:1", &Image::manifest().named("more"));
        registry.fault(on_tag("1").in_repository("app").head_only(), answers(status));
        registry.fault(at(Endpoint::Blob).in_repository("more").head_only(), answers(status));
        let report = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off).sweep().await;
        assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 3), "{status}: {report:#?}");
    }
}

#[tokio::test]
async fn one_refused_head_does_not_disable_head() {
    let registry = registry_with(&app()).await;
    (2..10).for_each(|tag| registry.push(&format!("whole:{tag}"), &Image::manifest().named("whole")));
    registry.fault(on_tag("1").in_repository("app").head_only(), answers(409));
    Sweeping::of(&registry).with(|target| target.concurrency = 1).sweep().await;
    let tags = |method: &str| {
        let is_tag = |path: &str| path.starts_with("/v2/whole/manifests/") && !path.contains("sha256:");
        registry.requests().iter().filter(|request| request.method == method && is_tag(&request.path)).count()
    };
    assert_eq!((tags("HEAD"), tags("GET")), (9, 0));
}

/// HTTP/1.0's way to end a body: what came before the connection ended may be a part.
#[tokio::test]
async fn body_ended_by_connection_close_is_unreadable() {
    let image = app();
    let layer = image.layers().next().unwrap();
    for at_half in [image.root(), layer] {
        let half = at_half.bytes.len() / 2;
        let registry = registry_with(&image).await;
        let whole = registry.fault(on(&at_half.digest), ends_undeclared_body_after(at_half.bytes.len()));
        let content = |target: &mut Target| {
            target.evidence.content = Some(Duration::ZERO);
        };
        let report = Sweeping::of(&registry).with(content).sweep().await;
        assert_eq!((report.outcome, reasons(&report)), (Outcome::Complete, vec![]), "{report:#?}");
        whole.lift();
        registry.fault(on(&at_half.digest), ends_undeclared_body_after(half));
        let report = Sweeping::of(&registry).with(content).sweep().await;
        assert_eq!(reasons(&report), [Reason::Unreadable], "{report:#?}");
    }
    let registry = registry_with(&image).await;
    registry.fault(
        on_tag("1").in_repository("app"),
        ends_undeclared_body_after(20).without_header("Docker-Content-Digest"),
    );
    assert_eq!(reasons(&Sweeping::of(&registry).sweep().await), [Reason::Unreadable]);
}

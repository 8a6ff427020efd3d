//! A registry of several replicas or caches, of which one is behind: its answers about one object contradict each other.

use std::sync::Arc;
use std::time::Duration;

use registry_integrity_probe::config::ByteEvidence;
use registry_integrity_probe::demo::fault::{
    Effect, Selector, answers, claims_digest, cuts_body_after, everything, on, on_tag,
};
use registry_integrity_probe::demo::{Endpoint, Image};
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::report::{Cause, Outcome, Reason, Report};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::poll_until;
use crate::testkit::probe::probe;
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

fn index() -> Image {
    Image::index().named("index").platforms(["linux/amd64", "linux/arm64"])
}

/// What of an index a replica may lack: a tag, a child, a config, a layer.
fn parts(image: &Image) -> [Selector; 4] {
    let child = image.child("linux/amd64").unwrap();
    let (config, layer) = (image.configs().next().unwrap(), image.layers().next().unwrap());
    [on_tag("1").in_repository("app"), on(&child.digest), on(&config.digest), on(&layer.digest)]
}

#[track_caller]
fn assert_contradicts_itself(report: &Report, what: &str) {
    assert_eq!((reasons(report), causes(report)), (vec![], vec![Cause::Protocol]), "{what}: {report:#?}");
    let detail = &report.unverified[0].detail;
    assert!(
        detail.contains("GET 404") && (detail.contains("GET 200") || detail.contains("GET 206")),
        "{what}: {detail}"
    );
    assert_eq!(report.images.unverified, 1, "{what}");
}

#[tokio::test]
async fn object_contradictory_in_two_sweeps_is_unverified() {
    let image = index();
    for (number, part) in parts(&image).into_iter().enumerate() {
        for byte in [ByteEvidence::Within(Duration::ZERO), ByteEvidence::Off] {
            let what = format!("part {number}, {byte:?}");
            let registry = registry_with(&image).await;
            let mut sweeping = Sweeping::of(&registry).with(|target| {
                target.evidence.byte = byte;
                target.confirm.attempts = 3;
            });
            let stale = registry.fault(part.clone().alternately(), answers(404));
            let first = sweeping.sweep().await;
            assert_eq!((first.outcome, reasons(&first)), (Outcome::Complete, vec![]), "{what}: once may be chance");
            assert_eq!(sweeping.contradictions.total(), 1, "{what}");
            assert_contradicts_itself(&sweeping.sweep().await, &what);
            assert_contradicts_itself(&sweeping.sweep().await, &what);
            assert_eq!(sweeping.contradictions.total(), 3, "{what}");
            stale.lift();
            let agreed = sweeping.sweep().await;
            assert_eq!((agreed.outcome, agreed.images.intact), (Outcome::Complete, 2), "{what}: {agreed:#?}");
            assert_eq!(sweeping.contradictions.remembered(), [], "{what}");
        }
    }
}

/// The sweep that happens to meet the good replica first sees nothing; one that knows of a contradiction asks on.
#[tokio::test]
async fn contradictory_object_is_requested_again_next_sweep() {
    let image = index();
    let layer = on(&image.layers().next().unwrap().digest);
    let registry = registry_with(&image).await;
    let mut sweeping = Sweeping::of(&registry);
    let once = registry.fault(layer.clone().times(1), answers(404));
    assert_eq!(sweeping.sweep().await.outcome, Outcome::Complete);
    once.lift();
    let stale = registry.fault(layer.clone().after(1).alternately(), answers(404));
    assert_contradicts_itself(&sweeping.sweep().await, "served at first");
    stale.lift();
    registry.clear_requests();
    assert_eq!(sweeping.sweep().await.outcome, Outcome::Complete);
    let path = format!("/v2/app/blobs/{}", image.layers().next().unwrap().digest);
    let asked = || registry.requests().iter().filter(|request| request.path == path).count();
    assert_eq!(asked(), 5, "the question, and twice as many answers as confirm a suspicion");
    registry.clear_requests();
    assert_eq!(sweeping.sweep().await.outcome, Outcome::Complete);
    assert_eq!(asked(), 1, "it is forgotten");
}

#[tokio::test]
async fn a_manifest_that_contradicts_itself_hides_nothing_below_it() {
    let image = index();
    let child = image.child("linux/amd64").unwrap();
    let registry = registry_with(&image).await;
    registry.fault(on(&child.digest).alternately(), answers(404));
    let mut sweeping = Sweeping::of(&registry);
    sweeping.sweep().await;
    let layers: Vec<_> = image.layers().map(|layer| layer.digest.clone()).collect();
    layers.iter().for_each(|layer| registry.remove_blob("app", layer));
    let report = sweeping.sweep().await;
    assert_eq!(causes(&report), [Cause::Protocol]);
    assert_eq!(report.failures.len(), layers.len(), "{report:#?}");
}

/// Some proxies answer 404 to HEAD alone, in every sweep.
#[tokio::test]
async fn a_404_to_head_alone_contradicts_nothing() {
    let registry = registry_with(&index()).await;
    registry.fault(everything().in_repository("app").head_only(), answers(404));
    let mut sweeping = Sweeping::of(&registry).with(|target| target.evidence.byte = ByteEvidence::Off);
    for _ in 0..3 {
        let report = sweeping.sweep().await;
        assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2), "{report:#?}");
    }
    assert_eq!(sweeping.contradictions.total(), 0);
}

#[tokio::test]
async fn trouble_that_passes_contradicts_nothing() {
    let image = index();
    let layer = on(&image.layers().next().unwrap().digest);
    for effect in [answers(503), answers(429), answers(403)] {
        let registry = registry_with(&image).await;
        registry.fault(layer.clone().alternately(), effect);
        let mut sweeping = Sweeping::of(&registry).with(|target| target.limits.retries = 0);
        for _ in 0..3 {
            assert_eq!(reasons(&sweeping.sweep().await), []);
        }
        assert_eq!(sweeping.contradictions.total(), 0);
    }
}

#[tokio::test]
async fn known_failure_survives_one_good_response_among_bad() {
    let image = app();
    let layer = on(&image.layers().next().unwrap().digest);
    let registry = registry_with(&image).await;
    let mut sweeping = Sweeping::of(&registry);
    let gone = registry.fault(layer.clone(), answers(404));
    assert_eq!(reasons(&sweeping.sweep().await), [Reason::Missing]);
    gone.lift();
    let stale = registry.fault(layer.alternately(), answers(404));
    assert_eq!(reasons(&sweeping.sweep().await), [Reason::Missing]);
    stale.lift();
    assert_eq!(reasons(&sweeping.sweep().await), []);
}

/// Nobody knows of it whether it is there again.
#[tokio::test]
async fn known_blob_failure_stays_while_blob_is_unverified() {
    let image = app();
    let layer = on(&image.layers().next().unwrap().digest);
    let registry = registry_with(&image).await;
    let mut sweeping = Sweeping::of(&registry).with(|target| target.limits.retries = 0);
    let gone = registry.fault(layer.clone(), answers(404));
    assert_eq!(reasons(&sweeping.sweep().await), [Reason::Missing]);
    gone.lift();
    let throttled = registry.fault(layer, answers(429));
    assert_eq!(reasons(&sweeping.sweep().await), [Reason::Missing]);
    throttled.lift();
    assert_eq!(reasons(&sweeping.sweep().await), []);
}

/// One replica answers so, the other one so, and none serves it.
#[tokio::test]
async fn object_bad_in_two_ways_has_last_reason() {
    let image = app();
    let layer = || on(&image.layers().next().unwrap().digest);
    let cases: [(Effect, Effect, Reason); 5] = [
        (answers(404), cuts_body_after(0), Reason::Unreadable),
        (cuts_body_after(0), answers(404), Reason::Missing),
        (answers(404), claims_digest(&Digest::sha256(b"another")), Reason::DigestMismatch),
        // Others are served, and so is a neighbour at that moment.
        (answers(404), answers(503), Reason::Unreadable),
        (answers(503), answers(404), Reason::Missing),
    ];
    for (first, then, reason) in cases {
        let registry = registry_with(&image).await;
        registry.fault(layer().times(1), first);
        registry.fault(layer().after(1), then);
        let report = Sweeping::of(&registry).with(|target| target.limits.retries = 0).sweep().await;
        assert_eq!((reasons(&report), causes(&report)), (vec![reason], vec![]), "{report:#?}");
        assert!(report.failures[0].detail.contains(", then "), "{}", report.failures[0].detail);
    }
}

#[tokio::test]
async fn outage_during_confirmation_is_no_failure() {
    let image = app();
    let layer = &image.layers().next().unwrap().digest;
    let registry = Arc::new(registry_with(&image).await);
    let passing = registry.fault(on(layer).times(1), answers(404));
    let outage = {
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            while passing.strikes() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // What else was under way is answered.
            tokio::time::sleep(Duration::from_millis(100)).await;
            registry.fault(everything(), answers(503));
        })
    };
    let report = Sweeping::of(&registry)
        .with(|target| {
            target.limits.retries = 0;
            target.confirm.delay = Duration::from_millis(500);
        })
        .sweep()
        .await;
    outage.await.unwrap();
    assert_eq!(reasons(&report), [], "{report:#?}");
    assert!(causes(&report).contains(&Cause::ServerError), "{report:#?}");
}

#[tokio::test]
async fn what_is_served_once_the_trouble_has_passed_is_no_failure() {
    let image = app();
    let layer = &image.layers().next().unwrap().digest;
    let registry = registry_with(&image).await;
    registry.fault(on(layer).times(1), answers(404));
    registry.fault(on(layer).after(1).times(2), answers(503));
    let report = Sweeping::of(&registry).with(|target| target.limits.retries = 0).sweep().await;
    assert_eq!((reasons(&report), causes(&report)), (vec![], vec![Cause::ServerError]), "{report:#?}");
}

/// `serve` asks for manifests and blobs by HEAD once they were proved.
#[tokio::test]
async fn serve_counts_and_logs_what_contradicts_itself() {
    let image = index();
    let registry = registry_with(&image).await;
    let layer: Digest = image.layers().next().unwrap().digest.clone();
    registry.fault(on(&layer).in_repository("app").at(Endpoint::Blob).alternately(), answers(404));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    let entry = format!("{{name: r, url: '{}', spread: 0s, confirm: {{attempts: 3, delay: 10ms}}}}", registry.url());
    std::fs::write(&config, format!("global: {{interval: 300ms}}\nregistries: [{entry}]\n")).unwrap();
    let service = probe(["serve", "--config.file", &config.display().to_string()]).serve().await;
    let metrics = poll_until(Duration::from_secs(30), async || {
        let metrics = service.get("/metrics").await;
        metrics.contains(r#"registry_integrity_unverified{registry="r",cause="protocol"} 1"#).then_some(metrics)
    })
    .await;
    let counted =
        metrics.lines().find_map(|line| line.strip_prefix(r#"registry_integrity_contradictions_total{registry="r"} "#));
    assert!(counted.unwrap().parse::<f64>().unwrap() >= 2.0, "{metrics}");
    assert!(metrics.contains(r#"registry_integrity_images{registry="r",state="broken"} 0"#), "{metrics}");
    let log = service.terminate().await.stderr;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("registry contradicts itself")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in ["warn", "r", "app", &layer.to_string(), "404", "206"] {
        assert!(lines[0].to_lowercase().contains(part), "{part}: {}", lines[0]);
    }
}

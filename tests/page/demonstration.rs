//! `demo`: what its first screen shows and how soon, and the image that heals and breaks.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::testkit::poll_until;
use crate::testkit::probe::{RunningProbe, probe};

/// Within this, from the start of the process, all of it is there.
const SOON: Duration = Duration::from_secs(10);
/// Half a turn of the restless image takes twelve seconds, and a sweep has to see it.
const A_TURN: Duration = Duration::from_secs(30);
const RESTLESS: &str = "nightly:latest";

/// Waits until the restless image is, or is not, among what is broken now, and tells how often it was mended.
async fn until_restless_is(demo: &RunningProbe, is_broken: bool) -> usize {
    let of_restless = async |path: &str| -> Option<usize> {
        let findings: Value = serde_json::from_str(&demo.get(path).await).ok()?;
        let of_it = |failure: &&Value| failure["images"].as_array().is_some_and(|it| it.contains(&RESTLESS.into()));
        Some(findings["failures"].as_array()?.iter().filter(of_it).count())
    };
    poll_until(A_TURN, async || {
        let open = of_restless("/api/v1/findings").await?;
        ((open > 0) == is_broken).then_some(())
    })
    .await;
    of_restless("/api/v1/findings?state=resolved").await.unwrap()
}

#[tokio::test]
async fn demo_is_complete_and_breaks_and_recovers() {
    let began = Instant::now();
    let demo = probe(["demo"]).serve().await;
    let parts = [
        // What is broken, since when, which images and platforms, and what to do.
        " images broken",
        "<bdi>infra-ci:latest</bdi>",
        "linux/amd64",
        "What to do",
        // Every registry, how it stands, and what its blobs were proved by.
        "<bdi>demo</bdi>",
        "<span class=\"state broken\">",
        "Last byte read:",
        // Its past.
        "<svg class=\"chart\"",
        "<rect class=\"failures\"",
        "<rect class=\"complete\"",
        // And that an image broke which was whole before, and was mended.
        "<strong>Broken:</strong> <a href=\"image?registry=demo&#38;image=nightly%3Alatest\"",
        "<strong>Resolved:</strong> <a href=\"image?registry=demo&#38;image=nightly%3Alatest\"",
        "Broke between",
    ];
    loop {
        let page = demo.get("/").await;
        let missing: Vec<_> = parts.iter().filter(|part| !page.contains(**part)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(began.elapsed() < SOON, "after {:?} there is no {missing:?} in {page}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // And it goes on, for who watches.
    assert_eq!(until_restless_is(&demo, true).await, 1);
}

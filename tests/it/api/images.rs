//! One image with everything that it needs.

use registry_integrity_probe::demo::Image;
use serde_json::{Value, json};

use super::service::Watched;

/// The nodes of a kind in a tree, in order.
fn nodes<'a>(node: &'a Value, kind: &str, found: &mut Vec<&'a Value>) {
    if node["kind"] == kind {
        found.push(node);
    }
    node["needs"].as_array().unwrap().iter().for_each(|node| nodes(node, kind, found));
}

fn of_kind<'a>(answer: &'a Value, kind: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    nodes(&answer["tree"]["root"], kind, &mut found);
    found
}

#[tokio::test]
async fn the_incident_is_seen_from_its_image() {
    let watched = Watched::demo().await;
    watched.sweep().await;
    let answer = watched.service.found("/api/v1/images?registry=private&reference=infra-ci:latest").await;
    let index = Image::index().named("infra-ci 5319f03e").based_on("debian 12").with_attestation();
    let expected = |part: Option<&registry_integrity_probe::demo::Part>| Value::from(part.unwrap().digest.to_string());
    assert_eq!(answer["digest"], expected(Some(index.root())));
    assert_eq!((&answer["image"], &answer["state"]), (&"infra-ci:latest".into(), &"broken".into()));
    assert_eq!(answer["tree"]["complete"], false, "what the lost child needs is not known");
    let root = &answer["tree"]["root"];
    assert_eq!((&root["state"], &root["shared_with"]), (&"intact".into(), &json!(["5319f03e"])));

    let children = of_kind(&answer, "child");
    let lost = children.iter().find(|child| child["digest"] == expected(index.child("linux/amd64"))).unwrap();
    assert_eq!(
        (&lost["state"], &lost["reason"], &lost["platform"]),
        (&"broken".into(), &"missing".into(), &"linux/amd64".into())
    );
    assert!(lost["detail"].as_str().unwrap().contains("404"), "{lost}");
    assert_eq!((&lost["hashed_at"], &lost["needs"]), (&Value::Null, &json!([])));
    let whole = children.iter().find(|child| child["digest"] == expected(index.child("linux/arm64"))).unwrap();
    assert_eq!((&whole["state"], &whole["reason"]), (&"intact".into(), &Value::Null));
    assert!(whole["hashed_at"].is_string() && whole["last_byte_at"].is_null(), "{whole}");
    let kinds: Vec<&str> = whole["needs"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["config", "layer", "layer"]);
    for blob in of_kind(&answer, "config").into_iter().chain(of_kind(&answer, "layer")) {
        assert!(blob["last_byte_at"].is_string() && blob["hashed_at"].is_null(), "{blob}");
    }

    let found: Vec<&Value> = answer["failures"].as_array().unwrap().iter().map(|failure| &failure["digest"]).collect();
    assert!(found.len() == 2 && found.contains(&&expected(index.child("linux/amd64"))), "{answer}");
    let findings = watched.service.found("/api/v1/findings?repository=infra-ci").await;
    assert_eq!(answer["failures"], findings["failures"]);
    assert_eq!(answer["unverified"], json!([]));
}

#[tokio::test]
async fn a_blob_tells_when_all_of_it_was_hashed() {
    let watched = Watched::demo().await.hashing().await;
    watched.sweep().await;
    let answer = watched.service.found("/api/v1/images?registry=private&reference=mirror/redis:7.4").await;
    let layers = of_kind(&answer, "layer");
    assert!(!layers.is_empty());
    for layer in layers {
        assert!(layer["hashed_at"].is_string() && layer["hashed_at"] == layer["last_byte_at"], "{layer}");
        assert_eq!(layer["shared_with"], json!(["latest"]), "{layer}");
    }
    assert_eq!((&answer["state"], &answer["tree"]["complete"]), (&"intact".into(), &true.into()));
}

#[tokio::test]
async fn an_image_by_digest_and_one_that_resolves_to_nothing() {
    let watched = Watched::demo().await;
    watched.registry.add_dangling_tag("web-frontend:lost");
    watched.sweep().await;
    let digest = Image::manifest().docker().named("redis 7.4").root().digest.to_string();
    let path = format!("/api/v1/images?registry=private&reference=mirror%2Fredis@{digest}");
    let answer = watched.service.found(&path).await;
    assert_eq!(
        (&answer["digest"], &answer["tree"]["root"]["digest"]),
        (&digest.as_str().into(), &digest.as_str().into())
    );

    let lost = watched.service.found("/api/v1/images?registry=private&reference=web-frontend:lost").await;
    assert_eq!((&lost["digest"], &lost["state"], &lost["tree"]), (&Value::Null, &"broken".into(), &Value::Null));
    assert_eq!((&lost["failures"][0]["reason"], &lost["failures"][0]["digest"]), (&"missing".into(), &Value::Null));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_says_why() {
    let watched = Watched::demo().await;
    let ask = async |query: &str| watched.service.refused(&format!("/api/v1/images?{query}")).await;
    let (status, why) = ask("registry=private&reference=infra-ci:latest").await;
    assert_eq!((status, why.contains("no sweep has finished yet")), (404, true), "{why}");
    watched.sweep().await;
    for (query, status, part) in [
        ("registry=nobody&reference=infra-ci:latest", 404, "no registry \"nobody\""),
        ("registry=private&reference=infra-ci:gone", 404, "infra-ci:gone in private"),
        ("registry=private&reference=gone:1", 404, "gone:1 in private"),
        ("registry=private&reference=infra-ci", 400, "repository:tag or repository@digest"),
        ("registry=private&reference=infra-ci@sha256:12", 400, "repository@digest"),
        ("registry=private&reference=..%2F..%2Fetc:1", 400, "repository name"),
        ("registry=private&reference=%00:1", 400, "repository name"),
        ("registry=private&reference=", 400, "reference"),
        ("registry=private", 400, "reference"),
        ("reference=a:1", 400, "registry"),
        ("registry=private&reference=a:1&reference=a:1", 400, "reference"),
        ("registry=private&reference=a:1&tag=1", 400, "tag"),
    ] {
        let (seen, why) = ask(query).await;
        assert_eq!((seen, why.contains(part)), (status, true), "{query}: {why}");
    }
    let (status, why) = ask(&format!("registry=private&reference={}:1", "a".repeat(20_000))).await;
    assert_eq!((status, why.len() < 1_000), (400, true), "{why}");
}

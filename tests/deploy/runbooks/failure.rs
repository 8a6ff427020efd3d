//! What to do about an image that is broken.

use std::fs;

use registry_integrity_probe::demo::Role;

use super::{Planted, Runbook, address, said, until_failures};
use crate::testkit::docker_registry::Options;

const SETTINGS: &str = "URL=https://HOST REPOSITORY";
const FAILURE: &str = "RegistryManifestIntegrityFailure";

fn of(planted: &Planted, probe: (&'static str, String), digest: &str, media_type: &str) -> Option<Runbook> {
    let further = [probe, ("DIGEST", digest.to_string()), ("TYPE", media_type.to_string())];
    planted.runbook(FAILURE, &further)
}

pub async fn run(_: &str) -> Option<Runbook> {
    let planted = Planted::new(Options::default()).await?;
    let (registry, image) = (&planted.registry, &planted.image);
    let child = image.child("linux/amd64").unwrap();
    let digest = child.digest.to_string();
    fs::remove_file(registry.revision_link("infra-ci", &child.digest)).unwrap();
    let service = planted.serve("").await;
    until_failures(&service, true).await;
    let runbook = of(&planted, address(&service), &digest, &child.media_type)?;

    let found = said(&runbook.run(&["jq '.failures[]'"]).await);
    assert!(found.contains(&digest) && found.contains("\"missing\""), "{found}");
    let confirmed = said(&runbook.run(&[SETTINGS, "$DIGEST\" | sha256sum"]).await);
    assert!(confirmed.contains(" 404 "), "{confirmed}");
    let copied = runbook.run(&[SETTINGS, "skopeo copy"]).await;
    assert!(!copied.status.success() && said(&copied).contains("manifest unknown"), "{}", said(&copied));
    for verified in [
        runbook.run(&[SETTINGS, "verify --evidence content"]).await,
        runbook.run_inline("registry-integrity-probe verify IMAGE").await,
    ] {
        assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    }

    let mended = said(&runbook.run(&[SETTINGS, "hex=${DIGEST"]).await);
    assert!(mended.contains(digest.trim_start_matches("sha256:")), "{mended}");
    let swept = said(&runbook.run(&["-X POST http://PROBE"]).await);
    assert!(swept.contains("started"), "{swept}");
    until_failures(&service, false).await;
    for words in [[SETTINGS, "skopeo copy"], [SETTINGS, "verify --evidence content"]] {
        let output = runbook.run(&words).await;
        assert!(output.status.success(), "{}", said(&output));
    }

    // The same from another registry.
    fs::remove_file(registry.revision_link("infra-ci", &child.digest)).unwrap();
    runbook.run(&[SETTINGS, "> manifest"]).await;
    assert!(runbook.run(&[SETTINGS, "skopeo copy"]).await.status.success());

    let layer = image.parts().iter().find(|part| part.role == Role::Layer).unwrap();
    let hex = layer.digest.to_string();
    fs::remove_file(registry.blob_data(&layer.digest)).unwrap();
    let of_layer = of(&planted, address(&service), &hex, "")?;
    let confirmed = said(&of_layer.run(&[SETTINGS, "blobs/$DIGEST\" | sha256sum"]).await);
    assert!(!confirmed.contains(hex.trim_start_matches("sha256:")), "{confirmed}");
    let mended = said(&of_layer.run(&[SETTINGS, "> blob"]).await);
    assert!(mended.contains(hex.trim_start_matches("sha256:")), "{mended}");
    let confirmed = said(&of_layer.run(&[SETTINGS, "blobs/$DIGEST\" | sha256sum"]).await);
    assert!(confirmed.contains(hex.trim_start_matches("sha256:")), "{confirmed}");

    runbook.join(&of_layer);
    Some(runbook)
}

/// What the page says of a stale cache: the push ends well, and nothing is mended until the registry was restarted.
#[tokio::test]
async fn push_under_stale_cache_needs_a_restart() {
    let Some(mut planted) = Planted::new(Options { cache: true, ..Options::default() }).await else { return };
    let child = planted.image.child("linux/amd64").unwrap().clone();
    let service = planted.serve("").await;
    let Some(runbook) = of(&planted, address(&service), &child.digest.to_string(), &child.media_type) else { return };
    let data = planted.registry.blob_data(&child.digest);
    fs::remove_file(&data).unwrap();
    for is_restarted in [false, true] {
        if is_restarted {
            planted.registry.restart().await;
        }
        let pushed = runbook.run(&[SETTINGS, "> manifest"]).await;
        assert!(pushed.status.success(), "{}", said(&pushed));
        assert_eq!(data.exists(), is_restarted, "{}", said(&pushed));
    }
    let verified = runbook.run(&[SETTINGS, "verify --evidence content"]).await;
    assert!(verified.status.success(), "{}", said(&verified));
}

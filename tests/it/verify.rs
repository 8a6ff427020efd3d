//! `verify` as a pipeline meets it: what it says, and how it exits.

use std::time::Duration;

use registry_integrity_probe::demo::fault::{answers, at, claims_length, cuts_body_after, delays, ignores_range, on};
use registry_integrity_probe::demo::{Auth, Endpoint, Headers, Image, Registry, TokenService};
use registry_integrity_probe::oci::Digest;
use serde_json::Value;

use crate::testkit::docker_registry::DockerRegistry;
use crate::testkit::probe::{Outcome, Probe, probe};
use crate::testkit::skopeo::skopeo_copy;
use crate::testkit::tls::{PrivateCa, TlsFront};

fn index(name: &str) -> Image {
    Image::index().named(name).platforms(["linux/amd64", "linux/arm64"]).with_attestation()
}

async fn registry_with(name: &str, image: &Image) -> Registry {
    let registry = Registry::start().await.unwrap();
    registry.push(name, image);
    registry
}

fn verify(registry: &Registry, image: &str, flags: &[&str]) -> Probe {
    let name = format!("{}/{image}", registry.address());
    probe([&["verify", &name], flags].concat())
}

fn short(digest: &Digest) -> String {
    digest.to_string()["sha256:".len()..][..12].to_string()
}

/// The row of an object in the tree.
fn row<'a>(outcome: &'a Outcome, digest: &Digest) -> &'a str {
    let short = short(digest);
    let is_row = |line: &&str| line.contains(&short) && !line.contains("found through");
    outcome.stdout.lines().find(is_row).unwrap_or_else(|| panic!("no row for {short}: {outcome:?}"))
}

#[tokio::test]
async fn intact_image_exits_0_listing_every_object() {
    let image = index("app");
    let registry = registry_with("team/app:1", &image).await;
    let outcome = verify(&registry, "team/app:1", &[]).run().await;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    for part in image.parts() {
        assert!(row(&outcome, &part.digest).ends_with(" ok"), "{}", outcome.stdout);
    }
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\nINTACT  127.0.0.1:"), "{}", outcome.stdout);
}

#[tokio::test]
async fn missing_child_exits_1_with_platform_and_remedy() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    let (child, attestation) = (image.child("linux/amd64").unwrap(), image.attestations().next().unwrap());
    registry.remove_manifest("app", &child.digest);
    registry.remove_manifest("app", &attestation.digest);
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(row(&outcome, &child.digest).contains("linux/amd64"));
    for lost in [child, attestation] {
        assert!(row(&outcome, &lost.digest).ends_with("MISSING"));
        assert!(outcome.stdout.lines().any(|line| line.trim() == lost.digest.to_string()), "{}", outcome.stdout);
    }
    assert!(row(&outcome, &image.child("linux/arm64").unwrap().digest).ends_with(" ok"));
    for said in ["child of app, linux/amd64", "confirmed 3 times", "next: push the image again", "BROKEN  127.0.0.1:"] {
        assert!(outcome.stdout.contains(said), "{said}: {}", outcome.stdout);
    }
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80), "{}", outcome.stdout);
}

#[tokio::test]
async fn several_images_are_checked_together_and_what_they_share_once() {
    let (one, other) = (index("one").based_on("debian"), index("other").based_on("debian"));
    let registry = registry_with("app:1", &one).await;
    registry.push("app:2", &other);
    let second = Registry::start().await.unwrap();
    second.push("app:1", &Image::manifest());
    let names = [(&registry, "app:1"), (&registry, "app:2"), (&second, "app:1")];
    let arguments = names.map(|(registry, name)| format!("{}/{name}", registry.address()));
    let outcome = probe(["verify".to_string()].into_iter().chain(arguments)).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout.matches("INTACT").count(), 3);
    let shared = one.layers().find(|layer| other.layers().any(|o| o.digest == layer.digest)).unwrap();
    let asked = registry.requests().iter().filter(|r| r.path.ends_with(&shared.digest.to_string())).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn what_cannot_be_judged_exits_3_and_says_what_to_try() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.require(Auth::Basic { username: "probe".to_string(), password: "secret".to_string() });
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stdout.contains("? unauthorized") && outcome.stdout.contains("docker login"), "{}", outcome.stdout);
    registry.go_down().await;
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stdout.contains("? unreachable") && outcome.stdout.contains("UNVERIFIED"), "{}", outcome.stdout);
}

#[tokio::test]
async fn bad_usage_exits_2() {
    for (arguments, said) in [
        (&["verify"][..], "<IMAGE>"),
        (&["verify", "https://r.example/app"], "is a URL"),
        (&["verify", "r.example/App"], "lower case"),
        (&["verify", "app", "--platform", "linux"], "is not a platform"),
        (&["verify", "app", "--platform", "linux/adm64"], "\"adm64\" is not a known architecture"),
        (&["verify", "app", "--platform", "foo/bar"], "\"foo\" is not a known operating system"),
        (&["verify", "app", "--retry-for", "5"], "unit is missing"),
        (&["verify", "app", "--evidence", "hope"], "possible values"),
        (&["verify", "app", "--username", "u"], "--password-stdin"),
        (&["verify", "app", "--username", "u", "--password-stdin"], "standard input is empty"),
    ] {
        let outcome = probe(arguments).run().await;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.stderr);
    }
    let two = ["verify", "a.example/x", "b.example/x", "--username", "u", "--password-stdin"];
    let outcome = probe(two).stdin("secret\n").run().await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("several registries") && !outcome.stderr.contains("secret"));
}

#[tokio::test]
async fn a_digest_decides_and_a_tag_that_moved_on_is_told() {
    let (old, new) = (index("old"), index("new"));
    let registry = registry_with("app:1", &old).await;
    registry.push("app:1", &new);
    registry.remove_manifest("app", &new.child("linux/amd64").unwrap().digest);
    let outcome = verify(&registry, &format!("app:1@{}", old.root().digest), &[]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("WARNING  the digest was verified; the tag 1 is"), "{}", outcome.stdout);
    let outcome = verify(&registry, &format!("app@{}", old.root().digest), &[]).run().await;
    assert_eq!(outcome.code, Some(0));
    assert!(!outcome.stdout.contains("WARNING"));
    assert_eq!(verify(&registry, "app:1", &[]).run().await.code, Some(1));
    let outcome = verify(&registry, "app:2", &[]).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("--retry-for"), "{}", outcome.stdout);
}

#[tokio::test]
async fn only_wanted_platforms_must_be_there_and_they_must() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    registry.remove_manifest("app", &image.child("linux/amd64").unwrap().digest);
    let outcome = verify(&registry, "app:1", &["--platform", "linux/arm64"]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(row(&outcome, &image.child("linux/amd64").unwrap().digest).ends_with("not requested"));
    let flags = ["--platform", "linux/arm64", "--platform", "linux/s390x", "--output", "json"];
    let outcome = verify(&registry, "app:1", &flags).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let report = &document["registries"][0];
    assert_eq!(report["images"], serde_json::json!({"intact": 0, "broken": 1, "unverified": 0}));
    let failure = &report["failures"][0];
    assert_eq!((failure["platform"].as_str(), failure["reason"].as_str()), (Some("linux/s390x"), Some("missing")));
    assert_eq!((&failure["digest"], failure["kind"].as_str()), (&Value::Null, Some("child")));
    assert_eq!(report["registry"], registry.address().to_string());
}

#[tokio::test]
async fn a_platform_has_several_names() {
    let image = Image::index().named("app").platforms(["linux/arm64", "linux/arm/v7", "linux/amd64"]);
    let registry = registry_with("app:1", &image).await;
    for platform in ["linux/arm64/v8", "linux/aarch64", "linux/arm", "linux/armhf", "Linux/x86_64", "linux/amd64/v1"] {
        let outcome = verify(&registry, "app:1", &["--platform", platform]).run().await;
        assert_eq!(outcome.code, Some(0), "{platform}: {outcome:?}");
        assert!(!outcome.stdout.contains("WARNING"), "{platform}: {outcome:?}");
    }
    for platform in ["linux/arm/v6", "linux/amd64/v3", "linux/386"] {
        let outcome = verify(&registry, "app:1", &["--platform", platform]).run().await;
        assert_eq!(outcome.code, Some(1), "{platform}: {outcome:?}");
    }
    registry.remove_manifest("app", &image.child("linux/arm64").unwrap().digest);
    for (platform, code) in [("linux/arm64/v8", 1), ("linux/aarch64", 1), ("linux/arm", 0)] {
        let outcome = verify(&registry, "app:1", &["--platform", platform]).run().await;
        assert_eq!(outcome.code, Some(code), "{platform}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_declared_platform_that_the_config_denies_is_a_warning() {
    let arm = Image::manifest().named("arm").platforms(["linux/arm64"]);
    let (digest, size) = (&arm.root().digest, arm.root().bytes.len());
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{
            "mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},
            "platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#
    );
    let registry = registry_with("app:arm", &arm).await;
    registry.push("app:1", &Image::raw("application/vnd.oci.image.index.v1+json", index));
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let warned = outcome.stdout.replace("\n  ", " ");
    assert!(warned.contains("WARNING  the index says linux/amd64 of sha256:"), "{warned}");
    assert!(warned.contains("config says linux/arm64"), "{warned}");
    let outcome = verify(&registry, "app:1", &["--output", "json"]).run().await;
    assert!(outcome.stderr.contains("the index says linux/amd64"), "{outcome:?}");
}

#[tokio::test]
async fn undeclared_platform_is_read_from_the_config() {
    let arm = Image::manifest().named("arm").platforms(["linux/arm64"]);
    let (digest, size) = (&arm.root().digest, arm.root().bytes.len());
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{digest}","size":{size}}}]}}"#);
    let registry = registry_with("app:arm", &arm).await;
    registry.push("app:1", &Image::raw("application/vnd.oci.image.index.v1+json", index));
    for (flags, code, warns) in [
        (&["--platform", "linux/arm64"][..], 0, false),
        (&["--platform", "linux/s390x"], 1, false),
        (&["--platform", "linux/s390x", "--evidence", "head"], 0, true),
    ] {
        let outcome = verify(&registry, "app:1", flags).run().await;
        assert_eq!(outcome.code, Some(code), "{flags:?}: {outcome:?}");
        assert_eq!(outcome.stdout.contains("WARNING"), warns, "{flags:?}: {}", outcome.stdout);
    }
}

#[tokio::test]
async fn only_hashing_finds_a_flipped_byte() {
    let image = Image::manifest().with_layer_size(300 * 1024);
    let registry = registry_with("app:1", &image).await;
    let layer = image.layers().next().unwrap();
    registry.replace("app", &layer.digest, layer.flipped(), Headers::Stale);
    assert_eq!(verify(&registry, "app:1", &["--evidence", "byte"]).run().await.code, Some(0));
    let outcome = verify(&registry, "app:1", &["--evidence", "content"]).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(row(&outcome, &layer.digest).ends_with("DIGEST_MISMATCH"), "{}", outcome.stdout);
    registry.clear_requests();
    verify(&registry, "app:1", &["--evidence", "head"]).run().await;
    let blobs = registry.requests().into_iter().filter(|request| request.endpoint == Endpoint::Blob);
    assert!(blobs.into_iter().all(|request| request.method == "HEAD"));
}

/// The line that a run ends with, of the first image or the only one.
fn conclusion(outcome: &Outcome) -> String {
    let lines: Vec<&str> = outcome.stdout.lines().skip_while(|line| !line.starts_with("INTACT")).collect();
    lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn layer_is_read_completely_without_range_support() {
    let image = Image::manifest().with_layers(1).with_layer_size(12 << 20);
    let layer = image.layers().next().unwrap();
    let registry = registry_with("app:1", &image).await;
    registry.fault(at(Endpoint::Blob), ignores_range());
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(row(&outcome, &layer.digest).ends_with(" ok"), "{}", outcome.stdout);
    assert!(conclusion(&outcome).contains("3 objects, each read to its last byte, in"), "{}", outcome.stdout);
    let cut = registry.fault(on(&layer.digest), cuts_body_after(6 << 20));
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(row(&outcome, &layer.digest).ends_with("UNREADABLE"), "{}", outcome.stdout);
    cut.lift();
    registry.replace("app", &layer.digest, layer.flipped(), Headers::Stale);
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(row(&outcome, &layer.digest).ends_with("DIGEST_MISMATCH"), "{}", outcome.stdout);
}

#[tokio::test]
async fn an_object_that_only_its_length_proves_is_shown_and_counted() {
    // Longer than what is read of a layer whose range is ignored: its beginning comes, and its length.
    let image = Image::manifest().with_layers(2).with_layer_size(200_000).claiming_layer_size(70 << 20);
    let registry = registry_with("app:1", &image).await;
    let layers: Vec<_> = image.layers().collect();
    for layer in &layers {
        registry.fault(on(&layer.digest), ignores_range());
        registry.fault(on(&layer.digest), claims_length(70 << 20));
    }
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for layer in layers {
        assert!(row(&outcome, &layer.digest).ends_with(" length only"), "{}", outcome.stdout);
    }
    assert!(row(&outcome, &image.configs().next().unwrap().digest).ends_with(" ok"), "{}", outcome.stdout);
    assert!(conclusion(&outcome).contains("4 objects, 2 by length only, in"), "{}", outcome.stdout);

    let image = index("app");
    registry.push("app:2", &image);
    let outcome = verify(&registry, "app:2", &["--evidence", "head"]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let blobs = image.configs().count() + image.layers().count();
    let objects = image.parts().len();
    let said = format!("{objects} objects, {blobs} by length only, in");
    assert!(conclusion(&outcome).contains(&said), "{said}: {}", outcome.stdout);
}

#[tokio::test]
async fn what_was_hashed_is_told_for_each_image_by_itself() {
    let small = Image::manifest().named("small").with_layers(1).with_layer_size(100_000);
    let large = Image::manifest().named("large").with_layers(1).with_layer_size(3_000_000);
    let registry = registry_with("app:small", &small).await;
    registry.push("app:large", &large);
    let total = |image: &Image| {
        let bytes = image.parts().iter().map(|part| part.bytes.len() as u64).sum();
        format!("every byte hashed ({}", indicatif::HumanBytes(bytes))
    };
    let host = registry.address();
    let names = ["app:small", "app:large"].map(|name| format!("{host}/{name}"));
    let outcome = probe(["verify", "--evidence", "content", &names[0], &names[1]]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let said = conclusion(&outcome);
    for image in [&small, &large] {
        assert!(said.contains(&format!("{})", total(image))), "{} {said}", total(image));
    }
    let outcome = verify(&registry, "app:small", &["--evidence", "content"]).run().await;
    assert!(conclusion(&outcome).contains(&format!("{}, ", total(&small))), "{}", outcome.stdout);
}

#[tokio::test]
async fn the_gate_waits_for_the_image_to_become_whole() {
    let image = index("app");
    let registry = registry_with("app:1", &image).await;
    let late = &image.child("linux/arm64").unwrap().digest;
    // One look and its three confirmations see nothing.
    registry.fault(on(late).times(4), answers(404));
    let outcome = verify(&registry, "app:1", &["--retry-for", "30s"]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.lines().any(|line| line.starts_with("intact after ") && line.ends_with("at attempt 2")));
    assert!(outcome.stderr.contains("attempt 1: not intact"), "{}", outcome.stderr);

    registry.fault(on(late), answers(404));
    let outcome = verify(&registry, "app:1", &["--retry-for", "2s"]).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.lines().last().unwrap().starts_with("not intact after "), "{}", outcome.stdout);
}

#[tokio::test]
async fn refused_credentials_are_not_tried_again_and_again() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.require(Auth::Basic { username: "probe".to_string(), password: "secret".to_string() });
    let flags = ["--username", "probe", "--password-stdin", "--retry-for", "30s"];
    let outcome = verify(&registry, "app:1", &flags).stdin("wrong").run().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(!outcome.stderr.contains("attempt 1"), "{}", outcome.stderr);
    let outcome = verify(&registry, "app:1", &flags).stdin("secret\n").run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[tokio::test]
async fn credentials_come_from_where_docker_and_podman_keep_them() {
    let registry = registry_with("team/app:1", &index("app")).await;
    registry.require(Auth::Bearer { tokens: TokenService::new().for_user("probe", "secret"), realm: None });
    let host = registry.address().to_string();
    // printf probe:secret | base64
    let inline = format!(r#"{{"auths":{{"{host}":{{"auth":"cHJvYmU6c2VjcmV0"}}}}}}"#);
    let namespaced =
        format!(r#"{{"auths":{{"{host}/other":{{"auth":"eDp5"}},"{host}/team":{{"auth":"cHJvYmU6c2VjcmV0"}}}}}}"#);
    let helper = format!(r#"{{"credHelpers":{{"{host}":"test"}}}}"#);
    let store = r#"{"credsStore":"test"}"#.to_string();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "#!/bin/sh\nread -r host\n[ \"$1\" = get ] && [ \"$host\" = {host} ] || {{ echo credentials not found in native keychain; exit 1; }}\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"probe\",\"Secret\":\"secret\"}}'\n"
    );
    let program = folder.path().join("docker-credential-test");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for (variable, file, text) in [
        ("DOCKER_CONFIG", "config.json", &inline),
        ("XDG_RUNTIME_DIR", "containers/auth.json", &inline),
        ("XDG_CONFIG_HOME", "containers/auth.json", &namespaced),
        ("HOME", ".docker/config.json", &helper),
        ("HOME", ".config/containers/auth.json", &store),
    ] {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let run = |probe: Probe| probe.env("PATH", &path).run();
        let outcome = run(verify(&registry, "team/app:1", &[]).env(variable, place.path())).await;
        assert_eq!(outcome.code, Some(0), "{variable} {text}: {outcome:?}");
        let file = file.display().to_string();
        let outcome = run(verify(&registry, "team/app:1", &[]).env("REGISTRY_AUTH_FILE", &file)).await;
        assert_eq!(outcome.code, Some(0), "{file} {text}: {outcome:?}");
        let outcome = run(verify(&registry, "team/app:1", &["--registry.config", &file])).await;
        assert_eq!(outcome.code, Some(0), "{file} {text}: {outcome:?}");
    }
    let outcome = verify(&registry, "team/app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(3), "without credentials: {outcome:?}");
}

#[tokio::test]
async fn failing_helper_is_named_without_its_output() {
    let registry = registry_with("app:1", &index("app")).await;
    registry.require(Auth::Basic { username: "probe".to_string(), password: "secret".to_string() });
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("docker-credential-broken");
    std::fs::write(&program, "#!/bin/sh\necho hunter2\nexit 7\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for (store, said) in
        [("broken", "docker-credential-broken failed"), ("nowhere", "cannot be run"), ("../x", "is not the name")]
    {
        let config = folder.path().join("config.json");
        std::fs::write(&config, format!(r#"{{"credsStore":"{store}"}}"#)).unwrap();
        let outcome = verify(&registry, "app:1", &["--registry.config", &config.display().to_string()]);
        let outcome = outcome.env("PATH", &path).run().await;
        assert_eq!(outcome.code, Some(3), "{outcome:?}");
        let folded = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(folded.contains(said) && !folded.contains("hunter2"), "{store}: {}", outcome.stdout);
    }
}

#[tokio::test]
async fn a_registry_of_this_machine_is_asked_what_it_speaks() {
    let registry = registry_with("app:1", &index("app")).await;
    let ca = PrivateCa::new();
    let front = TlsFront::start(registry.address(), &ca.server(&["localhost", "127.0.0.1"])).await;
    let name = format!("{}/app:1", front.address());
    let outcome = probe(["verify", &name]).env("SSL_CERT_FILE", ca.ca_file()).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let outcome = probe(["verify", &name, "--output", "json"]).run().await;
    assert_eq!(outcome.code, Some(3), "an unknown authority is not believed: {outcome:?}");
    assert!(outcome.stdout.contains("https://127.0.0.1"), "{}", outcome.stdout);
    let outcome = probe(["verify", &name, "--plain-http"]).run().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
}

#[tokio::test]
async fn every_level_is_asked_for_at_once() {
    let platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/ppc64le"];
    let image = Image::index().platforms(platforms).with_layers(12);
    let registry = registry_with("app:1", &image).await;
    registry.fault(at(Endpoint::Blob), delays(Duration::from_millis(200)));
    registry.fault(at(Endpoint::Manifest), delays(Duration::from_millis(50)));
    let outcome = verify(&registry, "app:1", &[]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(registry.most_in_flight(), 16);
}

#[tokio::test]
async fn what_is_written_to_a_file_is_not_printed() {
    let registry = registry_with("app:1", &index("app")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json").display().to_string();
    let outcome = verify(&registry, "app:1", &["--output", "json", "--output.file", &file]).run().await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(document["registries"][0]["outcome"], "complete");
    let outcome = verify(&registry, "app:1", &["--output.file", "/nonexistent/result"]).run().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
}

#[tokio::test]
async fn pushed_image_passes_until_its_child_is_unlinked() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let image = index("app");
    let Some(_) = skopeo_copy(&image, &registry, "infra-ci:latest").await else { return };
    let name = format!("{}/infra-ci:latest", registry.address());
    let outcome = probe(["verify", &name]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let outcome = probe(["verify", &name, "--evidence", "content"]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");

    let child = image.child("linux/amd64").unwrap();
    std::fs::remove_file(registry.revision_link("infra-ci", &child.digest)).unwrap();
    let outcome = probe(["verify", &name]).run().await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(row(&outcome, &child.digest).starts_with("  linux/amd64 "), "{}", outcome.stdout);
    assert!(row(&outcome, &child.digest).ends_with("MISSING"), "{}", outcome.stdout);
    let said = format!("  MISSING  child of infra-ci, linux/amd64\n    {}\n    GET 404 MANIFEST_UNKNOWN", child.digest);
    assert!(outcome.stdout.contains(&said), "{}", outcome.stdout);
}

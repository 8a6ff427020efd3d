//! `deploy/ci`: what is shipped there is valid, pinned, and stops when an image is not served.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::CommandFactory;
use regex::Regex;
use registry_integrity_probe::cli::arguments::Cli;
use registry_integrity_probe::demo::Image;
use saphyr::{LoadableYamlNode, Yaml};

use crate::testkit::docker_registry::DockerRegistry;
use crate::testkit::peer;
use crate::testkit::skopeo::write_layout;

const PIPELINES: [&str; 5] =
    ["github-actions.yaml", "gitlab-ci.yml", "push-and-verify.sh", "tekton.yaml", "woodpecker.yaml"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ci").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a linter, which must have nothing to say.
#[track_caller]
fn lint(program: &str, arguments: &[&str], name: &str) {
    let Some(linter) = peer(program) else { return };
    let Output { status, stdout, stderr } = Command::new(linter).args(arguments).arg(file(name)).output().unwrap();
    let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{program} on {name}: {said}");
}

#[test]
fn their_own_linters_and_schemas_accept_them() {
    lint("actionlint", &[], "github-actions.yaml");
    lint("check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], "github-actions.yaml");
    lint(
        "check-jsonschema",
        &["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
        "gitlab-ci.yml",
    );
    lint("check-jsonschema", &["--builtin-schema", "vendor.woodpecker-ci"], "woodpecker.yaml");
    lint("shellcheck", &[], "push-and-verify.sh");
}

#[test]
fn nothing_floats() {
    let image = Regex::new(r"^(FROM|image:|- image:|PROBE:) ?(\S+)").unwrap();
    let version = Regex::new(r":v?\d+\.\d+\.\d+[-.\w]*$").unwrap();
    let action = Regex::new(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$").unwrap();
    let mut pinned = 0;
    for name in PIPELINES.into_iter().chain(["Containerfile"]) {
        for line in read(name).lines().map(str::trim) {
            if let Some(found) = image.captures(line).filter(|found| found[2].contains('/')) {
                assert!(version.is_match(&found[2]), "{name}: {line}");
                pinned += 1;
            }
            assert!(!line.contains("uses:") || action.is_match(line), "{name}: {line}");
            assert!(!line.contains("latest"), "{name}: {line}");
        }
    }
    assert!(pinned > 0, "no image was recognised");
}

#[test]
fn each_pipeline_verifies_the_pushed_digest_first() {
    let push = Regex::new(r"buildah push|skopeo copy|docker/build-push-action@").unwrap();
    let verify = Regex::new(r#"(registry-integrity-probe|"\$PROBE") verify|- verify\n"#).unwrap();
    let by_digest = Regex::new(r#"@\$DIGEST"|@\$\(cat |%s@%s"#).unwrap();
    for name in PIPELINES {
        let text = read(name);
        let position = |step: &Regex| step.find(&text).unwrap_or_else(|| panic!("{name} has no {step}")).start();
        assert!(position(&push) < position(&verify), "{name}");
        assert!(text.find("./deploy.sh").is_none_or(|deploy| position(&verify) < deploy), "{name}");
        assert!(by_digest.is_match(&text), "{name}");
        assert!(!text.contains("|| true") && !text.contains("allow_failure"), "{name}");
    }
}

#[test]
fn each_calls_verify_with_flags_that_exist() {
    let cli = Cli::command();
    let verify = cli.find_subcommand("verify").unwrap();
    let known: Vec<&str> = verify.get_arguments().filter_map(|argument| argument.get_long()).collect();
    let call =
        Regex::new(r#"(?s)(?:registry-integrity-probe|"\$PROBE"|args:\s+-) verify\s(.*?)(?:@\$|\$\(params)"#).unwrap();
    let flag = Regex::new(r"--([a-z][a-z.-]*)").unwrap();
    for name in PIPELINES {
        let text = read(name);
        let arguments = &call.captures(&text).unwrap_or_else(|| panic!("{name} does not call verify"))[1];
        let flags: Vec<&str> = flag.captures_iter(arguments).map(|found| found.get(1).unwrap().as_str()).collect();
        assert!(flags.contains(&"retry-for"), "{name}: {arguments}");
        assert!(flags.iter().all(|flag| known.contains(flag)), "{name}: {arguments}");
    }
}

#[test]
fn tekton_deploys_only_what_was_verified() {
    let documents = Yaml::load_from_str(&read("tekton.yaml")).unwrap();
    let tasks = documents[0]["spec"]["tasks"].as_sequence().unwrap();
    let task = |name: &str| tasks.iter().find(|task| task["name"].as_str() == Some(name)).unwrap();
    let digest = "$(tasks.push.results.image)";
    assert_eq!(task("verify")["params"][0]["value"].as_str(), Some(digest));
    assert_eq!(task("deploy")["params"][0]["value"].as_str(), Some(digest));
    assert_eq!(task("deploy")["runAfter"][0].as_str(), Some("verify"));
    let defined: Vec<_> = documents[1..].iter().map(|task| task["metadata"]["name"].as_str().unwrap()).collect();
    for task in tasks {
        assert!(defined.contains(&task["taskRef"]["name"].as_str().unwrap()), "{task:?}");
    }
}

#[test]
fn woodpecker_and_github_can_be_run_by_hand() {
    let woodpecker = &Yaml::load_from_str(&read("woodpecker.yaml")).unwrap()[0];
    let when = woodpecker["when"].as_sequence().unwrap();
    assert!(when.iter().any(|condition| condition["event"].as_str() == Some("manual")), "{when:?}");
    assert!(read("github-actions.yaml").contains("\n  workflow_dispatch:"));
}

/// What push-and-verify.sh finds as the probe.
enum Verifier {
    /// The project's own binary.
    Probe,
    /// One that ends with this exit code, as the probe does for a registry that loses objects while it is pushed to.
    StandIn(i32),
}

/// Runs push-and-verify.sh, as `REGISTRY/team/app:1.4.2`.
async fn push_and_verify(registry: &DockerRegistry, image: &Image, verifier: Verifier) -> Output {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join(".config/containers");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let location = registry.address();
    let insecure = format!("[[registry]]\nlocation = \"{location}\"\ninsecure = true\n");
    fs::write(config.join("registries.conf"), insecure).unwrap();
    let program = home.path().join("registry-integrity-probe");
    match verifier {
        Verifier::Probe => {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_registry-integrity-probe"), &program).unwrap()
        }
        Verifier::StandIn(exit) => {
            fs::write(&program, format!("#!/bin/sh\necho asked for \"$@\"\nexit {exit}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let layout = home.path().join("layout");
    fs::create_dir(&layout).unwrap();
    write_layout(&layout, "image", image);

    let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap());
    let output = tokio::process::Command::new(file("push-and-verify.sh"))
        .arg(format!("oci:{}:image", layout.display()))
        .arg(format!("{location}/team/app:1.4.2"))
        .env_clear()
        .envs([("PATH", path.as_str()), ("HOME", home.path().to_str().unwrap())])
        .output();
    output.await.unwrap()
}

#[tokio::test]
async fn the_shell_step_pushes_verifies_and_stops() {
    if peer("skopeo").is_none() {
        return;
    }
    let Some(mut registry) = DockerRegistry::start().await else { return };
    let image = Image::index().with_attestation();
    let output = push_and_verify(&registry, &image, Verifier::Probe).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let digest = image.root().digest.to_string();
    // A long name is folded.
    assert!(said.replace("\n  ", "").contains(&format!("/team/app@{digest}")) && said.contains("INTACT"), "{said}");
    assert!(registry.tag_link("team/app", "1.4.2").exists());

    for exit in [1, 3] {
        let output = push_and_verify(&registry, &image, Verifier::StandIn(exit)).await;
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let asked = format!("asked for verify --retry-for 30s {}/team/app@{digest}\n", registry.address());
        assert!(said.ends_with(&asked), "{said}");
    }

    registry.stop();
    let output = push_and_verify(&registry, &image, Verifier::StandIn(0)).await;
    assert!(!output.status.success(), "a push that failed is not verified: {output:?}");
}

//! The commands' exit codes and what they say, as scripts and people meet them.

use registry_integrity_probe::demo::{Image, Registry};

use crate::testkit::probe::probe;

#[tokio::test]
async fn bad_usage_exits_2_and_says_what_to_do() {
    for (arguments, said) in [
        (vec!["sweep"], "--registry"),
        (vec!["sweep", "--registry", "ftp://x"], "http"),
        (vec!["sweep", "--config.file", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (vec!["sweep", "--registry", "http://x", "--config.file", "y"], "cannot be used with"),
        (vec!["sweep", "--registry", "http://x", "--output", "yaml"], "possible values"),
        (vec!["serve", "--registry", "http://127.0.0.1:1", "--web.listen-address", "256.0.0.1:1"], "cannot listen"),
        (vec!["serve", "--registry", "http://127.0.0.1:1", "--web.external-url", "nowhere"], "--web.external-url"),
        (vec!["nonsense"], "unrecognized subcommand"),
    ] {
        let outcome = probe(&arguments).run().await;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.stderr);
    }
}

#[tokio::test]
async fn check_config_prints_every_fault_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.yaml");
    std::fs::write(&file, "registries:\n  - url: ftp://x\n    intervall: 15m\n    concurrency: none\n").unwrap();
    let path = file.display().to_string();
    let outcome = probe(["check-config", &path]).run().await;
    assert_eq!(outcome.code, Some(2));
    for line in 2..=4 {
        assert!(outcome.stderr.contains(&format!("{path}:{line}:")), "{}", outcome.stderr);
    }
    std::fs::write(&file, "registries: [{url: 'https://registry.example.com'}]").unwrap();
    let outcome = probe(["check-config", &path]).run().await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), format!("{path}: valid, 1 registry\n").as_str()));
}

#[tokio::test]
async fn check_config_warns_of_patterns_that_look_like_globs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.yaml");
    let path = file.display().to_string();
    let check = async |patterns: &str| {
        let text = format!(
            "registries:\n  - url: https://registry.example.com\n    repositories:\n      include: {patterns}\n    \
             tags: {{exclude: ['v1.?']}}\n"
        );
        std::fs::write(&file, text).unwrap();
        probe(["check-config", &path]).run().await
    };
    let outcome = check("['team/*', 'team/.*', 'app-*']").await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), format!("{path}: valid, 1 registry\n").as_str()));
    let warnings: Vec<&str> = outcome.stderr.lines().collect();
    let expected = [("4:17", "team/*", "team/.*"), ("4:38", "app-*", "app-.*"), ("5:22", "v1.?", r"v1\\\\..")];
    assert_eq!(warnings.len(), expected.len(), "{}", outcome.stderr);
    for (warning, (place, pattern, meant)) in warnings.iter().zip(expected) {
        for part in ["level=warn", &format!("{path}:{place}:"), pattern, meant] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
    }
    let outcome = check("['*']").await;
    assert_eq!(outcome.code, Some(2), "it is no regular expression at all");
    assert!(outcome.stderr.contains("did you mean \".*\"?"), "{}", outcome.stderr);
}

#[tokio::test]
async fn sweep_exits_by_what_it_found() {
    let registry = Registry::start().await.unwrap();
    let image = Image::index().named("app").platforms(["linux/amd64", "linux/arm64"]);
    registry.push("app:1", &image);
    let sweep = async || probe(["sweep", "--registry", &registry.url()]).run().await;
    let outcome = sweep().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");

    registry.remove_manifest("app", &image.child("linux/arm64").unwrap().digest);
    let outcome = sweep().await;
    assert_eq!(outcome.code, Some(1));
    for said in ["app:1", "linux/arm64", "MISSING", &image.child("linux/arm64").unwrap().digest.to_string()] {
        assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
    }
    assert!(outcome.stdout.lines().all(|line| line.chars().count() <= 80), "{}", outcome.stdout);
    assert_eq!(outcome.stderr, "", "what is found is the result, not a log line");

    registry.go_down().await;
    let outcome = sweep().await;
    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stdout.contains("catalog"), "{}", outcome.stdout);
}

#[tokio::test]
async fn result_goes_to_a_file_or_exits_3() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &Image::manifest().named("app"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json").display().to_string();
    let url = registry.url();
    let outcome = probe(["sweep", "--registry", &url, "--output", "json", "--output.file", &file]).run().await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""));
    let document: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(document["registries"][0]["images"]["intact"], 1);

    let outcome = probe(["sweep", "--registry", &url, "--output.file", "/nonexistent/result"]).run().await;
    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stderr.contains("/nonexistent/result"), "{}", outcome.stderr);
}

#[test]
fn signal_ends_a_job_running_as_pid_1() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_registry-integrity-probe"));
    let mut sweep = command.args(["sweep", "--registry", &url]).env_clear().spawn().unwrap();
    let asked = silent.accept();
    let pid = rustix::process::Pid::from_child(&sweep);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    // Ended by the default action, it would have no code: the first process of a container would go on.
    assert_eq!(sweep.wait().unwrap().code(), Some(143));
    drop(asked);
}

//! Invalid files: each says everything that is wrong with it, and no secret.

use std::fs;
use std::path::Path;

use registry_integrity_probe::config::ConfigError;
use registry_integrity_probe::web::config::LiveWebConfig;

use crate::testkit::probe::probe;
use crate::testkit::tls::PrivateCa;

#[tokio::test]
async fn every_invalid_file_says_all_that_is_wrong_with_it() {
    let ca = PrivateCa::new();
    let (server, scraper) = (ca.server(&["localhost"]), ca.client("scraper"));
    let folder = tempfile::tempdir().unwrap();
    for file in [&server.cert_file, &server.key_file, &scraper.cert_file, &scraper.key_file, &ca.ca_file()] {
        fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/web_config")).unwrap() {
        let fixture = entry.unwrap().path();
        if fixture.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file = folder.path().join(fixture.file_name().unwrap());
        fs::copy(&fixture, &file).unwrap();
        let faults = match LiveWebConfig::load(&file) {
            Err(ConfigError::Faults { faults, .. }) => {
                faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()
            }
            other => panic!("{}: expected faults, got {other:?}", fixture.display()),
        };
        let faults = faults.replace(&format!("{}/", folder.path().display()), "");
        let expected = fs::read_to_string(fixture.with_extension("expected")).unwrap_or_default();
        assert_eq!(faults, expected, "{}", fixture.display());
        assert!(!faults.contains("s3cr3t") && !faults.contains("wonderland"), "{faults}");
        seen += 1;
    }
    assert!(seen >= 20, "{seen} fixtures");
}

#[tokio::test]
async fn an_invalid_file_keeps_the_service_from_starting() {
    let fixture =
        |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).display().to_string();
    let web = fixture("web_config/invalid-rate-limit.yaml");
    let serve = probe([
        "serve",
        "--registry",
        "http://127.0.0.1:1",
        "--web.listen-address=127.0.0.1:0",
        "--web.config.file",
        &web,
    ]);
    let outcome = serve.run().await;
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("invalid-rate-limit.yaml:1:13: `burst`"), "{}", outcome.stderr);

    let probe_config = fixture("config/invalid-size.yaml");
    let check = probe(["check-config", "--web.config.file", &web, &probe_config]).run().await;
    assert_eq!(check.code, Some(2));
    for file in ["invalid-rate-limit.yaml:1:", "invalid-size.yaml:"] {
        assert!(check.stderr.contains(file), "{}", check.stderr);
    }

    let absent = fixture("web_config/absent.yaml");
    let outcome = probe(["serve", "--registry", "http://127.0.0.1:1", "--web.config.file", &absent]).run().await;
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}

#[test]
fn an_empty_file_is_plain_http_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yaml");
    let empty_texts = "tls_server_config: {cert_file: '', key_file: '', client_auth_type: ''}\n";
    for text in ["", "# nothing\n", "tls_server_config: {}\n", empty_texts] {
        fs::write(&path, text).unwrap();
        let config = LiveWebConfig::load(&path);
        let config = config.unwrap().known();
        assert!(config.tls.is_none() && config.users.is_empty() && config.headers.is_empty(), "{text}");
        assert!(config.rate_limit.is_none());
    }
}

/// `docs/web-configuration.md`, by its own examples.
#[test]
fn the_files_that_the_documentation_shows_are_valid() {
    let ca = PrivateCa::new();
    let server = ca.server(&["localhost"]);
    let folder = tempfile::tempdir().unwrap();
    let files = [(server.cert_file, "server.pem"), (server.key_file, "server.key"), (ca.ca_file(), "clients-ca.pem")];
    for (from, to) in files {
        fs::copy(from, folder.path().join(to)).unwrap();
    }
    let page = include_str!("../../../docs/web-configuration.md");
    let examples = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (ours, others): (Vec<_>, Vec<_>) = examples.partition(|example| !example.starts_with("scrape_configs:"));
    assert_eq!((ours.len(), others.len()), (2, 1));
    for example in ours {
        let path = folder.path().join("web.yaml");
        fs::write(&path, example).unwrap();
        let config = LiveWebConfig::load(&path).unwrap_or_else(|error| panic!("{error}")).known();
        assert!(config.rate_limit.is_some() || (config.tls.is_some() && config.users.len() == 1), "{example}");
    }
}

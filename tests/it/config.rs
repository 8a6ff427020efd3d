//! Configuration files as people write them: what each key means and defaults to, and what each fault looks like.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_integrity_probe::config::{
    ByteEvidence, Config, ConfigError, Confirm, Credentials, Evidence, ImageSelector, Limits, Mode, Secret, Spread,
    Target, Tls,
};
use secrecy::ExposeSecret;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(name)
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/probe/probe.yaml"))
}

/// The faults of a file, as `line:column: message`.
fn faults(result: Result<Config, ConfigError>) -> Vec<String> {
    match result {
        Err(ConfigError::Faults { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("expected faults, got {other:?}"),
    }
}

fn inline(secret: &Secret) -> &str {
    match secret {
        Secret::Inline(text) => text.expose_secret(),
        Secret::File(path) => panic!("expected an inline secret, got {path:?}"),
    }
}

fn file(secret: &Secret) -> &Path {
    match secret {
        Secret::File(path) => path,
        Secret::Inline(_) => panic!("expected a file, got an inline secret"),
    }
}

#[test]
fn every_invalid_file_says_all_that_is_wrong_with_it() {
    let folder = fixture("");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "expected") {
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(faults(Config::load(&path.with_extension("yaml"))), expected, "{}", path.display());
        seen += 1;
    }
    let invalid = fs::read_dir(folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.starts_with("invalid-") && name.ends_with(".yaml")
    });
    assert_eq!(seen, invalid.count(), "every invalid file has its expected faults beside it");
}

#[test]
fn faults_are_shown_with_their_file_one_a_line() {
    let error = Config::parse("globl: {}\nregistries: 5", Path::new("probe.yaml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "probe.yaml:1:1: unknown key `globl` (did you mean `global`?)\n\
         probe.yaml:2:13: `registries`: expected a list, found a single value"
    );
}

/// SPEC.md, section 3.
fn assert_defaults(target: &Target) {
    assert_eq!(target.mode, Mode::Authoritative);
    assert_eq!(target.interval, Duration::from_secs(15 * 60));
    assert_eq!(target.request_timeout, Duration::from_secs(30));
    assert_eq!(target.sweep_timeout, None);
    assert_eq!(target.concurrency, 32);
    assert_eq!(target.rate_limit, None);
    assert_eq!(target.spread, Spread::Auto);
    assert_eq!(
        target.evidence,
        Evidence { byte: ByteEvidence::Within(Duration::from_secs(24 * 60 * 60)), content: None, content_budget: None }
    );
    assert_eq!(target.confirm, Confirm { attempts: 3, delay: Duration::from_secs(2) });
    assert_eq!(
        target.limits,
        Limits {
            manifest_bytes: 4 << 20,
            depth: 8,
            descriptors: 10_000,
            objects: 500_000,
            tags: 250_000,
            repositories: 250_000,
            unranged_bytes: 64 << 10,
            list_page_bytes: 16 << 20,
            response_headers: 100,
            redirects: 5,
            retries: 4,
        }
    );
    for filter in [&target.repositories, &target.tags] {
        assert!(filter.include.is_empty() && filter.exclude.is_empty());
    }
    assert!(target.platforms.is_empty() && target.images.is_empty());
    assert_eq!(target.tls, Tls::default());
    assert_eq!(target.proxy_url, None);
}

#[test]
fn a_url_is_enough() {
    let config = Config::load(&fixture("valid-minimal.yaml")).unwrap();
    let [target] = config.registries.as_slice() else { panic!("{config:?}") };
    assert_eq!(target.name, "registry.example.com:5050");
    assert_eq!(target.url.as_str(), "https://registry.example.com:5050/");
    assert!(matches!(target.credentials, Credentials::None));
    assert_defaults(target);

    let alone = Target::with_defaults(target.url.clone());
    assert_eq!(alone.name, "registry.example.com:5050");
    assert_defaults(&alone);
}

#[test]
fn the_specified_example_holds_the_defaults_with_any_of_its_credentials() {
    let example = fs::read_to_string(fixture("spec-example.yaml")).unwrap();
    let keys = ["basic_auth", "authorization", "docker_config"];
    for kept in keys {
        let is_other = |line: &&str| keys.iter().any(|key| *key != kept && line.trim_start().starts_with(key));
        let text: String = example.lines().filter(|line| !is_other(line)).map(|line| format!("{line}\n")).collect();
        let config = parse(&text).unwrap();
        let [target] = config.registries.as_slice() else { panic!("{config:?}") };
        assert_eq!(target.name, "private");
        assert_defaults(target);
        match (kept, &target.credentials) {
            ("basic_auth", Credentials::Basic { username, password }) => {
                assert_eq!(inline(username), "probe");
                assert_eq!(file(password), Path::new("/etc/probe/password"));
            }
            ("authorization", Credentials::Authorization { scheme, credentials }) => {
                assert_eq!(scheme, "Bearer");
                assert_eq!(file(credentials), Path::new("/etc/probe/token"));
            }
            ("docker_config", Credentials::DockerConfig(path)) => {
                assert_eq!(path, Path::new("/etc/probe/config.json"));
            }
            (_, other) => panic!("{kept} was read as {other:?}"),
        }
    }
    let [all_of_them] = &parse(&example).unwrap().registries[..] else { panic!("not one registry") };
    assert!(matches!(all_of_them.credentials, Credentials::Basic { .. }), "of several credentials the first is used");
}

#[test]
fn every_key_is_taken_up() {
    let config = Config::load(&fixture("valid-every-key.yaml")).unwrap();
    let [cache, plain] = config.registries.as_slice() else { panic!("{config:?}") };
    assert_eq!(cache.name, "cache");
    assert_eq!(cache.url.as_str(), "http://cache.example.com/prefix");
    assert_eq!(cache.mode, Mode::PullThrough);
    assert_eq!(cache.interval, Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(cache.request_timeout, Duration::from_millis(500));
    assert_eq!(cache.sweep_timeout, Some(Duration::from_secs(24 * 60 * 60)));
    assert_eq!(cache.concurrency, 4);
    assert_eq!(cache.rate_limit, Some(2.5));
    assert_eq!(cache.spread, Spread::Over(Duration::from_secs(90 * 60)));
    assert_eq!(
        cache.evidence,
        Evidence {
            byte: ByteEvidence::Within(Duration::ZERO),
            content: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            content_budget: Some(20 << 20),
        }
    );
    assert_eq!(cache.confirm, Confirm { attempts: 5, delay: Duration::ZERO });
    let limits = Limits {
        manifest_bytes: 8 << 20,
        depth: 9,
        descriptors: 20_000,
        objects: 1_000_000,
        tags: 300_000,
        repositories: 400_000,
        unranged_bytes: 1 << 20,
        list_page_bytes: 32 << 20,
        response_headers: 200,
        redirects: 2,
        retries: 3,
    };
    assert_eq!(cache.limits, Limits { depth: 12, retries: 0, ..limits }, "the registry's own, then those of all");
    assert_eq!(plain.limits, limits);
    assert!(cache.repositories.admits("team/app") && cache.repositories.admits("infra-ci"));
    assert!(!cache.repositories.admits("team/old") && !cache.repositories.admits("infra-ci/tools"));
    assert!(cache.tags.admits("1.0") && !cache.tags.admits("1.0-dev"));
    assert_eq!(cache.platforms, ["linux/amd64", "linux/arm/v7"].map(|platform| platform.parse().unwrap()));
    let digest = "infra-ci@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(
        cache.images,
        [
            ImageSelector::Repository("infra-ci".parse().unwrap()),
            ImageSelector::Image("infra-ci:latest".parse().unwrap()),
            ImageSelector::Image(digest.parse().unwrap()),
        ]
    );
    let Credentials::Basic { username, password } = &cache.credentials else { panic!("{:?}", cache.credentials) };
    assert_eq!(file(username), fixture("secrets/user"));
    assert_eq!(inline(password), "0123");
    assert_eq!(
        cache.tls,
        Tls {
            ca_file: Some(fixture("ca.pem")),
            cert_file: Some("/etc/probe/client.pem".into()),
            key_file: Some("/etc/probe/client.key".into()),
            server_name: Some("registry.internal".to_string()),
            insecure_skip_verify: true,
        }
    );
    let proxy = cache.proxy_url.as_ref().unwrap().expose();
    assert_eq!(proxy.as_str(), "http://proxy:hunter2@proxy.example.com:3128/");

    assert_eq!(plain.name, "registry.example.com:443");
    assert_eq!(plain.interval, Duration::from_secs(90 * 60));
    assert_eq!(plain.spread, Spread::Over(Duration::ZERO));
    assert_eq!(plain.evidence, Evidence { byte: ByteEvidence::Off, content: None, content_budget: None });
    assert!(matches!(&plain.credentials, Credentials::Authorization { scheme, .. } if scheme == "Bearer"));
    assert_eq!(plain.proxy_url, None);

    assert!(!format!("{config:?}").contains("hunter2") && !format!("{config:#?}").contains("0123"));
}

#[test]
fn aliases_and_merge_keys_repeat_settings() {
    let config = Config::load(&fixture("valid-aliases.yaml")).unwrap();
    let [a, b, c] = config.registries.as_slice() else { panic!("{config:?}") };
    assert_eq!(a.interval, Duration::from_secs(300));
    assert_eq!((b.url.as_str(), b.interval), ("https://b.example.com/", Duration::from_secs(600)));
    assert_eq!(b.tls, a.tls);
    assert_eq!(c.tls, a.tls);
}

#[test]
fn off_may_be_read_as_false() {
    for off in ["off", "false", "no", "\"off\"", "Off", "FALSE"] {
        let config = parse(&format!(
            "registries:\n  - url: https://registry.example.com\n    evidence: {{byte: {off}, content: {off}}}\n"
        ));
        let evidence = &config.unwrap().registries[0].evidence;
        assert_eq!(evidence.byte, ByteEvidence::Off, "{off}");
        assert_eq!(evidence.content, None, "{off}");
    }
}

#[test]
fn a_null_value_is_an_absent_one() {
    let config =
        parse("global:\nregistries:\n  - url: https://r.example\n    interval:\n    basic_auth: ~\n    tags:\n");
    assert_defaults(&config.unwrap().registries[0]);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_not_matter() {
    let config = parse("\u{feff}registries:\r\n  - url: https://r.example\r\n    name: windows\r\n");
    assert_eq!(config.unwrap().registries[0].name, "windows");
    assert_eq!(
        faults(parse("\u{feff}globl: {}\r\nregistries: 5")),
        [
            "1:1: unknown key `globl` (did you mean `global`?)",
            "2:13: `registries`: expected a list, found a single value"
        ]
    );
}

#[test]
fn absent_file_is_not_a_syntax_error() {
    let error = Config::load(&fixture("absent.yaml")).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert!(error.to_string().starts_with("cannot read the configuration "), "{error}");
    assert!(matches!(Config::load(&fixture("")).unwrap_err(), ConfigError::Unreadable { .. }));
}

#[test]
fn an_absurdly_large_file_is_not_read() {
    let text = "#".repeat(4 * 1024 * 1024 + 1);
    assert_eq!(faults(parse(&text)), ["1:1: the file is larger than 4194304 bytes"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.yaml");
    // Cut in the middle of a character by the limit.
    fs::write(&path, "ä".repeat(4 * 1024 * 1024)).unwrap();
    assert_eq!(faults(Config::load(&path)), ["1:1: the file is larger than 4194304 bytes"]);
}

#[test]
fn urls_alone_make_a_configuration() {
    let urls = ["registry.example.com:5050", "localhost:5000", "https://other.example.com:443"];
    let config = Config::from_urls(&urls.map(str::to_string)).unwrap();
    let read: Vec<_> = config.registries.iter().map(|target| (target.name.as_str(), target.url.as_str())).collect();
    assert_eq!(
        read,
        [
            ("registry.example.com:5050", "https://registry.example.com:5050/"),
            ("localhost:5000", "http://localhost:5000/"),
            ("other.example.com:443", "https://other.example.com/"),
        ]
    );
    config.registries.iter().for_each(assert_defaults);
}

#[test]
fn the_documentation_shows_what_is_true() {
    let page = include_str!("../../docs/configuration.md");
    let blocks = |language| {
        page.split(language)
            .skip(1)
            .map(|rest: &str| rest.split("```").next().unwrap().trim_start())
            .collect::<Vec<_>>()
    };
    let [minimal, fuller, faulty] = blocks("```yaml")[..] else { panic!("the page has other examples") };
    let [faults] = blocks("```text")[..] else { panic!("the page has other outputs") };
    for valid in [minimal, fuller] {
        parse(valid).unwrap();
    }
    assert_eq!(Config::parse(faulty, Path::new("probe.yaml")).unwrap_err().to_string(), faults.trim_end());
}

//! The commands of an image's page, each run as it stands there, but for its placeholders, against Debian's docker-registry
//! with the fault planted: they show it, and they mend it.

use std::fs;
use std::process::Output;
use std::time::Duration;

use registry_integrity_probe::demo::{Image, Part};
use serde_json::Value;

use crate::testkit::docker_registry::{DockerRegistry, Options};
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::raw_http::ask;
use crate::testkit::{peer, poll_until};

const BOUND: Duration = Duration::from_secs(30);
const IMAGE: &str = "infra-ci:latest";

/// A step of the page: what it is for, and its command.
struct Step {
    why: String,
    command: Option<String>,
}

impl Step {
    /// True if what the command said is what it says of a whole object.
    fn finds_it_whole(&self, output: &Output, part: &Part) -> bool {
        let command = self.command.as_deref().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let digest = part.digest.to_string();
        let (_, hex) = digest.split_once(':').unwrap();
        match () {
            () if command.starts_with("registry-integrity-probe verify") => {
                assert!(matches!(output.status.code(), Some(0 | 1)), "{command}: {output:?}");
                output.status.success()
            }
            () if command.contains("sha256sum") => said.starts_with(hex),
            () if command.contains("%{http_code}") => said.trim() == "200",
            () if command.ends_with("| wc -c") => said.trim() == part.bytes.len().to_string(),
            () if command.starts_with("curl -sS") => output.status.success() && output.stdout == *part.bytes,
            () => panic!("a command that nobody knows: {command}"),
        }
    }
}

/// A registry that breaks, another one that has everything, and the probe that looks at the first.
struct Planted {
    registry: DockerRegistry,
    other: DockerRegistry,
    image: Image,
    service: RunningProbe,
    folder: tempfile::TempDir,
}

impl Planted {
    /// `None` if a program is not installed.
    async fn new(cache: bool) -> Option<Self> {
        peer("curl")?;
        let registry = DockerRegistry::start_with(Options { cache, ..Options::default() }).await?;
        let other = DockerRegistry::start().await?;
        let image = Image::index().named("infra-ci").platforms(["linux/amd64", "linux/arm64"]);
        registry.push(IMAGE, &image).await;
        other.push(IMAGE, &image).await;
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(
            env!("CARGO_BIN_EXE_registry-integrity-probe"),
            folder.path().join("registry-integrity-probe"),
        )
        .unwrap();
        let config = folder.path().join("probe.yaml");
        let text = format!(
            "registries: [{{name: private, url: '{}', spread: 0s, evidence: {{byte: 0s, content: 0s}}, \
             confirm: {{attempts: 1, delay: 10ms}}}}]",
            registry.url()
        );
        fs::write(&config, text).unwrap();
        let flags = ["serve", "--web.enable-lifecycle", "--config.file", config.to_str().unwrap()];
        let service = probe(flags).serve().await;
        poll_until(BOUND, async || {
            let known: Value = serde_json::from_str(&service.get("/api/v1/registries").await).ok()?;
            known["registries"][0]["last_success"].as_str().map(drop)
        })
        .await;
        Some(Self { registry, other, image, service, folder })
    }

    fn child(&self) -> Part {
        self.image.child("linux/amd64").unwrap().clone()
    }

    fn layer(&self) -> Part {
        self.image.layers().next().unwrap().clone()
    }

    fn config(&self) -> Part {
        self.image.configs().next().unwrap().clone()
    }

    /// Writes other bytes into an object's file.
    fn alter(&self, part: &Part, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.registry.blob_data(&part.digest);
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
    }

    /// Sweeps until the failures are these reasons.
    async fn sweep_until(&self, reasons: &[&str]) {
        poll_until(BOUND, async || {
            ask(self.service.address(), "POST", "/api/v1/registries/private/sweep").send().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let findings: Value = serde_json::from_str(&self.service.get("/api/v1/findings").await).ok()?;
            let failures = findings["failures"].as_array()?;
            failures
                .iter()
                .map(|failure| failure["reason"].as_str())
                .eq(reasons.iter().map(|it| Some(*it)))
                .then_some(())
        })
        .await;
    }

    /// The steps below a heading of the image's page.
    async fn steps(&self, heading: &str, reference: &str) -> Vec<Step> {
        let page = self.service.get(&format!("/image?registry=private&image={IMAGE}")).await;
        let key = format!("<details data-key=\"{heading} {reference}\"");
        let (_, rest) = page.split_once(&key).unwrap_or_else(|| panic!("no {key} in {page}"));
        let (details, _) = rest.split_once("</details>").unwrap();
        let step = |item: &str| {
            let text = item.split_once("</li>").unwrap().0;
            let (why, command) = match text.split_once("<pre class=\"command\"><code>") {
                Some((why, command)) => (why, command.strip_suffix("</code></pre>")),
                None => (text, None),
            };
            Step { why: unescaped(why), command: command.map(unescaped) }
        };
        details.split("<li>").skip(1).map(step).collect()
    }

    async fn run(&self, command: &str) -> Output {
        let script = command
            .replace("/var/lib/registry", &self.registry.root().display().to_string())
            .replace("docker://SOURCE", &format!("docker://{}/{IMAGE}", self.other.address()))
            .replace("SOURCE", &self.other.url());
        let folder = self.folder.path();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let shell = tokio::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .current_dir(folder)
            .env_clear()
            .env("PATH", path)
            .env("HOME", folder)
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(BOUND, shell).await.expect("a command that ends").unwrap()
    }

    /// Runs what the page offers to confirm a failure, and tells which of it finds the object whole.
    async fn confirm(&self, steps: &[Step], part: &Part) -> Vec<bool> {
        let mut whole = Vec::new();
        for step in steps {
            let output = self.run(step.command.as_deref().unwrap()).await;
            whole.push(step.finds_it_whole(&output, part));
        }
        whole
    }

    /// Does what the page says mends it, as far as `is_wanted`; the last step reads it again.
    async fn mend(&mut self, steps: &[Step], is_wanted: impl Fn(&str) -> bool) {
        for step in steps {
            let Some(command) = &step.command else {
                if step.why.starts_with("Restart the registry") {
                    self.registry.restart().await;
                }
                continue;
            };
            if is_wanted(&step.why) {
                let output = self.run(command).await;
                assert!(output.status.success(), "{command}: {output:?}");
            }
        }
    }

    /// The whole way, from the planted fault to the sweep that finds nothing any more.
    async fn is_confirmed_and_mended(&mut self, part: &Part, reason: &str) {
        self.sweep_until(&[reason]).await;
        let reference = part.digest.to_string();
        let (confirm, mend) = (self.steps("confirm", &reference).await, self.steps("repair", &reference).await);
        let seen = self.confirm(&confirm, part).await;
        assert!(seen.iter().all(|is_whole| !is_whole), "{reason}: {seen:?}");
        self.mend(&mend, |_| true).await;
        let seen = self.confirm(&confirm, part).await;
        assert!(seen.iter().all(|is_whole| *is_whole), "{reason}, mended: {seen:?}");
        self.sweep_until(&[]).await;
    }
}

/// Text as the page has it, for people.
fn unescaped(text: &str) -> String {
    [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
        .iter()
        .fold(text.to_string(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[tokio::test]
async fn what_has_other_bytes_or_another_length_is_confirmed_and_mended() {
    let Some(mut planted) = Planted::new(false).await else { return };
    let (layer, config, child) = (planted.layer(), planted.config(), planted.child());
    for part in [&layer, &config] {
        planted.alter(part, |bytes| bytes[0] ^= 1);
        planted.sweep_until(&["digest_mismatch"]).await;
        // Why the file goes first: the registry takes it, and writes nothing.
        let steps = planted.steps("repair", &part.digest.to_string()).await;
        planted
            .mend(&steps, |why| why.starts_with("Download it from another registry") || why.starts_with("Upload it"))
            .await;
        planted.is_confirmed_and_mended(part, "digest_mismatch").await;
    }
    planted.alter(&layer, |bytes| bytes.truncate(bytes.len() / 2));
    planted.is_confirmed_and_mended(&layer, "size_mismatch").await;
    planted.alter(&layer, |bytes| bytes.push(0));
    planted.is_confirmed_and_mended(&layer, "size_mismatch").await;

    // Still JSON, and as long as before.
    planted.alter(&child, |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replacen("sha256:", "sha257:", 1).into_bytes();
    });
    planted.is_confirmed_and_mended(&child, "digest_mismatch").await;
    planted.alter(&child, |bytes| bytes.push(b'\n'));
    planted.is_confirmed_and_mended(&child, "size_mismatch").await;
}

#[tokio::test]
async fn what_is_promised_and_cannot_be_read_is_confirmed_and_mended() {
    let Some(mut planted) = Planted::new(true).await else { return };
    let (layer, child) = (planted.layer(), planted.child());
    // The cache goes on promising it.
    fs::remove_file(planted.registry.blob_data(&layer.digest)).unwrap();
    planted.is_confirmed_and_mended(&layer, "unreadable").await;
    planted.alter(&layer, |bytes| bytes.truncate(1));
    planted.is_confirmed_and_mended(&layer, "unreadable").await;
    planted.alter(&child, Vec::clear);
    planted.is_confirmed_and_mended(&child, "unreadable").await;
}

#[tokio::test]
async fn what_is_missing_is_confirmed_and_mended() {
    let Some(mut planted) = Planted::new(false).await else { return };
    let (layer, child) = (planted.layer(), planted.child());
    fs::remove_file(planted.registry.blob_data(&layer.digest)).unwrap();
    planted.is_confirmed_and_mended(&layer, "missing").await;

    // Either way mends a link that is gone, and its bytes lie there all the time.
    for way in ["On the registry's host", "If another registry has it"] {
        fs::remove_file(planted.registry.revision_link("infra-ci", &child.digest)).unwrap();
        planted.sweep_until(&["missing"]).await;
        let reference = child.digest.to_string();
        let (confirm, mend) = (planted.steps("confirm", &reference).await, planted.steps("repair", &reference).await);
        assert_eq!(planted.confirm(&confirm, &child).await, [false, true, false], "{way}");
        planted.mend(&mend, |why| why.starts_with(way)).await;
        assert_eq!(planted.confirm(&confirm, &child).await, [true; 3], "{way}");
        planted.sweep_until(&[]).await;
    }
}

#[tokio::test]
async fn a_tag_that_leads_nowhere_is_confirmed_and_mended() {
    let Some(_) = peer("skopeo") else { return };
    let Some(mut planted) = Planted::new(false).await else { return };
    let containers = planted.folder.path().join(".config/containers");
    fs::create_dir_all(&containers).unwrap();
    fs::write(containers.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let source = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", planted.other.address());
    fs::write(containers.join("registries.conf"), source).unwrap();
    fs::remove_file(planted.registry.tag_link("infra-ci", "latest")).unwrap();
    planted.sweep_until(&["missing"]).await;
    let (confirm, mend) = (planted.steps("confirm", IMAGE).await, planted.steps("repair", IMAGE).await);
    let root = planted.image.root().clone();
    let [asked, listed] = &confirm[..] else { panic!("{} steps", confirm.len()) };
    let names = planted.run(listed.command.as_deref().unwrap()).await;
    assert!(String::from_utf8_lossy(&names.stdout).contains("\"latest\""), "{names:?}");
    let ask_for_it = std::slice::from_ref(asked);
    assert_eq!(planted.confirm(ask_for_it, &root).await, [false]);
    planted.mend(&mend, |_| true).await;
    assert_eq!(planted.confirm(ask_for_it, &root).await, [true]);
    planted.sweep_until(&[]).await;
}

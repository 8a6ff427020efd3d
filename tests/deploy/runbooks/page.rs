//! A page of `docs/runbooks`, and its commands.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;

use regex::Regex;

use crate::testkit::monitoring::PATIENCE;
use crate::testkit::peer;

/// What a command between backticks begins with, if more follows.
const PROGRAMS: [&str; 10] = [
    "registry-integrity-probe",
    "registry",
    "kubectl",
    "ctr",
    "curl",
    "skopeo",
    "docker",
    "journalctl",
    "amtool",
    "promtool",
];

/// What stands between backticks like a command and is run nowhere, and why.
pub const NOT_RUN: [(&str, &str); 8] = [
    ("ctr -n k8s.io images export image.tar HOST/REPOSITORY:TAG", "it asks the containerd of a node"),
    ("docker push", "a name without arguments, and it asks a daemon"),
    ("docker buildx imagetools create", "a name without arguments, and it asks a daemon"),
    ("kubectl describe pod", "a name without arguments"),
    ("skopeo copy --all", "a name without arguments; the blocks run it"),
    ("skopeo inspect", "a name without arguments, of what is no proof"),
    ("registry-integrity-probe scan", "a name without arguments; its own page's blocks run it"),
    ("registry garbage-collect --delete-untagged", "a warning of it; tests/scan_collector.rs shows what it destroys"),
];

/// Where the pages lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks")
}

/// One command, query or file of a page.
pub struct Command {
    /// `sh`, `promql` or `yaml`, as its block says; `inline` if it stands between backticks.
    pub language: String,
    pub text: String,
}

/// All of a page's, in its order, those between backticks last.
pub fn commands(page: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let mut prose = String::new();
    for (nth, part) in page.split("```").enumerate() {
        if nth % 2 == 0 {
            prose += part;
        } else {
            let (language, text) = part.split_once('\n').unwrap();
            found.push(Command { language: language.to_string(), text: text.to_string() });
        }
    }
    let mut spans: Vec<&str> = prose.split('`').skip(1).step_by(2).collect();
    spans.sort_unstable();
    spans.dedup();
    let is_command = |span: &&str| span.split_once(' ').is_some_and(|(first, _)| PROGRAMS.contains(&first));
    let inline = spans.into_iter().filter(is_command);
    found.extend(inline.map(|span| Command { language: "inline".to_string(), text: span.to_string() }));
    found
}

/// A page whose commands are run.
pub struct Runbook {
    pub alert: &'static str,
    /// What the shell has as its home.
    pub folder: tempfile::TempDir,
    commands: Vec<Command>,
    run: RefCell<BTreeSet<usize>>,
    replacements: Vec<(&'static str, String)>,
}

impl Runbook {
    /// `None` if a program that the pages use is not installed.
    pub fn open(alert: &'static str, replacements: Vec<(&'static str, String)>) -> Option<Self> {
        for program in ["curl", "jq", "skopeo"] {
            peer(program)?;
        }
        let commands = commands(&fs::read_to_string(folder().join(format!("{alert}.md"))).unwrap());
        assert!(!commands.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(".config/containers");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
        let host = replacements.iter().find(|(name, _)| *name == "HOST").map(|(_, host)| host.as_str());
        let insecure = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", host.unwrap_or("none"));
        fs::write(config.join("registries.conf"), insecure).unwrap();
        let program = folder.path().join("registry-integrity-probe");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_registry-integrity-probe"), program).unwrap();
        Some(Self { alert, folder, commands, run: RefCell::default(), replacements })
    }

    /// Where kubectl finds its cluster from now on.
    pub fn in_cluster(self, server: SocketAddr) -> Self {
        let config = self.folder.path().join(".kube");
        fs::create_dir_all(&config).unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'http://{server}'}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
             users: [{{name: test, user: {{}}}}]\n"
        );
        fs::write(config.join("config"), text).unwrap();
        self
    }

    /// A program under the name that the page has for it.
    pub fn with_program(self, name: &str, program: &Path) -> Self {
        std::os::unix::fs::symlink(program, self.folder.path().join(name)).unwrap();
        self
    }

    fn take(&self, is_wanted: impl Fn(&Command) -> bool) -> Vec<&str> {
        let wanted = self.commands.iter().enumerate().filter(|(_, command)| is_wanted(command));
        wanted
            .map(|(nth, command)| {
                self.run.borrow_mut().insert(nth);
                command.text.as_str()
            })
            .collect()
    }

    /// Runs the blocks that hold these words, in the order of the page, in one shell.
    pub async fn run(&self, words: &[&str]) -> Output {
        let script = self.take(|it| it.language == "sh" && words.iter().any(|word| it.text.contains(word))).concat();
        for word in words {
            assert!(script.contains(word), "no block has {word}");
        }
        self.shell(&script).await
    }

    /// Runs a command that stands between backticks.
    pub async fn run_inline(&self, text: &str) -> Output {
        let script = self.take(|it| it.language == "inline" && it.text == text).concat();
        assert_eq!(script, text, "it stands nowhere between backticks");
        self.shell(&script).await
    }

    /// The queries of all blocks of PromQL, one a line.
    pub fn queries(&self) -> Vec<&str> {
        self.take(|it| it.language == "promql").into_iter().flat_map(str::lines).collect()
    }

    /// The only block of YAML.
    pub fn yaml(&self) -> &str {
        let blocks = self.take(|it| it.language == "yaml");
        assert_eq!(blocks.len(), 1);
        blocks[0]
    }

    async fn shell(&self, script: &str) -> Output {
        let mut script = script.replace("https://", "http://");
        for port in ["PROBE:10500", "PUSHGATEWAY:9091", "ALERTMANAGER:9093"] {
            script = script.replace(port, port.split(':').next().unwrap());
        }
        for (placeholder, value) in &self.replacements {
            if placeholder.starts_with('/') {
                script = script.replace(placeholder, value);
                continue;
            }
            // Not the variable of that name: `$TAG`, `${TAG`, `TAG=`.
            let placeholder = Regex::new(&format!(r"(^|[^$\w{{]){placeholder}($|[^=\w])")).unwrap();
            script = placeholder.replace_all(&script, format!("${{1}}{value}${{2}}")).into_owned();
        }
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let home = self.folder.path();
        let shell = tokio::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .current_dir(home)
            .env_clear()
            .env("PATH", path)
            .env("HOME", home)
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(PATIENCE, shell).await.expect("a runbook's commands end").unwrap()
    }

    /// What another reader of the same page has run counts too.
    pub fn join(&self, other: &Self) {
        assert_eq!(self.alert, other.alert);
        self.run.borrow_mut().extend(other.run.borrow().iter());
    }

    /// Every command of the page has been run, but for those of [`NOT_RUN`].
    #[track_caller]
    pub fn is_done(&self) {
        let is_left = |(nth, command): &(usize, &Command)| {
            !self.run.borrow().contains(nth) && !NOT_RUN.iter().any(|(text, _)| *text == command.text)
        };
        let left = self.commands.iter().enumerate().filter(is_left).map(|(_, command)| &command.text);
        let left: Vec<_> = left.collect();
        assert!(left.is_empty(), "{} of {left:#?}", self.alert);
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

//! A running service with a web configuration, and the certificates for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_integrity_probe::demo::{Image, Registry};
use tempfile::TempDir;

use crate::testkit::poll_until;
use crate::testkit::probe::{RunningProbe, probe};
use crate::testkit::tls::{Issued, PrivateCa};

pub const BOUND: Duration = Duration::from_secs(60);

/// `alice` with the password `wonderland`, at bcrypt's lowest cost.
pub fn alice() -> String {
    format!("basic_auth_users: {{alice: '{}'}}\n", hash("wonderland"))
}

pub fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// A folder with certificates, a probe's configuration, and a web configuration `web.yaml`.
pub struct Setup {
    pub ca: PrivateCa,
    pub server: Issued,
    pub folder: TempDir,
    registry: Registry,
}

impl Setup {
    pub async fn new() -> Self {
        let ca = PrivateCa::new();
        let server = ca.server(&["localhost", "127.0.0.1"]);
        let registry = Registry::start().await.unwrap();
        registry.push("app:1", &Image::index().named("app").platforms(["linux/amd64"]));
        let setup = Self { ca, server, folder: tempfile::tempdir().unwrap(), registry };
        setup.write_probe_config("");
        setup
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn write_probe_config(&self, more: &str) {
        let text = format!("registries: [{{name: r, url: '{}'}}]\n{more}", self.registry.url());
        fs::write(self.path("probe.yaml"), text).unwrap();
    }

    /// `tls_server_config` with the server's certificate and these further lines.
    pub fn tls(&self, further: &[&str]) -> String {
        let mut text = format!(
            "tls_server_config:\n  cert_file: {}\n  key_file: {}\n",
            self.server.cert_file.display(),
            self.server.key_file.display()
        );
        for line in further {
            text += &format!("  {line}\n");
        }
        text
    }

    pub fn client_ca(&self) -> String {
        format!("client_ca_file: {}", self.ca.ca_file().display())
    }

    /// Replaces the web configuration at once, as an editor or Kubernetes does.
    pub fn write(&self, web_config: &str) {
        fs::write(self.path("web.yaml.new"), web_config).unwrap();
        fs::rename(self.path("web.yaml.new"), self.path("web.yaml")).unwrap();
    }

    pub async fn serve(&self, web_config: &str) -> RunningProbe {
        self.write(web_config);
        let arguments = ["serve", "--web.enable-lifecycle", "--log.level=debug", "--config.file"];
        let paths = [self.path("probe.yaml"), PathBuf::from("--web.config.file"), self.path("web.yaml")];
        let command = arguments.iter().map(PathBuf::from).chain(paths);
        probe(command).serve_unasked().await
    }
}

/// Waits for a line of the log.
pub async fn until_logged(service: &RunningProbe, text: &str) {
    poll_until(BOUND, async || service.stderr().contains(text).then_some(())).await;
}

pub fn display(path: &Path) -> String {
    path.display().to_string()
}

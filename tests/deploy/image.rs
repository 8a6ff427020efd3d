//! `deploy/image`: the image is built for real, looked into, pushed to a real registry, and verified from within itself.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::objects::{project, read};
use crate::testkit::docker_registry::DockerRegistry;
use crate::testkit::peers::{not_installed, skipped};
use crate::testkit::raw_http::ask;
use crate::testkit::skopeo::skopeo;
use crate::testkit::tls::{PrivateCa, TlsFront};
use crate::testkit::{free_address, peer, poll_until};

const PROGRAM: &str = "/usr/local/bin/registry-integrity-probe";
const TARGET: &str = "x86_64-unknown-linux-musl";
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const BOUND: Duration = Duration::from_secs(60);

/// True if the tools of the build are installed.
fn can_build() -> bool {
    let programs = ["buildah", "skopeo", "musl-gcc", "cargo-cyclonedx", "find", "tar"].map(peer);
    programs.iter().all(Option::is_some) && has_target()
}

fn has_target() -> bool {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output().unwrap();
    let is_installed = Path::new(String::from_utf8(libraries.stdout).unwrap().trim()).is_dir();
    is_installed || not_installed::<()>(TARGET).is_some()
}

/// Builds an archive with the authorities of a file, and tells its digest.
fn build(archive: &Path, authorities: &Path) -> String {
    let built = Command::new(project("deploy/image/build.sh"))
        .arg(archive)
        .env("PROFILE", "dev")
        .env("CERTIFICATES", authorities)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    String::from_utf8(built.stdout).unwrap().trim().to_string()
}

/// The image, laid out as a container's root.
struct Container {
    root: TempDir,
    config: Value,
}

impl Container {
    async fn of(archive: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = format!("oci-archive:{}", archive.display());
        let copied = skopeo(&["copy", &from, &format!("dir:{}", folder.path().display())]).await.unwrap();
        assert!(copied.status.success(), "{copied:?}");
        let json = |name: &str| serde_json::from_slice::<Value>(&fs::read(folder.path().join(name)).unwrap()).unwrap();
        let hex =
            |descriptor: &Value| descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_string();
        let manifest = json("manifest.json");
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            let mut unpack = Command::new("tar");
            unpack.arg("-xpf").arg(folder.path().join(hex(layer))).arg("-C").arg(root.path());
            assert!(unpack.status().unwrap().success());
        }
        Self { root, config: json(&hex(&manifest["config"])) }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside.trim_start_matches('/'))
    }

    fn files(&self) -> BTreeSet<String> {
        let found = Command::new("find").arg(self.root.path()).args(["!", "-type", "d", "-printf", "/%P\n"]).output();
        String::from_utf8(found.unwrap().stdout).unwrap().lines().map(ToString::to_string).collect()
    }

    /// The program within, as the image's user, who may write nowhere.
    fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let user = self.config["config"]["User"].as_str().unwrap();
        // By its path, since nothing of the environment reaches it.
        let mut command = Command::new(peer("chroot").expect("a part of every Linux"));
        command.arg(format!("--userspec={user}")).arg(self.root.path()).arg(PROGRAM).args(arguments);
        command.env_clear().stdin(Stdio::null());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        tokio::process::Command::from(self.command(arguments)).output().await.unwrap()
    }
}

#[tokio::test]
async fn the_image_verifies_itself_in_a_registry_from_within() {
    if !can_build() {
        return;
    }
    let Some(registry) = DockerRegistry::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    // One authority beside those of the machine.
    let ca = PrivateCa::new();
    let authorities = folder.path().join("authorities.pem");
    let of_the_machine = fs::read_to_string(AUTHORITIES).unwrap();
    fs::write(&authorities, format!("{of_the_machine}\n{}", fs::read_to_string(ca.ca_file()).unwrap())).unwrap();

    let archive = folder.path().join("image.tar");
    let digest = build(&archive, &authorities);
    assert_eq!(build(&folder.path().join("again.tar"), &authorities), digest, "the same source makes the same image");

    let container = Container::of(&archive).await;
    contents(&container, &authorities);
    bill_of_materials(&container);

    let name = "tools/registry-integrity-probe";
    let from = format!("oci-archive:{}", archive.display());
    let to = format!("docker://{}/{name}:0.1.0", registry.address());
    let pushed = skopeo(&["copy", "--dest-tls-verify=false", &from, &to]).await.unwrap();
    assert!(pushed.status.success(), "{pushed:?}");

    if !rustix::process::geteuid().is_root() {
        skipped("only root may change the root folder");
        return;
    }
    // Names are found without the libraries that a C library loads for that, and the registry's certificate is trusted.
    fs::write(container.path("/etc/hosts"), "127.0.0.1 registry.test\n").unwrap();
    let front = TlsFront::start(registry.address(), &ca.server(&["registry.test"])).await;
    let image = format!("registry.test:{}/{name}@{digest}", front.address().port());
    let verified = container.run(&["verify", "--evidence=content", &image]).await;
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.code() == Some(0) && said.contains("INTACT"), "{said} {:?}", verified.stderr);

    fs::remove_file(registry.revision_link(name, &digest.parse().unwrap())).unwrap();
    let verified = container.run(&["verify", &image]).await;
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");

    serves(&container, &registry.url()).await;
}

/// Nothing but what it needs, and nobody but root may change it.
fn contents(container: &Container, authorities: &Path) {
    let wanted = [
        AUTHORITIES,
        "/etc/group",
        "/etc/passwd",
        PROGRAM,
        "/usr/share/licenses/registry-integrity-probe/LICENSE",
        "/usr/share/sbom/registry-integrity-probe.cdx.json",
    ];
    assert_eq!(container.files(), wanted.map(ToString::to_string).into());
    assert_eq!(fs::read(container.path(AUTHORITIES)).unwrap(), fs::read(authorities).unwrap());
    for file in wanted {
        let mode = fs::metadata(container.path(file)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, if file == PROGRAM { 0o755 } else { 0o644 }, "{file}");
    }
    let config = &container.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!([PROGRAM]));
    assert_eq!(config["ExposedPorts"], json!({"10500/tcp": {}}));
    assert_eq!(config["Labels"]["org.opencontainers.image.title"], "registry-integrity-probe");
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], env!("CARGO_PKG_LICENSE"));
}

/// Every crate that the target needs is in it, and nothing of the machine that built it.
fn bill_of_materials(container: &Container) {
    let text = fs::read_to_string(container.path("/usr/share/sbom/registry-integrity-probe.cdx.json")).unwrap();
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")));
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
    assert_eq!(bill["metadata"]["component"]["name"], "registry-integrity-probe");
    let named = |component: &Value| {
        format!("{} v{}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
    };
    let components: BTreeSet<String> = bill["components"].as_array().unwrap().iter().map(named).collect();
    let tree = Command::new("cargo")
        .args(["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}", "--target", TARGET])
        .current_dir(project(""))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<String> =
        tree.lines().filter(|line| !line.is_empty()).map(|line| line.split(" (").next().unwrap().to_string()).collect();
    let own = concat!("registry-integrity-probe v", env!("CARGO_PKG_VERSION"));
    let missing: Vec<&String> = crates.difference(&components).filter(|name| *name != own).collect();
    assert!(crates.len() > 100 && missing.is_empty(), "{missing:?}");
}

async fn serves(container: &Container, registry: &str) {
    let address = free_address();
    let arguments = ["serve".to_string(), format!("--registry={registry}"), format!("--web.listen-address={address}")];
    let mut process = tokio::process::Command::from(container.command(arguments)).kill_on_drop(true).spawn().unwrap();
    poll_until(BOUND, async || {
        let ready = tokio::net::TcpStream::connect(address).await.is_ok();
        (ready && ask(address, "GET", "/-/ready").send().await.status == Some(200)).then_some(())
    })
    .await;
    let id = Pid::from_raw(process.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    assert_eq!(process.wait().await.unwrap().code(), Some(0));
}

#[test]
fn containerfile_has_this_version_and_pins_its_base() {
    let text = read("deploy/image/Containerfile");
    assert!(text.contains(concat!("ARG VERSION=", env!("CARGO_PKG_VERSION"), "\n")), "{text}");
    for line in text.lines().filter(|line| line.starts_with("ARG RUST=")) {
        assert!(line.contains(':') && !line.ends_with(":latest"), "{line}");
    }
    // What .ci/install installs is what the image is built with.
    let version = "cargo-cyclonedx@0.5.9";
    assert!(text.contains(version));
    if let Ok(ci) = fs::read_to_string(project(".ci/install")) {
        assert!(ci.contains(version));
    }
}

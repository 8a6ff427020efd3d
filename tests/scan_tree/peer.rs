//! The real registries.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use registry_integrity_probe::storage::collector::{Collector, Engine};

/// The program of an engine, or none with a printed line; with `REQUIRE_PEERS=1` a missing one is a failure.
pub fn registry(engine: Engine) -> Option<PathBuf> {
    let names: Vec<OsString> = match engine {
        Engine::V2 => vec!["docker-registry".into()],
        Engine::V3 => {
            let home = std::env::var_os("HOME").map(|home| Path::new(&home).join("go/bin/registry").into_os_string());
            std::env::var_os("DISTRIBUTION_V3").into_iter().chain(["distribution-v3".into()]).chain(home).collect()
        }
    };
    let found = names.iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    if found.is_none() {
        assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|it| it != "1"), "no registry {}", engine.number());
        println!("skipped: no registry {} here ({names:?})", engine.number());
    }
    found.map(PathBuf::from)
}

pub fn configuration(root: &Path, port: u16) -> String {
    format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: \"127.0.0.1:{port}\"}}\n",
        root.display()
    )
}

/// Collects the garbage of a registry's `rootdirectory`.
pub fn garbage_collect(program: &Path, collector: Collector, root: &Path) -> Output {
    let file = root.with_extension("yml");
    std::fs::write(&file, configuration(root, 0)).unwrap();
    let mut command = Command::new(program);
    command.arg("garbage-collect");
    if collector.delete_untagged {
        command.arg("--delete-untagged");
    }
    command.arg(&file).output().unwrap()
}

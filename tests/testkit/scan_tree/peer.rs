//! The real registries.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use registry_integrity_probe::storage::collector::{Collector, Engine};

use crate::testkit::peers;

/// The program of an engine, if it is installed.
pub fn registry(engine: Engine) -> Option<PathBuf> {
    match engine {
        Engine::V2 => peers::peer("docker-registry"),
        Engine::V3 => peers::distribution_v3(),
    }
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

//! A storage with one healthy image, and what a scan says of it.

use std::path::Path;

use clap::Parser;
use registry_integrity_probe::cli::Exit;
use registry_integrity_probe::cli::arguments::ScanArgs;
use registry_integrity_probe::cli::scan::run;
use registry_integrity_probe::oci::Digest;
use serde_json::Value;

use super::{Manifest, TreeBuilder};

#[derive(clap::Parser)]
pub struct Cli {
    #[command(flatten)]
    pub args: ScanArgs,
}

/// A storage with one healthy image of two platforms, and what a scan says of it.
pub struct Storage {
    pub place: tempfile::TempDir,
    pub tree: TreeBuilder,
    pub index: Manifest,
}

pub struct Said {
    pub status: Exit,
    pub out: String,
    pub err: String,
}

impl Storage {
    pub fn healthy() -> Self {
        let place = tempfile::tempdir().unwrap();
        let tree = TreeBuilder::new(&place.path().join("registry"));
        let amd64 = Manifest::image("linux/amd64", "config amd64", &["shared", "only amd64"]);
        let arm64 = Manifest::image("linux/arm64", "config arm64", &["shared", "only arm64"]);
        let index = Manifest::index(vec![amd64, arm64]);
        tree.push("team/app", &index, Some("1.2"));
        tree.push("team/app", &index, Some("latest"));
        Self { place, tree, index }
    }

    pub fn child(&self, number: usize) -> Digest {
        self.index.children[number].digest()
    }

    pub fn scan(&self, flags: &[&str]) -> Said {
        scan(flags, &[self.place.path()])
    }

    pub fn json(&self, flags: &[&str]) -> (Exit, Value) {
        let said = self.scan(&[flags, &["--output", "json"]].concat());
        (said.status, serde_json::from_str(&said.out).unwrap())
    }

    /// The one finding that there is.
    pub fn finding(&self, flags: &[&str]) -> Value {
        let (status, report) = self.json(flags);
        let findings = report["roots"][0]["findings"].as_array().unwrap().clone();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let is_failure = findings[0]["class"] != "orphan_layer_link";
        assert_eq!(status, if is_failure { Exit::Failure } else { Exit::Success });
        findings[0].clone()
    }
}

pub fn scan(flags: &[&str], roots: &[&Path]) -> Said {
    let mut arguments = vec!["scan".into()];
    arguments.extend(flags.iter().map(std::ffi::OsString::from));
    arguments.extend(roots.iter().map(|root| root.as_os_str().to_owned()));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run(&Cli::try_parse_from(arguments).unwrap().args, &mut out, &mut err);
    Said { status, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

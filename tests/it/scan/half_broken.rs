//! Storages that are half broken, or change while they are read: everything odd is reported, nothing stops a scan.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::render::Terminal;
use registry_integrity_probe::storage::collector::{Collector, collect};
use registry_integrity_probe::storage::{
    Class, Disk, Entry, EntryKind, Fault, RootReport, ScanOptions, Source, locate, read, scan,
};
use rustix::fs::{CWD, FileType, Mode};

use crate::testkit::scan_tree::{Manifest, TreeBuilder, data, layer_link, revision_link};

fn image(name: &str) -> Manifest {
    Manifest::index(vec![
        Manifest::image("linux/amd64", &format!("config {name}"), &["shared", name]),
        Manifest::image("linux/arm64", &format!("config arm {name}"), &["shared"]),
    ])
}

fn report(root: &Path) -> RootReport {
    let options = ScanOptions { collectors: Collector::ALL.to_vec(), content: true, ..ScanOptions::default() };
    scan(&locate(&[root]).unwrap().registries[0], false, &options, &())
}

fn pipe(path: PathBuf) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// Asserts that each of these paths is reported, with these words.
fn assert_noted(report: &RootReport, expected: &[(&str, &str)]) {
    for (path, words) in expected {
        let is_it = |note: &&registry_integrity_probe::storage::tree::Unverified| note.path == *path;
        let note = report.unverified.iter().find(is_it);
        assert!(note.is_some_and(|it| it.detail.contains(words)), "{path}: {words}\n{:#?}", report.unverified);
    }
}

#[test]
fn pipes_sockets_and_links_into_nowhere_are_reported_and_hang_nothing() {
    let place = tempfile::tempdir().unwrap();
    let tree = TreeBuilder::new(place.path());
    tree.push("app", &image("1"), Some("1"));
    let v2 = tree.v2();
    let replace = |path: &str, with: fn(PathBuf)| {
        let path = v2.join(path);
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        with(path);
    };
    let (layer, own) = (Digest::sha256(b"shared"), Digest::sha256(b"1"));
    let child = image("1").children[0].digest();
    replace(&layer_link("app", &layer), pipe);
    replace(&data(&own), pipe);
    replace(&revision_link("app", &child), |path| symlink("/nowhere/at/all", path).unwrap());
    replace("repositories/app/_manifests/tags/odd", pipe);
    replace("repositories/pipe", pipe);
    replace("blobs/sha256/dangling", |path| symlink("nowhere", path).unwrap());
    let _listener = UnixListener::bind(v2.join("blobs/socket")).unwrap();
    fs::create_dir_all(v2.join("repositories/app/_manifests/tags/folder/current/link")).unwrap();
    symlink("self", v2.join("repositories/self")).unwrap();

    let began = Instant::now();
    let report = report(place.path());
    assert!(began.elapsed() < Duration::from_secs(20));
    let own_data = data(&own);
    assert_noted(
        &report,
        &[
            (&layer_link("app", &layer), "a pipe"),
            (&own_data, "a pipe"),
            (&revision_link("app", &child), "a dangling symbolic link"),
            ("repositories/app/_manifests/tags/odd", "a pipe"),
            ("repositories/pipe", "a pipe"),
            ("blobs/sha256/dangling", "a dangling symbolic link"),
            ("blobs/socket", "a socket"),
            ("repositories/app/_manifests/tags/folder/current/link", "a directory"),
            ("repositories/self", "cannot be followed"),
        ],
    );
    let orphan = report.findings.iter().find(|finding| finding.class == Class::OrphanChild).unwrap();
    assert_eq!(orphan.digest, Some(child.to_string()), "a registry finds nothing behind such a link either");
    assert!(report.findings.iter().all(|it| it.class != Class::MissingLayer), "a pipe proves nothing");
}

#[test]
fn names_in_no_encoding_and_links_in_circles_are_reported() {
    let place = tempfile::tempdir().unwrap();
    let tree = TreeBuilder::new(place.path());
    tree.push("app", &image("1"), Some("1"));
    let repositories = tree.v2().join("repositories");
    let odd = repositories.join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir_all(odd.join("_layers")).unwrap();
    fs::create_dir_all(odd.join("_manifests")).unwrap();
    let tag = repositories.join("app/_manifests/tags").join(OsStr::from_bytes(b"\xff"));
    fs::create_dir_all(tag.join("current")).unwrap();
    symlink("..", repositories.join("app/up")).unwrap();
    symlink("app", repositories.join("alias")).unwrap();

    let report = report(place.path());
    assert_noted(
        &report,
        &[
            (r"repositories/caf\xe9", "not a valid repository name"),
            (r"repositories/app/_manifests/tags/\xff", "not a valid tag"),
            ("repositories/app/up", "a symbolic link to a parent directory"),
        ],
    );
    assert_eq!(report.repositories, 3, "a linked repository is one of its own");
    let aborts: Vec<_> = report.garbage_collection.iter().map(|it| it.aborts.clone().unwrap_or_default()).collect();
    assert!(aborts.iter().all(|why| why.contains("symbolic link to a parent directory")), "{aborts:?}");
    let (json, mut text) = (serde_json::to_string(&report).unwrap(), Vec::new());
    let whole = registry_integrity_probe::storage::ScanReport { roots: vec![report], not_scanned: Vec::new() };
    registry_integrity_probe::render::scan(&whole, Terminal::default(), &mut text).unwrap();
    assert!(json.contains(r"caf\\xe9") && String::from_utf8(text).unwrap().contains(r"caf\xe9"));
}

/// Runs as a child without rights, if the tests run as root.
#[test]
#[ignore = "a part of the next test"]
fn scan_without_rights() {
    if let Some(root) = std::env::var_os("SCAN_WITHOUT_RIGHTS") {
        serde_json::to_writer(std::io::stdout(), &report(Path::new(&root))).unwrap();
    }
}

#[test]
fn what_one_may_not_read_is_neither_intact_nor_missing() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tree = TreeBuilder::new(place.path());
    tree.push("app", &image("1"), Some("1"));
    tree.push("closed", &image("1"), Some("1"));
    let child = image("1").children[0].digest();
    let closed = [
        data(&image("1").digest()),
        revision_link("app", &child),
        "repositories/closed/_layers".to_string(),
        format!("blobs/sha256/{}", &Digest::sha256(b"config 1").to_string()[7..9]),
    ];
    for path in &closed {
        fs::set_permissions(tree.v2().join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    // Where everybody may reach it: what root builds may lie in a folder of root's own.
    let program = place.path().join("scan-without-rights");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    command
        .args(["--exact", "scan::half_broken::scan_without_rights", "--ignored", "--nocapture"])
        .env("SCAN_WITHOUT_RIGHTS", place.path());
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    for path in &closed {
        fs::set_permissions(tree.v2().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let said = String::from_utf8(output.stdout).unwrap();
    let json = said
        .lines()
        .find_map(|line| line.find("{\"root\"").map(|at| &line[at..]))
        .unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    let mut values = serde_json::Deserializer::from_str(json).into_iter();
    let report: serde_json::Value = values.next().unwrap().unwrap();
    assert_eq!(report["findings"], serde_json::json!([]), "nothing is proved");
    let noted: Vec<&str> =
        report["unverified"].as_array().unwrap().iter().map(|note| note["path"].as_str().unwrap()).collect();
    for path in &closed {
        assert!(noted.contains(&path.as_str()), "{path}: {noted:?}");
    }
    for prediction in report["garbage_collection"].as_array().unwrap() {
        assert!(prediction["aborts"].as_str().unwrap().contains("Permission denied"), "{prediction}");
    }
}

#[test]
fn pushes_while_it_reads_look_like_no_damage() {
    let place = tempfile::tempdir().unwrap();
    let tree = TreeBuilder::new(place.path());
    for number in 0..20 {
        tree.push("app", &image(&format!("before {number}")), Some(&format!("{number}")));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                push_as_a_registry(&tree, "app", &image(&format!("{number}")), &format!("t{}", number % 7));
            }
        });
        let mut reports = Vec::new();
        for _ in 0..30 {
            reports.push(report(place.path()));
        }
        stop.store(true, Ordering::Relaxed);
        for report in reports {
            assert_eq!(report.findings, [], "{:?}", report.unverified);
        }
    });
    assert_eq!(report(place.path()).unverified, [], "and nothing of it lasts");
}

/// Blobs and links appear whole, children before their index, the tag at last.
fn push_as_a_registry(tree: &TreeBuilder, repository: &str, manifest: &Manifest, tag: &str) {
    let place = |path: &str, content: &[u8]| {
        let scratch = format!("repositories/{repository}/_uploads/scratch");
        tree.write(&scratch, content);
        let target = tree.v2().join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::rename(tree.v2().join(scratch), target).unwrap();
    };
    for child in manifest.children.iter().chain([manifest]) {
        for blob in &child.blobs {
            let digest = Digest::sha256(blob);
            place(&data(&digest), blob);
            place(&layer_link(repository, &digest), digest.to_string().as_bytes());
        }
        let digest = child.digest();
        place(&data(&digest), &child.bytes);
        place(&revision_link(repository, &digest), digest.to_string().as_bytes());
    }
    let current = format!("repositories/{repository}/_manifests/tags/{tag}/current/link");
    place(&current, manifest.digest().to_string().as_bytes());
}

/// A bucket: keys and bytes, no folders of its own.
struct Bucket(BTreeMap<PathBuf, Vec<u8>>);

impl Source for Bucket {
    fn list(&self, folder: &Path) -> Result<Vec<Entry>, Fault> {
        let below = self.0.keys().filter_map(|key| key.strip_prefix(folder).ok());
        let entry = |key: &Path| {
            let mut components = key.components();
            let name = components.next()?.as_os_str().to_owned();
            let kind = if components.next().is_some() { EntryKind::Folder } else { EntryKind::File };
            Some(Entry { name, kind })
        };
        let mut entries: Vec<Entry> = below.filter_map(entry).collect();
        entries.dedup();
        if entries.is_empty() { Err(Fault::Absent) } else { Ok(entries) }
    }

    fn read(&self, file: &Path, limit: usize) -> Result<Vec<u8>, Fault> {
        self.0.get(file).map(|bytes| bytes.iter().take(limit + 1).copied().collect()).ok_or(Fault::Absent)
    }

    fn size(&self, file: &Path) -> Result<u64, Fault> {
        self.0.get(file).map(|bytes| bytes.len() as u64).ok_or(Fault::Absent)
    }

    fn open(&self, file: &Path) -> Result<Box<dyn Read>, Fault> {
        Ok(Box::new(std::io::Cursor::new(self.read(file, usize::MAX - 1)?)))
    }
}

#[test]
fn another_kind_of_storage_gives_the_same_tree() {
    let place = tempfile::tempdir().unwrap();
    let tree = TreeBuilder::new(place.path());
    tree.push("team/app", &image("1"), Some("1"));
    tree.push("team/app/sub", &image("2"), Some("2"));
    tree.remove(&revision_link("team/app", &image("1").children[0].digest()));
    let keys = crate::testkit::scan_tree::files(&tree.v2());
    let bucket = Bucket(keys.iter().map(|key| (key.clone(), fs::read(tree.v2().join(key)).unwrap())).collect());
    let (from_bucket, from_disk) = (read::read(&bucket), read::read(&Disk::open(&tree.v2()).unwrap()));
    assert_eq!(from_bucket.blob_count(), from_disk.blob_count());
    assert_eq!(from_bucket.manifests.len(), from_disk.manifests.len());
    for collector in Collector::ALL {
        let of = |tree: &registry_integrity_probe::storage::tree::Tree| {
            let collection = collect(tree, collector);
            let mut blobs: Vec<String> = collection.blobs.iter().map(|id| tree.digests.get(*id).to_string()).collect();
            blobs.sort();
            (blobs, collection.aborts)
        };
        assert_eq!(of(&from_bucket), of(&from_disk));
    }
}

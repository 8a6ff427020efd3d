//! The model of the collectors against what the real ones leave, file by file.

#![allow(clippy::print_stdout, reason = "what was compared is said where the output is read")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::storage::collector::{Collection, Collector, Engine, collect, damage};
use registry_integrity_probe::storage::tree::{Tree, display};
use registry_integrity_probe::storage::{Disk, layout, read};

use crate::testkit::scan_tree::random::{Oddities, write_tree};
use crate::testkit::scan_tree::{copy, files, peer};

/// What a link says.
fn link(v2: &Path, path: &Path) -> Option<Digest> {
    fs::read_to_string(v2.join(path)).ok()?.parse().ok().filter(|digest: &Digest| digest.algorithm().is_some())
}

/// Trees to make; `SCAN_TREES` makes more of them.
fn tree_count() -> u64 {
    std::env::var("SCAN_TREES").ok().and_then(|it| it.parse().ok()).unwrap_or(250)
}

#[test]
fn predicts_what_the_real_collectors_leave() {
    let programs: Vec<(Engine, PathBuf)> =
        Engine::ALL.into_iter().filter_map(|engine| Some((engine, peer::registry(engine)?))).collect();
    if programs.is_empty() {
        return;
    }
    let first: u64 = std::env::var("SCAN_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let mut tally = BTreeMap::new();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let counts: Vec<BTreeMap<&str, u64>> = std::thread::scope(|scope| {
        let programs = &programs;
        let run = |worker: u64| {
            scope.spawn(move || {
                let mut tally = BTreeMap::new();
                for seed in (first..first + tree_count()).filter(|seed| seed % workers as u64 == worker) {
                    compare(seed, programs, &mut tally);
                }
                tally
            })
        };
        let threads: Vec<_> = (0..workers as u64).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (what, count) in counts.into_iter().flatten() {
        *tally.entry(what).or_insert(0) += count;
    }
    for what in ["runs", "aborts", "deleted blobs", "deleted revisions", "dropped layer links", "damage"] {
        let is_possible = programs.len() == 2 || (programs.len() == 1 && what != "dropped layer links");
        assert!(!is_possible || tally.get(what).is_some_and(|count| *count > 0), "{what} never came up: {tally:?}");
    }
}

fn compare(seed: u64, programs: &[(Engine, PathBuf)], tally: &mut BTreeMap<&'static str, u64>) {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("before");
    write_tree(seed, &root, Oddities { allowed: true });
    let v2 = root.join("docker/registry/v2");
    let tree = read::read(&Disk::open(&v2).unwrap());
    let before: BTreeSet<PathBuf> = files(&v2).into_iter().collect();
    for (engine, program) in programs {
        for delete_untagged in [false, true] {
            let collector = Collector { engine: *engine, delete_untagged };
            let after = place.path().join(format!("after-{}-{delete_untagged}", engine.number()));
            copy(&root, &after);
            let output = peer::garbage_collect(program, collector, &after);
            let after_v2 = after.join("docker/registry/v2");
            let left: BTreeSet<PathBuf> = files(&after_v2).into_iter().collect();

            let collection = collect(&tree, collector);
            let said = format!(
                "seed {seed}, {collector:?}: predicted {:?}, got {:?} {}",
                collection.aborts,
                output.status.code(),
                String::from_utf8_lossy(&output.stderr)
            );
            assert_eq!(collection.aborts.is_some(), !output.status.success(), "{said}");
            let removed = removed_files(&tree, &collection, &before);
            let predicted: BTreeSet<PathBuf> = before.difference(&removed).cloned().collect();
            // A collector that fails among the layer links has dropped some of them, in no order.
            let is_arbitrary = |path: &PathBuf| {
                collection.aborts.is_some() && !collection.layers.is_empty() && removed.contains(path) && is_layer(path)
            };
            let differing: Vec<_> = predicted.symmetric_difference(&left).filter(|path| !is_arbitrary(path)).collect();
            assert!(differing.is_empty(), "{said}\n{differing:#?}");
            let freed: u64 = before
                .difference(&left)
                .filter(|path| path.ends_with("data"))
                .map(|path| fs::metadata(v2.join(path)).unwrap().len())
                .sum();
            assert_eq!(collection.frees_bytes(&tree), freed, "{said}");
            if !left.iter().any(is_arbitrary) {
                compare_damage(&tree, collector, &collection, &v2, &after_v2, &said, tally);
            }

            let mut count = |what, by: usize| *tally.entry(what).or_insert(0) += by as u64;
            count("runs", 1);
            count("aborts", usize::from(collection.aborts.is_some()));
            count("deleted blobs", collection.blobs.len());
            count("deleted revisions", collection.revisions.len());
            count("dropped layer links", collection.layers.len());
        }
    }
}

fn is_layer(path: &Path) -> bool {
    path.components().any(|component| component.as_os_str() == "_layers")
}

fn removed_files(tree: &Tree, collection: &Collection, before: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let mut folders = Vec::new();
    for (repository, digest) in &collection.revisions {
        let (repository, digest) = (&tree.repositories[*repository], tree.digests.get(*digest));
        folders.push(layout::revision(&repository.name, digest));
        for tag in &repository.tags.as_ref().unwrap().entries {
            folders.push(layout::tag_index_entry(&repository.name, Path::new(&tag.name), digest));
        }
    }
    folders.extend(collection.blobs.iter().map(|id| layout::blob(tree.digests.get(*id))));
    for (repository, digest) in &collection.layers {
        folders.push(layout::layer_link(&tree.repositories[*repository].name, tree.digests.get(*digest)));
    }
    before.iter().filter(|path| folders.iter().any(|folder| path.starts_with(folder))).cloned().collect()
}

/// Recomputes the damage from the files alone: what each tag reaches before, and how that is before and after.
fn compare_damage(
    tree: &Tree,
    collector: Collector,
    collection: &Collection,
    before: &Path,
    after: &Path,
    said: &str,
    tally: &mut BTreeMap<&'static str, u64>,
) {
    let mut expected = BTreeSet::new();
    for repository in &tree.repositories {
        let oracle = Oracle { engine: collector.engine, name: &repository.name };
        for tag in repository.tags.iter().flat_map(|tags| &tags.entries) {
            let Some(root) = link(before, &layout::tag_current(&repository.name, Path::new(&tag.name))) else {
                continue;
            };
            for (digest, kind) in oracle.reach(before, &root) {
                if oracle.condition(after, &digest, kind) < oracle.condition(before, &digest, kind) {
                    let name = tag.name.to_string_lossy().into_owned();
                    expected.insert((display(&repository.name), name, digest.to_string(), kind));
                }
            }
        }
    }
    let predicted: BTreeSet<_> = damage(tree, collector, collection)
        .into_iter()
        .map(|it| (it.repository.to_string(), it.tag.to_string(), it.digest.to_string(), it.kind.as_str()))
        .collect();
    *tally.entry("damage").or_insert(0) += predicted.len() as u64;
    assert_eq!(predicted, expected, "{said}");
}

struct Oracle<'a> {
    engine: Engine,
    name: &'a Path,
}

impl Oracle<'_> {
    fn links(&self, digest: &Digest, kind: &str) -> Vec<PathBuf> {
        let revision = layout::revision_link(self.name, digest);
        let layer = layout::layer_link(self.name, digest);
        match (kind, self.engine) {
            ("config" | "layer", _) => vec![layer],
            (_, Engine::V2) => vec![revision, layer],
            (_, Engine::V3) => vec![revision],
        }
    }

    /// The bytes that a registry serves for a digest.
    fn served(&self, v2: &Path, digest: &Digest, kind: &str) -> Option<(Vec<u8>, Digest)> {
        let first = self.links(digest, kind).into_iter().find(|link| v2.join(link).is_file())?;
        let target = link(v2, &first)?;
        Some((fs::read(v2.join(layout::data(&target))).ok()?, target))
    }

    fn is_whole(bytes: &[u8], digest: &Digest, kind: &str) -> bool {
        let is_manifest = matches!(kind, "manifest" | "child");
        // Annotations that are no texts are what neither registry takes, in OCI's type.
        let is_served = |document: &serde_json::Value| {
            let is_refused = document["mediaType"] != crate::testkit::scan_tree::SCHEMA_TWO
                && document["annotations"]["number"].is_i64();
            document["schemaVersion"] == 1 || (parse(bytes).is_some() && !is_refused)
        };
        let is_manifest_of_registries = || serde_json::from_slice(bytes).is_ok_and(|document| is_served(&document));
        !is_manifest || (Digest::of(digest.algorithm().unwrap(), bytes) == *digest && is_manifest_of_registries())
    }

    fn condition(&self, v2: &Path, digest: &Digest, kind: &str) -> u8 {
        let stored = fs::read(v2.join(layout::data(digest))).ok();
        match (self.served(v2, digest, kind), stored) {
            (Some((bytes, target)), _)
                if Self::is_whole(&bytes, digest, kind)
                    && (target == *digest || target.algorithm() != digest.algorithm()) =>
            {
                2
            }
            (_, Some(bytes)) if Self::is_whole(&bytes, digest, kind) => 1,
            _ => 0,
        }
    }

    fn reach(&self, v2: &Path, root: &Digest) -> BTreeSet<(Digest, &'static str)> {
        let mut reached = BTreeSet::new();
        let mut pending = vec![(root.clone(), "manifest")];
        while let Some((digest, kind)) = pending.pop() {
            let is_manifest = matches!(kind, "manifest" | "child");
            if reached
                .iter()
                .any(|(other, kind)| *other == digest && matches!(*kind, "manifest" | "child") == is_manifest)
            {
                continue;
            }
            reached.insert((digest.clone(), kind));
            if !is_manifest {
                continue;
            }
            let bytes = self
                .served(v2, &digest, kind)
                .map(|(bytes, _)| bytes)
                .filter(|bytes| Self::is_whole(bytes, &digest, kind))
                .or_else(|| fs::read(v2.join(layout::data(&digest))).ok())
                .filter(|bytes| Self::is_whole(bytes, &digest, kind));
            if let Some(manifest) = bytes.as_deref().and_then(parse) {
                pending.extend(manifest.layers.into_iter().rev().map(|it| (it.digest, "layer")));
                pending.extend(manifest.config.map(|it| (it.digest, "config")));
                pending.extend(manifest.manifests.into_iter().rev().map(|it| (it.digest, "child")));
            }
        }
        reached
    }
}

fn parse(bytes: &[u8]) -> Option<registry_integrity_probe::oci::Manifest> {
    registry_integrity_probe::oci::parse_manifest(bytes).ok()
}

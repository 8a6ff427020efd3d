//! Random trees: pushes with shared layers, nested and shared indexes, tag histories; then what goes wrong.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use registry_integrity_probe::oci::{Algorithm, Digest};
use serde_json::json;

use super::{LIST, Manifest, OCI_IMAGE, OCI_INDEX, SCHEMA_TWO, TreeBuilder, files};

/// Names that collectors take, among them some that sort before and behind `_layers`, and a host in front.
const REPOSITORIES: [&str; 9] = ["a", "a/0x", "a/b", "a/b/c", "0", "z_y.x/q--r", "team/app", "Host.example/app", "a0"];
/// Names that they stop at.
const ILLEGAL: [&str; 4] = ["UPPER", "with space/app", "a..b", "col:on/x"];
const TAGS: [&str; 5] = ["latest", "1.0", "V2", "_x", "a-b.c"];
const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "windows/amd64"];

/// What a tree may have that a registry of today serves differently, so that not every comparison can do with it.
#[derive(Clone, Copy, Debug)]
pub struct Oddities {
    /// Names that end a collection, bytes at odd places, schema 1, digests in sha512, links in the wrong place.
    pub allowed: bool,
}

/// Writes a random tree.
pub fn write_tree(seed: u64, root: &Path, oddities: Oddities) {
    let mut rng = Rng::with_seed(seed);
    let tree = TreeBuilder::new(root);
    let manifests = manifests(&mut rng, oddities);
    let names: Vec<&str> = (0..rng.usize(1..5)).map(|_| *rng.choice(&REPOSITORIES).unwrap()).collect();
    for _ in 0..rng.usize(1..9) {
        let name = *rng.choice(&names).unwrap();
        let manifest = rng.choice(&manifests).unwrap();
        let tag = rng.u8(0..4) > 0;
        let tag = tag.then(|| *rng.choice(&TAGS).unwrap());
        tree.push(name, manifest, tag);
        if oddities.allowed && rng.u8(0..12) == 0 {
            let folder = if rng.bool() { "_layers" } else { "_manifests/revisions" };
            tree.alias(&format!("repositories/{name}/{folder}"), &manifest.bytes);
        }
        if oddities.allowed && rng.u8(0..12) == 0 {
            // Registry 2.1 linked manifests as layers, and 2.8 still finds them there.
            tree.layer(name, &manifest.bytes);
        }
    }
    if rng.u8(0..3) == 0 {
        tree.blob(b"nobody needs this");
        tree.layer(names[0], b"an upload without a manifest");
    }
    if rng.u8(0..6) == 0 {
        tree.write(&format!("repositories/{}/_uploads/1234/startedat", names[0]), b"now");
    }
    if oddities.allowed && rng.u8(0..25) == 0 {
        tree.push(rng.choice(&ILLEGAL).unwrap(), &manifests[0], Some("latest"));
    }
    for _ in 0..rng.usize(0..6) {
        spoil(&mut rng, &tree, oddities);
    }
}

fn manifests(rng: &mut Rng, oddities: Oddities) -> Vec<Manifest> {
    let layer = |rng: &mut Rng| format!("layer {}", rng.u8(0..9)).into_bytes();
    let mut all: Vec<Manifest> = Vec::new();
    for number in 0..rng.usize(2..6) {
        let media_type = if rng.bool() { OCI_IMAGE } else { SCHEMA_TWO };
        let layers: Vec<Vec<u8>> = (0..rng.usize(0..4)).map(|_| layer(rng)).collect();
        let config = format!("config {}", rng.usize(0..=number));
        let mut image = Manifest::image_of(media_type, Some(PLATFORMS[number % 3]), config.as_bytes(), layers);
        let mut document: serde_json::Value = serde_json::from_slice(&image.bytes).unwrap();
        if rng.u8(0..6) == 0 && media_type == OCI_IMAGE {
            document.as_object_mut().unwrap().remove("mediaType");
            document["subject"] = super::descriptor(OCI_IMAGE, b"a subject that nobody has");
        }
        if oddities.allowed && rng.u8(0..10) == 0 {
            let blob = layer(rng);
            let mut by_sha512 = super::descriptor("application/vnd.x", &blob);
            by_sha512["digest"] = json!(Digest::of(Algorithm::Sha512, &blob).to_string());
            document["layers"].as_array_mut().unwrap().push(by_sha512);
            image.blobs.push(blob);
        }
        if oddities.allowed && rng.u8(0..20) == 0 {
            document["config"]["digest"] = json!("");
        }
        if oddities.allowed && rng.u8(0..20) == 0 {
            document["config"]["size"] = json!(-1);
        }
        if oddities.allowed && rng.u8(0..20) == 0 {
            document["annotations"] = json!({"number": 1});
        }
        image.bytes = document.to_string().into_bytes();
        all.push(image);
    }
    for _ in 0..rng.usize(1..4) {
        let media_type = if rng.bool() { OCI_INDEX } else { LIST };
        let children = (0..rng.usize(0..4)).map(|_| rng.choice(&all).unwrap().clone()).collect();
        let mut index = Manifest::index_of(media_type, children);
        if rng.u8(0..5) == 0 {
            // As BuildKit's cache and containerd's checkpoints do.
            let blob = layer(rng);
            let mut document: serde_json::Value = serde_json::from_slice(&index.bytes).unwrap();
            let entry = super::descriptor("application/vnd.buildkit.cacheconfig.v0", &blob);
            document["manifests"].as_array_mut().unwrap().push(entry);
            index.bytes = document.to_string().into_bytes();
            index.blobs.push(blob);
        }
        if rng.u8(0..5) == 0 && media_type == OCI_INDEX {
            let mut document: serde_json::Value = serde_json::from_slice(&index.bytes).unwrap();
            document.as_object_mut().unwrap().remove("mediaType");
            index.bytes = document.to_string().into_bytes();
        }
        all.push(index);
    }
    if oddities.allowed && rng.u8(0..15) == 0 {
        let blob = layer(rng);
        let document = json!({
            "schemaVersion": 1, "name": "a", "tag": "latest", "architecture": "amd64",
            "fsLayers": [{"blobSum": Digest::sha256(&blob).to_string()}], "history": [{"v1Compatibility": "{}"}],
        });
        let bytes = serde_json::to_vec_pretty(&document).unwrap();
        all.push(Manifest { bytes, media_type: "", blobs: vec![blob], children: Vec::new(), platform: None });
    }
    all
}

/// Does one of the things that happen to a storage.
fn spoil(rng: &mut Rng, tree: &TreeBuilder, oddities: Oddities) {
    let all = files(&tree.v2());
    let of = |part: &str, end: &str| -> Vec<String> {
        let paths = all.iter().filter_map(|path| path.to_str());
        paths.filter(|path| path.contains(part) && path.ends_with(end)).map(str::to_string).collect()
    };
    let parts = [("_manifests/revisions/", "link"), ("_layers/", "link"), ("/current/", "link"), ("blobs/", "data")];
    // Revision links are what is lost in practice.
    let (part, end) = parts[[0, 0, 0, 1, 1, 2, 3][rng.usize(0..7)]];
    let Some(path) = rng.choice(of(part, end)) else { return };
    let folder = Path::new(&path).parent().unwrap().to_str().unwrap().to_string();
    let other = rng.choice(of(part, end)).unwrap();
    match rng.u8(0..16) {
        0..=4 => tree.remove(&path),
        5 | 6 => tree.remove(&folder),
        7 => tree.write(&path, b""),
        8 if oddities.allowed => tree.write(&path, b"sha256:not hexadecimal\n"),
        9 if part == "blobs/" || oddities.allowed => {
            let content = fs::read(tree.v2().join(&other)).unwrap();
            tree.write(&path, &content);
        }
        10 => {
            let content = fs::read(tree.v2().join(&path)).unwrap();
            tree.write(&path, &content[..content.len() / 2]);
        }
        11 if part == "blobs/" => {
            let mut content = fs::read(tree.v2().join(&path)).unwrap();
            if let Some(index) = (!content.is_empty()).then(|| rng.usize(0..content.len())) {
                content[index] ^= 1 << rng.u8(0..8);
            }
            tree.write(&path, &content);
        }
        12 => {
            let repository = folder.split("/_").next().unwrap();
            let below = ["_layers", "_manifests", "_manifests/tags", "_manifests/revisions", "_layers/sha256"];
            let below = format!("{repository}/{}", rng.choice(below).unwrap());
            if part != "blobs/" && tree.v2().join(&below).is_dir() {
                tree.remove(&below);
                if rng.bool() {
                    fs::create_dir_all(tree.v2().join(&below)).unwrap();
                }
            }
        }
        13 => {
            if let Some(link) = rng.choice(of("/current/", "link")) {
                tree.remove(link.trim_end_matches("/current/link"));
            }
        }
        14 if oddities.allowed => {
            let content = Digest::sha256(b"nobody needs this").to_string();
            let repository = folder.split("/_").next().unwrap();
            match rng.u8(0..4) {
                0 if part != "blobs/" => tree.write(&format!("{repository}/_layers/odd/link"), content.as_bytes()),
                1 if part != "blobs/" => {
                    tree.write(&format!("{repository}/_manifests/revisions/sha256/x/y/link"), content.as_bytes())
                }
                2 => tree.write("blobs/sha256/zz/odd/data", b"odd"),
                _ => tree.write(&format!("{folder}/.something"), b"else"),
            }
        }
        15 if oddities.allowed && rng.u8(0..6) == 0 => tree.remove("blobs"),
        _ => {}
    }
}

//! A registry that sends as much as it can costs bounded memory: the real binary, by what Linux says of it.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use registry_integrity_probe::demo::fault::{answers_with, at, endless_body, pads_body_to, slow_body};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::oci::Digest;

use crate::testkit::probe::most_resident;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// In KiB, of a build without optimization, with what its allocator sets aside.
const RESIDENT_LIMIT: u64 = 192 * 1024;

/// Sweeps with the binary; the most memory that it ever had resident, in KiB, and its exit code.
fn sweep(config: &Path) -> (u64, Option<i32>) {
    let options = ["sweep", "--output", "json", "--log.level", "error", "--config.file"];
    most_resident(options.map(OsStr::new).into_iter().chain([config.as_os_str()]))
}

fn manifest_of(member: &str, count: usize) -> String {
    let named: Vec<String> =
        (0..count).map(|n| format!(r#"{{"digest":"{}","size":1}}"#, Digest::sha256(&n.to_be_bytes()))).collect();
    format!(r#"{{"schemaVersion":2,"{member}":[{}]}}"#, named.join(","))
}

#[expect(clippy::print_stderr, reason = "the figures of the run are worth reading")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_responses_cost_bounded_memory_and_time() {
    let registry = Registry::start().await.unwrap();
    for n in 0..8 {
        for tag in 0..2 {
            registry.push(&format!("r{n}:{tag}"), &Image::manifest().named(&format!("{n} {tag}")).with_layers(1));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    let target = format!("{{url: '{}', confirm: {{delay: 10ms}}, limits: {{retries: 1}}}}", registry.url());
    let (config, target) = (&config, &target);
    for (name, selector, effect) in [
        ("a healthy registry", at(Endpoint::Token), pads_body_to(0)),
        ("manifests of 4 MiB", at(Endpoint::Manifest).get_only(), pads_body_to(4 * 1024 * 1024)),
        ("manifests of 100 MB", at(Endpoint::Manifest).get_only(), pads_body_to(100_000_000)),
        ("manifests without end", at(Endpoint::Manifest).get_only(), endless_body()),
        ("tag lists of 16 MiB", at(Endpoint::Tags), pads_body_to(16 * 1024 * 1024)),
        (
            "manifests of 40,000 layers",
            at(Endpoint::Manifest).get_only(),
            answers_with(200, MANIFEST, manifest_of("layers", 40_000)),
        ),
        (
            "indexes of 100,000 children",
            at(Endpoint::Manifest).get_only(),
            answers_with(200, INDEX, manifest_of("manifests", 100_000)),
        ),
        (
            "manifests of which a byte comes in a second",
            at(Endpoint::Manifest).in_repository("r0").get_only(),
            slow_body(Duration::from_secs(1)),
        ),
        (
            "a tag list of four million names",
            at(Endpoint::Tags),
            answers_with(200, "application/json", format!(r#"{{"tags":[{}"a"]}}"#, r#""b","#.repeat(4_000_000))),
        ),
        (
            "a catalog of 100,000 names that nobody may use",
            at(Endpoint::Catalog),
            answers_with(
                200,
                "application/json",
                format!(
                    r#"{{"repositories":["{}"]}}"#,
                    (0..100_000).map(|n| format!("A{n}")).collect::<Vec<_>>().join(r#"",""#)
                ),
            ),
        ),
    ] {
        let fault = registry.fault(selector, effect);
        // What never comes is not waited for that long.
        let timeout = if name.contains("in a second") { "500ms" } else { "30s" };
        std::fs::write(config, format!("global: {{request_timeout: {timeout}}}\nregistries: [{target}]\n")).unwrap();
        let began = Instant::now();
        let (most, code) = tokio::task::block_in_place(|| sweep(config));
        eprintln!("{name}: {} MiB, {:.1} s", most / 1024, began.elapsed().as_secs_f64());
        fault.lift();
        // As long as a list may be, it is one.
        let is_sound = matches!(name, "a healthy registry" | "tag lists of 16 MiB");
        assert!(if is_sound { code == Some(0) } else { matches!(code, Some(1 | 3)) }, "{name}: {code:?}");
        assert!(most > 0 && most < RESIDENT_LIMIT, "{name}: {most} KiB");
    }
}

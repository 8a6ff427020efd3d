//! A registry that sends as much as it can costs bounded memory: the real binary, by what Linux says of it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use registry_integrity_probe::demo::fault::{answers_with, at, endless_body, pads_body_to};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use registry_integrity_probe::oci::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// In KiB, of a build without optimization.
const RESIDENT_LIMIT: u64 = 150 * 1024;

/// Sweeps with the binary; the most memory that it ever had resident, in KiB.
fn sweep(registry: &Registry) -> u64 {
    let mut process = Command::new(env!("CARGO_BIN_EXE_registry-integrity-probe"))
        .args(["sweep", "--registry", &registry.url(), "--output", "json", "--log.level", "error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (began, mut most) = (Instant::now(), 0);
    while process.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "the sweep does not end");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        most = most.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    most
}

fn manifest_of(layers: usize, name: &str) -> String {
    let layers: Vec<String> = (0..layers)
        .map(|n| format!(r#"{{"digest":"{}","size":1}}"#, Digest::sha256(format!("{name} {n}").as_bytes())))
        .collect();
    format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layers.join(","))
}

#[expect(clippy::print_stderr, reason = "the figures of the run are worth reading")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_sends_all_it_can_costs_bounded_memory_and_time() {
    let registry = Registry::start().await.unwrap();
    for n in 0..8 {
        for tag in 0..4 {
            registry.push(&format!("r{n}:{tag}"), &Image::manifest().named(&format!("{n} {tag}")).with_layers(1));
        }
    }
    for (name, selector, effect) in [
        ("a healthy registry", at(Endpoint::Token), pads_body_to(0)),
        ("manifests of 4 MiB", at(Endpoint::Manifest).get_only(), pads_body_to(4 * 1024 * 1024)),
        ("manifests of 100 MB", at(Endpoint::Manifest).get_only(), pads_body_to(100_000_000)),
        ("manifests without end", at(Endpoint::Manifest).get_only(), endless_body()),
        ("tag lists of 16 MiB", at(Endpoint::Tags), pads_body_to(16 * 1024 * 1024)),
        (
            "manifests of 40,000 layers",
            at(Endpoint::Manifest).get_only(),
            answers_with(200, MANIFEST, manifest_of(40_000, "x")),
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
        let began = Instant::now();
        let url_registry = &registry;
        let most = tokio::task::block_in_place(|| sweep(url_registry));
        eprintln!("{name}: {} MiB, {:.1} s", most / 1024, began.elapsed().as_secs_f64());
        fault.lift();
        assert!(most > 0 && most < RESIDENT_LIMIT, "{name}: {most} KiB");
    }
}

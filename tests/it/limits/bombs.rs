//! Little that turns into much when it is decoded: the real binary, by what Linux says of its memory.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::testkit::front::{Heard, Plan, Selector};
use crate::testkit::in_process::registry;
use crate::testkit::probe::most_resident;

/// What is decoded, in bytes.
const DECODED: usize = 192 << 20;
/// In KiB, of a build without optimization: a page of 16 MiB fits in well, all of it does not.
const RESIDENT_LIMIT: u64 = 96 * 1024;

/// Nothing but spaces, which JSON allows before anything else.
fn bomb() -> Bytes {
    let spaces = vec![b' '; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
    for _ in 0..DECODED / spaces.len() {
        encoder.write_all(&spaces).unwrap();
    }
    Bytes::from(encoder.finish().unwrap())
}

/// The report, the exit code, and the most memory that was ever resident, in KiB.
fn sweep(config: &Path, report: &Path) -> (String, Option<i32>, u64) {
    let options = ["sweep", "--output=json", "--log.level=error", "--config.file"].map(OsStr::new);
    let files = [config.as_os_str(), OsStr::new("--output.file"), report.as_os_str()];
    let (most, code) = most_resident(options.into_iter().chain(files));
    (std::fs::read_to_string(report).unwrap_or_default(), code, most)
}

#[expect(clippy::print_stderr, reason = "the figures of the run are worth reading")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_decodes_to_much_more_is_refused_at_the_limit() {
    let bomb = bomb();
    assert!(bomb.len() < DECODED / 100, "{} bytes", bomb.len());
    let selections: [(&str, Selector, u16); 4] = [
        ("the catalog", |heard| heard.target.starts_with("/v2/_catalog"), 200),
        ("a tag list", |heard| heard.target.contains("/tags/list"), 200),
        ("a manifest", Heard::is_of_manifest, 200),
        ("an error", Heard::is_of_manifest, 403),
    ];
    for (name, is_selected, status) in selections {
        let (registry, bomb) = (registry().await, bomb.clone());
        let front = Plan::before(registry.address())
            .changing(move |heard, reply| {
                if is_selected(heard) {
                    reply.status = status;
                    reply.set("content-encoding", "gzip");
                    reply.set_body(bomb.clone());
                }
            })
            .start()
            .await;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        let entry = format!("{{url: 'http://{}', limits: {{retries: 0}}}}", front.address());
        std::fs::write(&config, format!("registries: [{entry}]\n")).unwrap();
        let report = folder.path().join("report.json");
        let (report, code, most) = tokio::task::block_in_place(|| sweep(&config, &report));
        eprintln!("{name}: {} MiB", most / 1024);
        assert_eq!(code, Some(3), "{name}: {report}");
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let entry = &report["registries"][0]["unverified"][0];
        let cause = if status == 200 { "protocol" } else { "unauthorized" };
        assert_eq!(entry["cause"], cause, "{name}: {report}");
        let is_refused_by_length = entry["detail"].as_str().is_some_and(|detail| detail.contains("longer than"));
        assert_eq!(is_refused_by_length, status == 200, "{name}: {report}");
        assert!(most > 0 && most < RESIDENT_LIMIT, "{name}: {most} KiB");
    }
}

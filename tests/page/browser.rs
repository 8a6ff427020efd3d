//! Every state in Debian's Chromium: nothing that axe-core objects to, nothing wider than the screen, no error, and no
//! request elsewhere; light and dark, wide and narrow, and without JavaScript.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use registry_integrity_probe::check::progress::Progress;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::service::Service;
use crate::states::{self, HOSTILE, NAME};
use crate::testkit::peer;
use crate::testkit::peers::not_installed;
use crate::testkit::probe::probe;
use crate::testkit::sample::{broken, intact, orphan_child};

/// No plan takes longer, however busy the machine.
const TIME_LIMIT: Duration = Duration::from_secs(240);

/// The folder of `NODE_PATH` that has playwright-core and axe-core, if they are installed.
fn modules() -> Option<PathBuf> {
    let folders = std::env::var_os("NODE_PATH").unwrap_or_default();
    let folder_of = |name: &str| {
        let found = std::env::split_paths(&folders).find(|folder| folder.join(name).is_dir());
        found.or_else(|| not_installed(name))
    };
    let (driver, rules) = (folder_of("playwright-core"), folder_of("axe-core"));
    driver.filter(|folder| Some(folder) == rules.as_ref())
}

/// What a browser finds wrong with a plan; `None` if there is no browser here.
async fn complaints(mut plan: Value) -> Option<String> {
    let (chromium, node, modules) = (peer("chromium"), peer("node"), modules());
    let (chromium, node, modules) = (chromium?, node?, modules?);
    plan["chromium"] = json!(chromium);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/browser.cjs");
    let mut process = Command::new(node)
        .arg(script)
        .env("NODE_PATH", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(plan.to_string().as_bytes()).await.unwrap();
    let output = timeout(TIME_LIMIT, process.wait_with_output()).await.expect("a browser that ends").unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Has a browser follow a plan, in which it must find nothing wrong; false if there is no browser here.
async fn assert_fine(plan: Value) -> bool {
    let complaints = complaints(plan).await;
    let is_followed = complaints.is_some();
    let complaints = complaints.unwrap_or_default();
    assert!(complaints.is_empty(), "{complaints}");
    is_followed
}

#[tokio::test]
async fn every_state_can_be_read_by_everybody() {
    let hostile_name: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let image = format!("/image?registry={NAME}&image=infra-ci:latest");
    let states = [
        (states::unconfigured(), vec![("unconfigured", "/", vec!["No registry is configured", "--registry URL"])]),
        (states::unknown(), vec![("unknown", "/", vec!["First sweep in progress", "This page updates automatically"])]),
        (
            states::healthy(),
            vec![
                ("healthy", "/", vec!["Everything is intact", "4 sweeps since", "No image has broken since"]),
                ("nothing broken", "/search", vec!["No open failures."]),
            ],
        ),
        (
            states::broken_between_two_sweeps(),
            vec![
                (
                    "broken",
                    "/",
                    vec!["3 images broken", "infra-ci:latest", "Broke ", "between", "What to do", "linux/amd64"],
                ),
                (
                    "a broken image",
                    &image,
                    vec!["The linux/amd64 child manifest is missing", "Repair it", "linux/arm64"],
                ),
                ("a search", "/search?q=infra", vec!["infra-ci:latest", "1 to 1 of 1"]),
            ],
        ),
        (
            states::resolved(),
            vec![
                ("resolved", "/", vec!["Everything is intact", "Resolved:", "Broken:"]),
                ("a resolved image", &image, vec!["intact", "Resolved failures"]),
                ("resolved failures", "/search?show=resolved", vec!["infra-ci:latest", "it was restored"]),
            ],
        ),
        (
            states::down(),
            vec![(
                "down",
                "/",
                vec!["Not everything could be verified", "unreachable", "Check that the registry is running"],
            )],
        ),
        (
            states::a_thousand_failures(),
            vec![
                ("a thousand failures", "/", vec!["1000 images broken", "all 1000 failures"]),
                ("a page of a thousand", "/search?page=3", vec!["101 to 150 of 1000"]),
            ],
        ),
    ];
    let (mut services, mut pages) = (Vec::new(), Vec::new());
    for (state, of_state) in states {
        let service = Service::start(state).await;
        pages.extend(
            of_state
                .into_iter()
                .map(|(name, path, expect)| json!({"name": name, "url": service.url(path), "expect": expect})),
        );
        services.push(service);
    }
    let hostile = Service::start(states::hostile()).await;
    let of_hostile = format!("/image?registry={hostile_name}&image=infra-ci:latest");
    for (name, path) in
        [("hostile", "/"), ("hostile unverified", "/search?show=unverified"), ("a hostile image", &of_hostile)]
    {
        pages.push(json!({"name": name, "url": hostile.url(path), "expect": ["<script>alert(1)</script>"]}));
    }
    assert_fine(json!({ "pages": pages })).await;
}

#[tokio::test]
async fn a_page_follows_and_is_used_by_keyboard() {
    let service = Service::start(states::broken_between_two_sweeps()).await;
    let state = Arc::clone(&service.state);
    let changes = tokio::spawn(async move {
        let registry = state.registry(NAME).unwrap();
        let progress = Arc::new(Progress::default());
        progress.begin(22);
        progress.repository();
        for n in 0.. {
            registry.begin_sweep(SystemTime::now(), Arc::clone(&progress));
            sleep(Duration::from_secs(2)).await;
            let report = if n % 2 == 0 { intact(NAME) } else { broken(NAME, vec![orphan_child()]) };
            registry.finish_sweep(report, SystemTime::now());
            sleep(Duration::from_secs(1)).await;
        }
    });
    let still = Service::start(states::broken_between_two_sweeps()).await;
    let image = still.url(&format!("/image?registry={NAME}&image=infra-ci:latest"));
    assert_fine(json!({"steps": [
        {"step": "follows", "url": service.url("/"), "headlines": ["Everything is intact", "2 images broken", "Everything is intact"]},
        {"step": "progress", "url": service.url("/"), "shows": "1 of 22 repositories"},
        {"step": "keyboard", "url": still.url("/"), "search": "5319f03e", "finds": "infra-ci:5319f03e"},
        {"step": "copies", "url": image},
    ]}))
    .await;
    changes.abort();
}

#[tokio::test]
async fn the_demonstration_heals_and_breaks_while_one_watches() {
    let demo = probe(["demo"]).serve().await;
    let headlines = ["4 images broken", "3 images broken", "4 images broken"];
    // Only the browser waits for the page to have all of it.
    if assert_fine(json!({"steps": [{"step": "follows", "url": demo.url("/"), "headlines": headlines}]})).await {
        let page = demo.get("/").await;
        for part in ["nightly:latest", "<strong>Resolved:</strong>", "class=\"failures\"", "Last byte read:"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
    demo.signal("INT");
    assert_eq!(demo.wait().await.code, Some(0));
}

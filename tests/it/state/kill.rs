//! `serve`, killed at any moment: nothing is lost that was shown, and the file is whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use registry_integrity_probe::demo::fault::{answers, at, everything};
use registry_integrity_probe::demo::{Endpoint, Image, Registry};
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::{BOUND, LAST_SWEEP, value};
use crate::testkit::raw_http::ask;
use crate::testkit::{free_address, poll_until};

/// More of them with `STATE_KILLS=100`.
const KILLS: usize = 12;

/// What the service showed: the end of its last sweep, and each failure with when it was first seen.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    last_sweep: Option<f64>,
    failures: BTreeMap<String, String>,
}

struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    fn start(config: &Path, state: &Path) -> Self {
        let address = free_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-integrity-probe"));
        command.arg("serve").arg("--config.file").arg(config).arg("--storage.path").arg(state);
        command.arg(format!("--web.listen-address={address}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: command.spawn().unwrap(), address }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// What it shows now, if that did not change in between.
    async fn shown(&self) -> Option<Shown> {
        tokio::net::TcpStream::connect(self.address).await.ok()?;
        let last_sweep = async || {
            let answer = ask(self.address, "GET", "/metrics").send().await;
            (answer.status == Some(200)).then(|| value(&answer.text(), LAST_SWEEP))
        };
        let before = last_sweep().await?;
        let findings = ask(self.address, "GET", "/api/v1/findings").send().await;
        let findings: Value = serde_json::from_str(&findings.text()).ok()?;
        let failures = findings["failures"].as_array()?.iter().map(|failure| {
            let text = |name: &str| failure[name].as_str().unwrap_or_default().to_string();
            (format!("{}@{}", text("repository"), text("digest")), text("first_seen"))
        });
        let shown = Shown { last_sweep: before, failures: failures.collect() };
        (last_sweep().await? == before).then_some(shown)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Images that break and are mended while nobody waits for it.
struct Changing<'a> {
    registry: &'a Registry,
    images: Vec<(String, Image)>,
    dice: fastrand::Rng,
}

impl<'a> Changing<'a> {
    fn new(registry: &'a Registry, seed: u64) -> Self {
        let images: Vec<(String, Image)> = (0..8)
            .map(|number| {
                let name = format!("team/app-{number}");
                (name.clone(), Image::index().named(&name).platforms(["linux/amd64", "linux/arm64"]))
            })
            .collect();
        let changing = Self { registry, images, dice: fastrand::Rng::with_seed(seed) };
        changing.images.iter().for_each(|(name, image)| registry.push(&format!("{name}:1"), image));
        changing
    }

    async fn change(&mut self) {
        let (name, image) = &self.images[self.dice.usize(..self.images.len())];
        match self.dice.u8(..5) {
            0 | 1 => self.registry.push(&format!("{name}:1"), image),
            2 => image.children().take(1).for_each(|child| self.registry.remove_manifest(name, &child.digest)),
            3 => image.layers().take(2).for_each(|layer| self.registry.remove_blob(name, &layer.digest)),
            _ => {
                let outage = self.registry.fault(everything(), answers(403));
                tokio::time::sleep(Duration::from_millis(self.dice.u64(..60))).await;
                outage.lift();
            }
        }
    }
}

/// Failures that the file says are over, and the end of the last sweep in it.
struct File {
    integrity: String,
    over: Vec<String>,
    is_known: bool,
}

impl File {
    /// Looks at a copy, so that the next process finds what the killed one left.
    fn of(state: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for name in ["state.db", "state.db-wal"] {
            let _ = std::fs::copy(state.join(name), copy.path().join(name));
        }
        let connection = Connection::open(copy.path().join("state.db")).unwrap();
        let integrity = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'resolved'", [], |row| row.get(0))
            .unwrap();
        if tables == 0 {
            return Self { integrity, over: Vec::new(), is_known: false };
        }
        let report: Option<Option<String>> =
            connection.query_row("SELECT report FROM registry", [], |row| row.get(0)).optional().unwrap();
        let mut over = connection.prepare("SELECT life FROM resolved").unwrap();
        let over = over.query_map([], |row| row.get::<_, String>(0)).unwrap().map(|life| {
            let life: Value = serde_json::from_str(&life.unwrap()).unwrap();
            let failure = &life["failure"];
            let text = |name: &str| failure[name].as_str().unwrap_or_default().to_string();
            format!("{}@{}", text("repository"), text("digest"))
        });
        Self { integrity, over: over.collect(), is_known: report.flatten().is_some() }
    }
}

#[expect(clippy::print_stdout, reason = "figures, for whoever asked for more kills")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_shown_is_lost_by_a_kill() {
    let kills = std::env::var("STATE_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let seed = std::env::var("STATE_SEED").map_or(7, |text| text.parse().unwrap());
    let registry = Registry::start().await.unwrap();
    let mut changing = Changing::new(&registry, seed);
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (folder.path().join("probe.yaml"), folder.path().join("state"));
    let target = format!("url: '{}', interval: 30ms, spread: 0s, confirm: {{attempts: 1, delay: 1ms}}", registry.url());
    std::fs::write(&config, format!("registries:\n  - {{name: r, {target}}}\n")).unwrap();

    let (mut before, mut over) = (Shown::default(), Vec::new());
    let (mut looked, mut same, mut later, mut failures) = (0, 0, 0, 0);
    for kill in 0..kills {
        // Nothing is proved nor disproved, and unlike with a 5xx nobody waits for better times.
        let halted = registry.fault(at(Endpoint::Catalog), answers(404));
        let mut service = Service::start(&config, &state);
        if changing.dice.u8(..5) == 0 {
            // Also while it starts.
            tokio::time::sleep(Duration::from_millis(changing.dice.u64(..40))).await;
            service.kill();
            halted.lift();
            assert_eq!(File::of(&state).integrity, "ok", "kill {kill}");
            continue;
        }
        let after = poll_until(BOUND, async || service.shown().await).await;
        assert!(after.last_sweep >= before.last_sweep, "kill {kill}: {before:?} became {after:?}");
        if after.last_sweep == before.last_sweep && after.failures == before.failures {
            same += 1;
        } else {
            // One more sweep was kept, and nobody looked before the kill.
            later += 1;
        }
        for (failure, first_seen) in &before.failures {
            let is_known = after.failures.get(failure) == Some(first_seen);
            assert!(is_known || over.contains(failure), "kill {kill}: {failure} is lost; {after:?}");
        }

        halted.lift();
        // However slow the machine is, every process learns something that can be lost.
        let swept = poll_until(BOUND, async || {
            let shown = service.shown().await?;
            (shown.last_sweep > before.last_sweep).then_some(shown)
        });
        before = swept.await;
        let end = Instant::now() + Duration::from_millis(changing.dice.u64(50..700));
        while Instant::now() < end {
            changing.change().await;
            let pause = Instant::now() + Duration::from_millis(changing.dice.u64(..120));
            while Instant::now() < pause {
                if let Some(shown) = service.shown().await {
                    looked += 1;
                    failures += shown.failures.len();
                    before = shown;
                }
            }
        }
        if changing.dice.bool() {
            // The moment at which something is shown that was not shown before.
            let last = before.last_sweep;
            let news = poll_until(BOUND, async || service.shown().await.filter(|shown| shown.last_sweep > last));
            before = news.await;
        } else {
            // What nobody saw may be lost or kept, but not half.
            tokio::time::sleep(Duration::from_millis(changing.dice.u64(..80))).await;
        }
        service.kill();
        let file = File::of(&state);
        assert_eq!(file.integrity, "ok", "kill {kill}");
        assert!(file.is_known, "kill {kill}");
        over = file.over;
    }
    println!(
        "{kills} kills: {looked} looks at {failures} failures; after the restart {same} times what was last seen, \
         {later} times one or more sweeps later"
    );
    assert!(failures > 0 && same > 0, "nothing was there to be lost");
}

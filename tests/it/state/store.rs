//! The store by itself: what it gives back, what it bounds, and files of older schemas.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use registry_integrity_probe::check::evidence::{Evidence, EvidenceSchedule};
use registry_integrity_probe::config::{ByteEvidence, Target};
use registry_integrity_probe::oci::Digest;
use registry_integrity_probe::report::{Cause, Failure, Kind, Outcome, Reason, Report, Unverified};
use registry_integrity_probe::state::State;
use registry_integrity_probe::state::history::{History, Retention};
use registry_integrity_probe::state::store::{FILE, Key, Limits, Saved, Store};
use rusqlite::Connection;

const LIMITS: Limits = Limits { age: Duration::from_secs(90 * 24 * 3600), bytes: 1 << 30 };

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_776_589_200 + seconds)
}

fn key(name: &str) -> Arc<Key> {
    Arc::new(Key { name: name.to_string(), url: "https://registry.example.com".to_string(), shard: None })
}

fn failure(number: usize) -> Failure {
    Failure {
        repository: "app".parse().unwrap(),
        digest: Some(Digest::sha256(&number.to_le_bytes())),
        kind: Kind::Layer,
        reason: Reason::Missing,
        media_type: None,
        platform: Some("linux/amd64".to_string()),
        attestation: false,
        images: vec!["app:1".parse().unwrap()],
        path: vec!["app:1".to_string()],
        detail: "GET 404".to_string(),
        first_seen: at(0),
        last_seen: at(0),
    }
}

fn report(failures: Vec<Failure>) -> Report {
    Report {
        registry: "r".to_string(),
        url: "https://registry.example.com".to_string(),
        started_at: at(0),
        duration_seconds: 1.5,
        outcome: Outcome::Complete,
        catalog_accessible: true,
        catalog_reached: true,
        catalog: Default::default(),
        empty: false,
        repositories: 1,
        images: Default::default(),
        objects: Default::default(),
        length_only: 0,
        requests: 7,
        received_bytes: 0,
        failures,
        unverified: Vec::new(),
    }
}

/// Sweeps of one registry, a minute apart.
#[derive(Default)]
struct Sweeps {
    known: Vec<Failure>,
    history: History,
    count: u64,
}

impl Sweeps {
    fn next(&mut self, mut failures: Vec<Failure>) -> Saved {
        failures.sort_by_key(|failure| failure.key());
        let report = report(failures);
        self.history.take(&self.known, &report, None, at(60 * self.count));
        self.known.clone_from(&report.failures);
        self.count += 1;
        Saved { report: Some(Arc::new(report)), history: Arc::new(self.history.clone()), ..Saved::default() }
    }
}

fn no_proofs() -> Arc<EvidenceSchedule> {
    let target = Target::with_defaults("https://registry.example.com".parse().unwrap());
    Arc::new(EvidenceSchedule::recurring(&target.evidence, target.interval, SystemTime::now()))
}

/// What another process would know.
async fn reopened(store: Store, folder: &Path, key: &Key) -> (Store, Saved) {
    store.close().await;
    drop(store);
    let store = Store::open(folder, LIMITS).unwrap();
    let kept = store.load(key).unwrap().unwrap().saved;
    (store, kept)
}

#[tokio::test]
async fn what_was_kept_comes_back_with_every_life() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), LIMITS).unwrap();
    let (key, mut sweeps) = (key("r"), Sweeps::default());
    assert!(store.load(&key).unwrap().is_none());
    let changed = Failure { reason: Reason::Unreadable, ..failure(1) };
    for failures in [vec![failure(1), failure(2)], vec![changed.clone(), failure(2)], vec![changed, failure(3)]] {
        assert!(store.save(Arc::clone(&key), sweeps.next(failures), no_proofs()).await);
    }
    let (_, kept) = reopened(store, folder.path(), &key).await;
    let shown = kept.report.as_deref().unwrap();
    assert_eq!(serde_json::to_value(shown).unwrap(), serde_json::to_value(report(sweeps.known.clone())).unwrap());
    assert!(shown.catalog_reached);
    assert_eq!(kept.history.open, sweeps.history.open);
    assert_eq!(kept.history.resolved, sweeps.history.resolved);
    assert_eq!(kept.history.sweeps, sweeps.history.sweeps);
    assert_eq!(kept.history.open[&failure(1).key()].changes.len(), 1);
}

#[tokio::test]
async fn proofs_come_back_and_forgotten_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), LIMITS).unwrap();
    let mut target = Target::with_defaults("https://registry.example.com".parse().unwrap());
    target.evidence.byte = ByteEvidence::Within(Duration::from_secs(24 * 3600));
    let now = SystemTime::now();
    let proofs = Arc::new(EvidenceSchedule::recurring(&target.evidence, target.interval, now));
    let repository = "app".parse().unwrap();
    let prove = |name: &[u8], at: SystemTime| proofs.record(&repository, &Digest::sha256(name), Evidence::LastByte, at);
    prove(b"old", now - Duration::from_secs(5 * 24 * 3600));
    prove(b"x", now);
    store.save_proofs(key("r"), Arc::clone(&proofs));
    store.close().await;
    drop(store);
    let store = Store::open(folder.path(), LIMITS).unwrap();
    let restored = store.load(&key("r")).unwrap().unwrap();
    assert!(restored.saved.report.is_none());
    assert_eq!(restored.proofs_since, proofs.since());
    assert_eq!(restored.proofs, proofs.recorded_since(now));
    let elsewhere = EvidenceSchedule::recurring(&target.evidence, target.interval, now)
        .with_past(restored.proofs_since, restored.proofs);
    assert_eq!(elsewhere.wanted(&repository, &Digest::sha256(b"x"), now), Evidence::Head);
    assert_eq!(elsewhere.wanted(&repository, &Digest::sha256(b"old"), now), Evidence::LastByte);
}

#[tokio::test]
async fn oldest_history_is_evicted_for_new_results() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Limits { bytes: 1 << 20, ..LIMITS }).unwrap();
    let (key, mut sweeps) = (key("r"), Sweeps::default());
    assert!(store.save(Arc::clone(&key), sweeps.next(vec![failure(0)]), no_proofs()).await);
    let many: Vec<Failure> = (0..4_000).map(failure).collect();
    assert!(!store.save(Arc::clone(&key), sweeps.next(many), no_proofs()).await, "more than a MiB");
    assert!(!store.is_writable());
    let few: Vec<Failure> = (0..10).map(failure).collect();
    let Saved { report, history, .. } = sweeps.next(few);
    // The 3,990 that were disproved alone are too much.
    let mut history = Arc::unwrap_or_clone(history);
    history.forget(&Retention { resolved: 100, ..Retention::default() }, at(300));
    let kept = Saved { report, history: Arc::new(history), ..Saved::default() };
    assert!(store.save(Arc::clone(&key), kept, no_proofs()).await);
    assert!(store.is_writable());
    let (store, kept) = reopened(store, folder.path(), &key).await;
    assert_eq!(kept.report.unwrap().failures.len(), 10);
    assert_eq!(kept.history.sweeps.len(), 3, "those that could not be kept in their time too");
    store.close().await;
    drop(store);

    // A past that fills the file: its older half goes, what is known now stays.
    let store = Store::open(folder.path(), Limits { bytes: 1 << 20, ..LIMITS }).unwrap();
    let mut sweeps = Sweeps { known: Vec::new(), history: History::clone(&kept.history), count: 3 };
    for round in 0..8 {
        let known: Vec<Failure> = (0..300).map(|number| failure(round * 1_000 + number)).collect();
        assert!(store.save(Arc::clone(&key), sweeps.next(known), no_proofs()).await, "round {round}");
    }
    let (_, kept) = reopened(store, folder.path(), &key).await;
    assert_eq!(kept.report.unwrap().failures.len(), 300);
    assert!(kept.history.resolved.len() < 7 * 300, "{}", kept.history.resolved.len());
    assert_eq!(kept.history.last_sweep(), sweeps.history.last_sweep());
    assert!(std::fs::metadata(folder.path().join(FILE)).unwrap().len() <= 1 << 20);
}

#[tokio::test]
async fn of_what_could_not_be_judged_a_bounded_part_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), LIMITS).unwrap();
    let entry = Unverified {
        repository: Some("app".to_string()),
        reference: "1".to_string(),
        kind: None,
        cause: Cause::Timeout,
        images: Vec::new(),
        detail: "x".repeat(1 << 20),
    };
    let report = Report { unverified: vec![entry; 40], outcome: Outcome::Partial, ..report(vec![failure(1)]) };
    let kept = Saved { report: Some(Arc::new(report)), ..Saved::default() };
    assert!(store.save(key("r"), kept, no_proofs()).await);
    let (_, kept) = reopened(store, folder.path(), &key("r")).await;
    let report = kept.report.unwrap();
    assert_eq!((report.unverified.len(), report.failures.len(), report.outcome), (31, 1, Outcome::Partial));
}

#[tokio::test]
async fn what_memory_forgets_and_registries_that_nobody_asks_for_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), LIMITS).unwrap();
    let mut sweeps = Sweeps::default();
    for failures in [vec![failure(1)], vec![], vec![failure(2)], vec![]] {
        assert!(store.save(key("r"), sweeps.next(failures), no_proofs()).await);
    }
    assert!(store.save(key("gone"), Sweeps::default().next(Vec::new()), no_proofs()).await);
    sweeps.history.forget(&Retention { age: Duration::from_secs(61), ..Retention::default() }, at(241));
    assert!(store.save(key("r"), sweeps.next(Vec::new()), no_proofs()).await);
    let (store, kept) = reopened(store, folder.path(), &key("r")).await;
    let ids: Vec<u64> = kept.history.sweeps.iter().map(|sweep| sweep.id).collect();
    assert_eq!((kept.history.resolved.len(), ids), (1, vec![4, 5]));
    store.close().await;
    drop(store);

    let file = Connection::open(folder.path().join(FILE)).unwrap();
    file.execute("UPDATE registry SET seen_at = seen_at - 91 * 24 * 3600", []).unwrap();
    drop(file);
    let store = Store::open(folder.path(), LIMITS).unwrap();
    assert!(store.load(&key("r")).unwrap().is_some(), "whoever is asked for is not forgotten");
    store.save_proofs(key("r"), no_proofs());
    let (store, _) = reopened(store, folder.path(), &key("r")).await;
    assert!(store.load(&key("gone")).unwrap().is_none());
}

/// What the first schema was, as files out there have it.
const FIRST_SCHEMA: &str = "
    CREATE TABLE registry (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, url TEXT NOT NULL, shard TEXT NOT NULL, seen_at INTEGER NOT NULL,
        report TEXT, catalog_reached INTEGER NOT NULL DEFAULT 0, summary TEXT, UNIQUE (name, url, shard)
    ) STRICT;
    CREATE TABLE failure (
        registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE, key TEXT NOT NULL, failure TEXT NOT NULL,
        life TEXT, UNIQUE (registry, key)
    ) STRICT;
    CREATE TABLE unverified (
        registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE, position INTEGER NOT NULL,
        entry TEXT NOT NULL, UNIQUE (registry, position)
    ) STRICT;
    CREATE TABLE resolved (
        registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE, sweep INTEGER NOT NULL, life TEXT NOT NULL
    ) STRICT;
    CREATE INDEX resolved_by_sweep ON resolved (registry, sweep);
    CREATE TABLE sweep (
        registry INTEGER NOT NULL REFERENCES registry ON DELETE CASCADE, id INTEGER NOT NULL, record TEXT NOT NULL,
        UNIQUE (registry, id)
    ) STRICT;
    PRAGMA application_id = 0x52495053;
    PRAGMA user_version = 1;
    INSERT INTO registry VALUES (3, 'r', 'https://registry.example.com', '', 1776589200,
        '{\"registry\":\"r\",\"url\":\"https://registry.example.com\",\"started_at\":\"2026-04-19T09:00:00Z\",
          \"duration_seconds\":1.5,\"outcome\":\"complete\",\"catalog_accessible\":true,\"repositories\":1,
          \"images\":{\"intact\":0,\"broken\":1,\"unverified\":0},
          \"objects\":{\"manifest\":1,\"child\":0,\"config\":1,\"layer\":1},
          \"requests\":7,\"received_bytes\":0,\"failures\":[],\"unverified\":[]}', 1,
        '{\"objects\":{\"manifest\":1,\"child\":0,\"config\":1,\"layer\":1},\"repositories\":1,
          \"last_sweep\":1776589201500000000,\"last_success\":null,\"coverage\":null}');
    INSERT INTO failure VALUES (3, 'app:1',
        '{\"repository\":\"app\",\"digest\":null,\"kind\":\"manifest\",\"reason\":\"missing\",\"media_type\":null,
          \"platform\":null,\"attestation\":false,\"images\":[\"app:1\"],\"path\":[\"app:1\"],\"detail\":\"GET 404\",
          \"first_seen\":\"2026-04-18T09:00:00Z\",\"last_seen\":\"2026-04-19T09:00:00Z\"}',
        '{\"id\":9,\"changes\":[],\"changed_in\":1}');";

#[tokio::test]
async fn a_file_of_an_older_schema_becomes_one_of_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let file = Connection::open(folder.path().join(FILE)).unwrap();
    file.execute_batch(FIRST_SCHEMA).unwrap();
    drop(file);
    let store = Store::open(folder.path(), LIMITS).unwrap();
    let mut target = Target::with_defaults("https://registry.example.com".parse().unwrap());
    target.name = "r".to_string();
    let state = State::with_store(Some(store), Retention::default(), None, [&target]).unwrap();
    let registry = state.registry("r").unwrap();
    let known = registry.known();
    assert_eq!(known.last_sweep, Some(at(1) + Duration::from_millis(500)));
    let [failure] = known.failures() else { panic!("{known:?}") };
    assert_eq!(failure.first_seen, at(0) - Duration::from_secs(24 * 3600));
    assert_eq!(known.history.open[&failure.key()].id, 9);
    let repository = "app".parse().unwrap();
    registry.evidence_schedule().record(&repository, &Digest::sha256(b"x"), Evidence::LastByte, SystemTime::now());
    registry.finish_sweep_and_save(report(vec![failure.clone()]), at(60)).await;
    assert_eq!(state.is_saved(), Some(true));
    state.close().await;
    drop((state, registry));

    let file = Connection::open(folder.path().join(FILE)).unwrap();
    let (proofs, version) = (
        file.query_row("SELECT count(*) FROM proof", [], |row| row.get::<_, i64>(0)).unwrap(),
        file.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(),
    );
    assert_eq!((proofs, version), (1, 4));
}

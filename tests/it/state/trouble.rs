//! Directories and disks that are of no use.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use registry_integrity_probe::demo::Registry;
use registry_integrity_probe::demo::fault::{answers, everything};

use super::{MISSING_CHILD, WRITABLE, child, index, until, value, with_state, write_config};
use crate::testkit::peer;
use crate::testkit::probe::probe;

#[tokio::test]
async fn a_second_process_exits_with_2() {
    let registry = Registry::start().await.unwrap();
    registry.push("app:1", &index("app"));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let first = with_state("serve", &config, &state).serve().await;
    for command in ["serve", "sweep"] {
        let second = with_state(command, &config, &state).run().await;
        assert_eq!(second.code, Some(2), "{}", second.stderr);
        let says = format!("--storage.path: {} is in use by another process", state.display());
        assert!(second.stderr.contains(&says), "{}", second.stderr);
    }
    drop(first);
    assert_eq!(with_state("sweep", &config, &state).run().await.code, Some(0), "a killed process holds nothing");
}

#[tokio::test]
async fn what_is_no_state_is_left_alone() {
    let registry = Registry::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), &registry);
    let database = |name: &str, statements: &str| {
        let directory = folder.path().join(name);
        fs::create_dir(&directory).unwrap();
        let connection = rusqlite::Connection::open(directory.join("state.db")).unwrap();
        connection.execute_batch(statements).unwrap();
        directory
    };
    let newer = folder.path().join("newer");
    assert_eq!(with_state("sweep", &config, &newer).run().await.code, Some(0));
    rusqlite::Connection::open(newer.join("state.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let damaged = folder.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join("state.db"), "no database at all, but a text of some length".repeat(100)).unwrap();
    let file = folder.path().join("file");
    fs::create_dir(&file).unwrap();
    fs::write(file.join("state"), "").unwrap();
    for (directory, says) in [
        (newer, "written by a newer version of this program (schema 99"),
        (database("foreign", "CREATE TABLE t (x); INSERT INTO t VALUES (1)"), "not a state of this program"),
        (damaged, "cannot read the state: file is not a database"),
        (file.join("state"), "cannot be used: "),
    ] {
        let content = fs::read(directory.join("state.db")).ok();
        for command in ["serve", "sweep"] {
            let outcome = with_state(command, &config, &directory).run().await;
            assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
            assert!(outcome.stderr.contains(says) && outcome.stderr.lines().count() == 1, "{}", outcome.stderr);
        }
        assert_eq!(fs::read(directory.join("state.db")).ok(), content);
    }
}

#[tokio::test]
async fn flags_without_a_meaning_are_refused() {
    for (flags, says) in [
        (&["--storage.retention.time", "1d"][..], "--storage.path"),
        (&["--storage.path", "/nowhere", "--storage.retention.size", "4KiB"], "--storage.retention.size: "),
        (&["--storage.path", "/nowhere", "--storage.retention.time", "1"], "the unit is missing"),
    ] {
        let outcome = probe(["sweep", "--registry", "http://127.0.0.1:1"].iter().chain(flags)).run().await;
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}

/// Root may write anywhere, so that it has to be somebody else.
fn as_nobody(arguments: &[&str], folder: &Path) -> Option<Vec<String>> {
    let program = folder.join("probe");
    fs::copy(env!("CARGO_BIN_EXE_registry-integrity-probe"), &program).unwrap();
    let mut command = Vec::new();
    if rustix::process::geteuid().is_root() {
        peer("setpriv")?;
        command.extend(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"].map(str::to_string));
    }
    command.push(program.display().to_string());
    command.extend(arguments.iter().map(ToString::to_string));
    Some(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_state_sets_the_writable_metric_0() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    registry.remove_manifest("app", child(&image));
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    let service = with_state("serve", &config, &state).serve().await;
    until(&service, MISSING_CHILD, Some(1.0)).await;
    // Killed, so that what it knew is still in the journal.
    drop(service);
    for entry in fs::read_dir(&state).unwrap() {
        fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(&state, Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let before: Vec<_> = ["state.db", "state.db-wal"].map(|name| fs::read(state.join(name)).unwrap()).into();

    let metrics = tempfile::tempdir().unwrap();
    fs::set_permissions(metrics.path(), Permissions::from_mode(0o777)).unwrap();
    let textfile = metrics.path().join("probe.prom");
    let (state_text, textfile_text) = (state.display().to_string(), textfile.display().to_string());
    let arguments = ["sweep", "--config.file", &config, "--storage.path", &state_text, "--textfile", &textfile_text];
    let Some(command) = as_nobody(&arguments, folder.path()) else { return };
    let run = || std::process::Command::new(&command[0]).args(&command[1..]).output().unwrap();
    let outage = registry.fault(everything(), answers(503));
    let told = tokio::task::block_in_place(run);
    let stderr = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write the state; continuing in memory"), "{stderr}");
    assert!(stderr.contains("the results of this sweep are not stored"), "{stderr}");
    let metrics = fs::read_to_string(&textfile).unwrap();
    assert_eq!((value(&metrics, WRITABLE), value(&metrics, MISSING_CHILD)), (Some(0.0), Some(1.0)), "{metrics}");

    outage.lift();
    registry.push("app:1", &image);
    assert_eq!(tokio::task::block_in_place(run).status.code(), Some(3), "intact, and nobody will know");
    let after: Vec<_> = ["state.db", "state.db-wal"].map(|name| fs::read(state.join(name)).unwrap()).into();
    assert!(before == after, "it was read only");
    // So that it can be removed.
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_full_disk_ends_nothing_and_the_metric_says_so() {
    let registry = Registry::start().await.unwrap();
    let image = index("app");
    registry.push("app:1", &image);
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (write_config(folder.path(), &registry), folder.path().join("state"));
    // No file may grow beyond this, as on a disk without room; the journal soon has to.
    let limit = "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\"";
    let service = with_state("serve", &config, &state).under("/bin/sh", &["-c", limit]).serve().await;
    until(&service, WRITABLE, Some(1.0)).await;
    until(&service, WRITABLE, Some(0.0)).await;
    registry.remove_manifest("app", child(&image));
    until(&service, MISSING_CHILD, Some(1.0)).await;
    assert!(service.stderr().contains("cannot save the state; continuing in memory"), "{}", service.stderr());
}

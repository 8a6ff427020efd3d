//! `deploy/systemd`.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use regex::Regex;
use registry_integrity_probe::cli::arguments::Cli;

use crate::objects::{output, project, read};
use crate::testkit::peer;
use crate::testkit::peers::skipped;
use crate::testkit::probe::probe;

const SERVICES: [(&str, f64); 3] = [
    ("registry-integrity-probe.service", 1.2),
    ("registry-integrity-probe-sweep.service", 1.2),
    ("registry-integrity-probe-scan.service", 0.4),
];
const TIMERS: [&str; 2] = ["registry-integrity-probe-sweep.timer", "registry-integrity-probe-scan.timer"];
const INSTALLED: &str = "/usr/local/bin/registry-integrity-probe";

fn unit(name: &str) -> String {
    read(&format!("deploy/systemd/{name}"))
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let Some(systemd_analyze) = peer("systemd-analyze") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> = vec!["verify".into()];
    for name in SERVICES.iter().map(|(name, _)| *name).chain(TIMERS) {
        let file = folder.path().join(name);
        // It looks whether the program is there.
        let text = unit(name).replace(INSTALLED, env!("CARGO_BIN_EXE_registry-integrity-probe"));
        fs::write(&file, text).unwrap();
        files.push(file);
    }
    let verified = output(&systemd_analyze, &files);
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    // It warns of what it does not know, and that must be seen.
    fs::write(&files[1], unit(SERVICES[0].0).replace("ProtectHome=", "ProtectHomes=")).unwrap();
    assert!(!output(&systemd_analyze, &files).stderr.is_empty());
}

#[test]
fn services_are_as_little_exposed_as_the_documentation_says() {
    let Some(systemd_analyze) = peer("systemd-analyze") else { return };
    let page = read("docs/systemd.md");
    let score = Regex::new(r"Overall exposure level for \S+: ([0-9.]+)").unwrap();
    // Other versions know other settings, and weigh them otherwise.
    let version = String::from_utf8(output(&systemd_analyze, ["--version"]).stdout).unwrap();
    let is_the_documented = version.starts_with("systemd 252 ") && page.contains("of systemd 252");
    for (name, most) in SERVICES {
        let file = project("deploy/systemd").join(name);
        let analysed = output(&systemd_analyze, ["security".into(), "--offline=true".into(), file]);
        let told = String::from_utf8(analysed.stdout).unwrap();
        let found: f64 = score.captures(&told).unwrap_or_else(|| panic!("{told}"))[1].parse().unwrap();
        assert!(found <= most, "{name} is exposed to {found}");
        assert!(!is_the_documented || found >= most, "{name} is exposed to {found}, and less than is told");
        assert!(page.contains(&format!("| `{name}` | {most:.1} |")), "{name}: {most}");
    }
}

#[test]
fn the_units_run_commands_that_are_accepted() {
    for (name, _) in SERVICES {
        let text = unit(name);
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let (program, arguments) = line.split_once(' ').unwrap();
        assert_eq!(program, INSTALLED, "{name}");
        let parsed = Cli::command().try_get_matches_from([program].into_iter().chain(arguments.split(' ')));
        assert!(parsed.is_ok(), "{name}: {}", parsed.unwrap_err());
    }
}

#[test]
fn unit_fails_on_wrong_configuration_not_on_findings() {
    for (name, _) in &SERVICES[1..] {
        assert!(unit(name).contains("\nSuccessExitStatus=1 3\n"), "{name}");
    }
    assert!(unit(SERVICES[0].0).contains("\nRestartPreventExitStatus=2\n"));
}

/// As `ProcSubset=pid` has it, and some container runtimes.
#[tokio::test]
async fn a_start_that_nobody_can_tell_is_absent_and_not_1970() {
    let (Some(unshare), Some(_)) = (peer("unshare"), peer("mount")) else { return };
    let hidden = "mount -t proc -o subset=pid proc /proc";
    if !output(&unshare, ["-m", "/bin/sh", "-c", hidden]).status.success() {
        skipped("this user may not mount");
        return;
    }
    let start = "process_start_time_seconds";
    let arguments = ["serve", "--registry", "http://127.0.0.1:1"];
    let usual = probe(arguments).serve().await.get("/metrics").await;
    assert!(usual.contains(&format!("\n{start} 1")), "{usual}");
    let script = format!("{hidden} && exec \"$0\" \"$@\"");
    let service = probe(arguments).under("unshare", &["-m", "/bin/sh", "-c", &script]).serve().await;
    let metrics = service.get("/metrics").await;
    assert!(metrics.contains("\nprocess_resident_memory_bytes ") && !metrics.contains(start), "{metrics}");
    // The exporter, whose start is on a dashboard, is not run so.
    assert!(!unit(SERVICES[0].0).contains("\nProcSubset=pid\n"));
}

//! `completions` and `man`, as shells and man pages' readers take them.

use std::process::Command;

use clap::CommandFactory;
use registry_integrity_probe::cli::arguments::Cli;

use crate::testkit::peer;
use crate::testkit::probe::probe;

async fn script(shell: &str) -> String {
    let outcome = probe(["completions", shell]).run().await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome.stdout
}

#[tokio::test]
async fn every_shell_reads_its_script() {
    for shell in ["bash", "zsh", "fish"] {
        let Some(program) = peer(shell) else { continue };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("completions");
        std::fs::write(&file, script(shell).await).unwrap();
        let output = Command::new(program).arg("-n").arg(file).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }
}

#[tokio::test]
async fn bash_completes_commands_flags_and_values() {
    let Some(bash) = peer("bash") else { return };
    let source = script("bash").await;
    let complete = |words: &str, position: usize| {
        let asked = format!(
            "{source}\nCOMP_WORDS=(registry-integrity-probe {words})\nCOMP_CWORD={position}\n\
             complete=$(complete -p registry-integrity-probe)\ncomplete=${{complete##*-F }}\n\
             ${{complete%% *}} registry-integrity-probe \"${{COMP_WORDS[{position}]}}\" \"${{COMP_WORDS[{before}]}}\"\n\
             echo \"${{COMPREPLY[*]}}\"\n",
            before = position - 1
        );
        let output = Command::new(&bash).args(["-c", &asked]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_string()
    };
    assert_eq!(complete("sw", 1), "sweep");
    assert_eq!(complete("sweep --push.g", 2), "--push.gateway");
    assert_eq!(complete("sweep --output j", 3), "json junit");
}

#[tokio::test]
async fn shells_without_a_peer_have_a_script_too() {
    for shell in ["elvish", "powershell"] {
        assert!(script(shell).await.contains("--push.gateway"), "{shell}");
    }
    assert_eq!(probe(["completions", "csh"]).run().await.code, Some(2));
}

#[tokio::test]
async fn a_page_for_the_program_and_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man/man1");
    let outcome = probe(["man", "--out", pages.to_str().unwrap()]).run().await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    for command in Cli::command().get_subcommands() {
        let text = page(&format!("registry-integrity-probe-{}.1", command.get_name()));
        let flags = command.get_arguments().filter_map(|argument| argument.get_long());
        for flag in flags.filter(|flag| *flag != "help") {
            assert!(text.contains(&flag.replace('-', "\\-")), "{flag} of {} is not told", command.get_name());
        }
    }
    assert!(std::fs::read_dir(&pages).unwrap().all(|page| !page.unwrap().path().ends_with("-help.1")));
    let printed = probe(["man"]).run().await;
    assert_eq!(printed.stdout, page("registry-integrity-probe.1"));

    let Some(mandoc) = peer("mandoc") else { return };
    let files = std::fs::read_dir(&pages).unwrap().map(|page| page.unwrap().path());
    let lint = Command::new(mandoc).args(["-T", "lint", "-W", "error"]).args(files).output().unwrap();
    assert!(lint.status.success() && lint.stdout.is_empty(), "{lint:?}");
}

#[tokio::test]
async fn pages_that_cannot_be_written_are_told() {
    let outcome = probe(["man", "--out", "/dev/null/man1"]).run().await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("cannot write the report to /dev/null/man1: Not a directory"), "{outcome:?}");
}

//! `docs/cronjob.md`, by its own examples.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use clap::CommandFactory;
use regex::Regex;
use registry_integrity_probe::cli::arguments::Cli;
use saphyr::{LoadableYamlNode, Yaml};

use crate::testkit::peer;

const PAGE: &str = include_str!("../../../docs/cronjob.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    PAGE.split(begin.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_flag_exists() {
    let command = Cli::command();
    let commands = command.get_subcommands().chain([&command]);
    let known: BTreeSet<&str> =
        commands.flat_map(|command| command.get_arguments()).filter_map(|a| a.get_long()).collect();
    let flag = Regex::new(r"[ `]--([a-z][a-z.-]*[a-z])").unwrap();
    let named: BTreeSet<&str> = flag.captures_iter(PAGE).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(named.contains("push.gateway") && named.contains("textfile"), "{named:?}");
    assert!(named.is_subset(&known), "{:?}", named.difference(&known));
}

#[test]
fn the_cronjob_runs_a_sweep_with_arguments_that_are_accepted() {
    let cronjob = &Yaml::load_from_str(blocks("yaml")[0]).unwrap()[0];
    let container = &cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_sequence().unwrap().iter().map(|argument| argument.as_str().unwrap());
    Cli::command().try_get_matches_from(["probe"].into_iter().chain(arguments)).unwrap();
}

#[test]
fn prometheus_accepts_its_configuration() {
    let Some(promtool) = peer("promtool") else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("prometheus.yml");
    std::fs::write(&file, blocks("yaml")[1]).unwrap();
    let output = Command::new(promtool).args(["check", "config"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_name_becomes_base64_as_the_page_says() {
    let recipe = Regex::new(r"`(printf %s .*)`").unwrap().captures(PAGE).unwrap()[1].to_string();
    for name in ["eu/private", "??>~", "über"] {
        let output = Command::new("/bin/sh").args(["-c", &recipe]).env("NAME", name).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), URL_SAFE.encode(name));
    }
}

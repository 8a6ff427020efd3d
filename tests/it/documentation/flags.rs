//! Commands and flags that the pages write are the program's, and none of the program's is left out.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Command, CommandFactory};
use regex::Regex;
use registry_integrity_probe::cli::arguments::Cli;

use super::pages::{pages, prose_and_blocks, read, rows_below, spans};

const NAME: &str = "registry-integrity-probe";

/// Flags of other programs that the pages' sentences speak of without their program's name.
const OF_OTHERS: [&str; 6] = [
    "--build-arg",
    "--collector.textfile.directory",
    "--dest-tls-verify",
    "--no-cache",
    "--persistence.file",
    "--user",
];

fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

/// The flags of each command, with those that all have.
fn flags() -> BTreeMap<String, BTreeSet<String>> {
    let program = program();
    let of = |command: &Command| {
        command.get_arguments().filter_map(|it| it.get_long()).map(|it| format!("--{it}")).collect()
    };
    let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
    commands.map(|command| (command.get_name().to_string(), of(command))).collect()
}

/// The words of a line of shell up to where another command begins.
fn words(line: &str) -> Vec<String> {
    let word = Regex::new(r#"(?:[^\s"']|"[^"]*"|'[^']*')+"#).unwrap();
    let words = word.find_iter(line).map(|word| word.as_str());
    let is_end = |word: &&str| !["|", "&&", "||", ";", ">", "2>", "#", "&"].contains(word);
    let (digest, github) = (Regex::new(r"@\$\w+").unwrap(), Regex::new(r"\$\{\{ (\S+) \}\}").unwrap());
    let plain = |word: &str| {
        let word = word.trim_end_matches([';', ')']).replace(['"', '\''], "");
        let word = digest.replace(&word, format!("@sha256:{:064}", 0));
        let word = github.replace_all(&word, "$1");
        // The placeholders and variables of a reference: HOST/$REPOSITORY:TAG.
        let is_reference = word.contains("REPOSITORY") || word.starts_with("$CI_") || word.contains("github.");
        if is_reference { word.replace('$', "").to_lowercase() } else { word.into_owned() }
    };
    words.take_while(is_end).map(plain).collect()
}

/// The command lines of this program in a text of shell, each from its name on.
fn invocations(text: &str) -> Vec<Vec<String>> {
    let begin =
        Regex::new(&format!(r"(?m)(?:^\s*|[|;&(] *|run: |root |time )(?:/usr/local/bin/)?{NAME} ([a-z].*)$")).unwrap();
    let text = text.replace("\\\n", " ");
    let of_line = |found: regex::Captures| {
        let mut all = vec![NAME.to_string()];
        all.extend(words(found.get(1).unwrap().as_str()));
        all
    };
    let lines = begin.captures_iter(&text);
    lines.map(of_line).collect()
}

#[test]
fn every_command_line_of_a_page_is_accepted() {
    let mut checked = 0;
    for page in pages() {
        let (_, blocks) = prose_and_blocks(&read(page.to_str().unwrap()));
        for (language, block) in blocks {
            // What a program prints is no command.
            if language == "text" {
                continue;
            }
            for line in invocations(&block) {
                let parsed = Cli::command().try_get_matches_from(&line);
                assert!(parsed.is_ok(), "{}: {line:?}: {}", page.display(), parsed.unwrap_err());
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn every_flag_in_the_documentation_exists() {
    let flag = Regex::new(r"(?:^|[\s`(])(--[a-z][a-z0-9.-]*[a-z])").unwrap();
    let known: BTreeSet<String> = flags().into_values().flatten().collect();
    let mut of_others = BTreeSet::new();
    for page in pages() {
        let (prose, _) = prose_and_blocks(&read(page.to_str().unwrap()));
        for span in spans(&prose).filter(|span| span.starts_with("--") || span.starts_with(NAME)) {
            let own = span.strip_prefix(NAME).and_then(|rest| rest.split_whitespace().next());
            let of_command = own.and_then(|command| flags().remove(command));
            for found in flag.captures_iter(span).map(|found| found[1].to_string()) {
                match &of_command {
                    // A line that goes on behind `&&` is another program's.
                    Some(_) if span.contains("&&") => {}
                    Some(flags) => assert!(flags.contains(&found), "{}: {span}", page.display()),
                    None if known.contains(&found) => {}
                    None => {
                        assert!(OF_OTHERS.contains(&found.as_str()), "{}: `{found}` of {span}", page.display());
                        of_others.insert(found);
                    }
                }
            }
        }
    }
    assert_eq!(of_others, OF_OTHERS.map(str::to_string).into(), "one that no page has any more");
}

#[test]
fn every_command_and_flag_is_told_somewhere() {
    let readme = read("README.md");
    let told: String = pages().iter().map(|page| read(page.to_str().unwrap())).collect();
    for (command, flags) in flags() {
        assert!(readme.contains(&format!("| `{command}")) || readme.contains(&format!(" `{command}`")), "{command}");
        for flag in flags.iter().filter(|flag| *flag != "--help" && *flag != "--version") {
            let whole = Regex::new(&format!(r"{}(?:[^a-z0-9.-]|\.(?:\s|$)|$)", regex::escape(flag))).unwrap();
            assert!(whole.is_match(&told), "{flag} of {command}");
        }
    }
}

#[test]
fn the_defaults_of_flags_are_those_of_the_program() {
    let program = program();
    let default = |flag: &str| {
        let arguments = program.get_subcommands().flat_map(Command::get_arguments);
        let argument = arguments.into_iter().find(|it| it.get_long() == Some(flag.trim_start_matches("--")));
        let argument = argument.unwrap_or_else(|| panic!("{flag}"));
        argument.get_default_values().first().map(|value| value.to_str().unwrap().to_string())
    };
    let page = read("docs/state.md");
    for cells in rows_below(&page, "# State that survives") {
        let flag = spans(&cells[0]).next().unwrap().split(' ').next().unwrap();
        let told = (cells[1] != "none").then(|| cells[1].trim_matches('`').to_string());
        assert_eq!(told, default(flag), "{flag}");
    }
    for (page, sentence, flag) in [
        ("docs/web-configuration.md", "Where to serve, `0.0.0.0:10500` by default", "--web.listen-address"),
        ("docs/cronjob.md", "(`--push.job`, default `registry-integrity-probe`)", "--push.job"),
        ("docs/verify.md", "| `byte` (default) |", "--evidence"),
        ("docs/scan.md", "`--output text` (default)", "--output"),
    ] {
        assert!(read(page).contains(sentence), "{page}: {sentence}");
        let default = default(flag).unwrap();
        assert!(
            sentence.contains(&format!("`{default}`")) || sentence.contains(&format!("{default}`")),
            "{flag}: {default}"
        );
    }
}

//! `verify`: checks the given images now.

mod live;

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::{CommandError, Exit, deliver, exit};
use crate::check::verify::{Check, Verification, VerifyOptions};
use crate::cli::arguments::{OutputFormat, VerifyArgs};
use crate::config::{Credentials, Secret};
use crate::registry::default_places;
use crate::render;
use crate::report::Verdict;
use crate::report::{Cause, Report};

/// Pause before the second attempt with `--retry-for`; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Maximum pause, because a user or a pipeline waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Maximum length of a password in bytes.
const PASSWORD_LIMIT: u64 = 64 * 1024;

/// Checks the images until they are intact or `--retry-for` has passed, and writes the report.
pub async fn run(args: VerifyArgs) -> Result<Exit, CommandError> {
    let settings = VerifyOptions {
        evidence: args.evidence,
        platforms: args.platforms.clone(),
        plain_http: args.plain_http,
        credentials: credentials(&args)?,
    };
    let checks = Check::of(args.images.clone(), &settings).await?;
    if args.username.is_some() && checks.len() > 1 {
        let fault = "the images are in several registries; use docker login for each instead".to_string();
        return Err(CommandError::Flag { flag: "--username", fault });
    }
    let (looks, waited) = check_until_intact(&checks, args.retry_for.unwrap_or_default()).await;
    let reports: Vec<Report> = looks.iter().map(|look| look.report.clone()).collect();
    let exit = match Exit::by_result(&reports) {
        // Images were given, so checking none of them is not a success.
        Exit::Success if reports.iter().any(|report| report.empty) => Exit::Unverified,
        exit => exit,
    };
    let is_text = args.output.format == OutputFormat::Text;
    if !is_text {
        let warnings = looks
            .iter()
            .flat_map(|look| &look.trees)
            .flat_map(|(name, tree)| tree.warnings.iter().map(move |warning| format!("warning: {name}: {warning}")));
        warnings.chain(waited.clone()).for_each(|line| tell(&line));
    }
    let drawn = args.output.file.is_none() && io::stdout().is_terminal();
    let delivered = deliver::reports_as(&args.output, &reports, |terminal, out| {
        render::verify::text(&looks, terminal, drawn, out)?;
        waited.iter().try_for_each(|line| writeln!(out, "{line}"))
    });
    match delivered {
        Ok(()) => Ok(exit),
        Err(error) if exit == Exit::Failure => {
            exit::print(&error);
            Ok(exit)
        }
        Err(error) => Err(error),
    }
}

/// Repeats the check while a retry can help. The text reports how long it took.
async fn check_until_intact(checks: &[Check], patience: Duration) -> (Vec<Verification>, Option<String>) {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let looks = live::look(checks).await;
        let (all_intact, left) = (looks.iter().all(is_intact), patience.saturating_sub(began.elapsed()));
        if all_intact && attempt > 1 {
            let took = began.elapsed().as_secs_f64();
            return (looks, Some(format!("intact after {took:.1}s, at attempt {attempt}")));
        }
        if all_intact || left.is_zero() || !looks.iter().any(can_become_intact) {
            let gave_up = (!all_intact && !patience.is_zero()).then(|| {
                let took = began.elapsed().as_secs_f64();
                format!("not intact after {took:.1}s, at attempt {attempt}")
            });
            return (looks, gave_up);
        }
        let (seconds, left_seconds) = (pause.min(left).as_secs_f64(), left.as_secs_f64());
        tell(&format!("attempt {attempt}: not intact; next attempt in {seconds:.1}s, giving up in {left_seconds:.0}s"));
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_intact(look: &Verification) -> bool {
    Verdict::of(&look.report) == Verdict::Intact
}

/// Rejected credentials are never retried, because retries could lock the account.
fn can_become_intact(look: &Verification) -> bool {
    let Report { failures, unverified, .. } = &look.report;
    !is_intact(look) && (!failures.is_empty() || unverified.iter().any(|entry| entry.cause != Cause::Unauthorized))
}

fn credentials(args: &VerifyArgs) -> Result<Credentials, CommandError> {
    if let Some(username) = &args.username {
        let username = Secret::Inline(username.clone().into());
        return Ok(Credentials::Basic { username, password: Secret::Inline(password()?) });
    }
    Ok(match &args.registry_config {
        Some(path) => Credentials::DockerConfig(path.clone()),
        None => Credentials::DockerConfigs(default_places()),
    })
}

/// Standard input without a trailing line break, which `echo` adds.
fn password() -> Result<SecretString, CommandError> {
    let fault = |fault: String| CommandError::Flag { flag: "--password-stdin", fault };
    let mut text = String::new();
    io::stdin()
        .take(PASSWORD_LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| fault(format!("standard input cannot be read: {error}")))?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.trim_end_matches('\r'));
    if password.is_empty() {
        return Err(fault("standard input is empty (expected the password there)".to_string()));
    }
    Ok(password.into())
}

/// Prints a line on stderr, which may be closed.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

//! `verify`: the named images, now.

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

/// Before the second look with `--retry-for`; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// But never longer than this, since somebody waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A password is not read beyond this, in bytes.
const PASSWORD_LIMIT: u64 = 64 * 1024;

/// Looks at the images until they are whole, or for as long as was asked for, and writes what was found.
pub async fn run(args: VerifyArgs) -> Result<Exit, CommandError> {
    let settings = VerifyOptions {
        evidence: args.evidence,
        platforms: args.platforms.clone(),
        plain_http: args.plain_http,
        credentials: credentials(&args)?,
    };
    let checks = Check::of(args.images.clone(), &settings).await?;
    if args.username.is_some() && checks.len() > 1 {
        let fault = "the images name several registries, and one password is not for all of them".to_string();
        return Err(CommandError::Flag { flag: "--username", fault });
    }
    let (looks, waited) = look_until_whole(&checks, args.retry_for.unwrap_or_default()).await;
    let reports: Vec<Report> = looks.iter().map(|look| look.report.clone()).collect();
    let exit = match Exit::by_result(&reports) {
        // Images were named, so that none of them being checked is no success.
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
            exit::tell(&error);
            Ok(exit)
        }
        Err(error) => Err(error),
    }
}

/// Looks again and again while something may still become whole; then also says how long that took.
async fn look_until_whole(checks: &[Check], patience: Duration) -> (Vec<Verification>, Option<String>) {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let looks = live::look(checks).await;
        let (is_whole, left) = (looks.iter().all(is_whole), patience.saturating_sub(began.elapsed()));
        if is_whole && attempt > 1 {
            let took = began.elapsed().as_secs_f64();
            return (looks, Some(format!("whole after {took:.1}s, at attempt {attempt}")));
        }
        if is_whole || left.is_zero() || !looks.iter().any(may_become_whole) {
            let gave_up = (!is_whole && !patience.is_zero()).then(|| {
                let took = began.elapsed().as_secs_f64();
                format!("not whole after {took:.1}s, at attempt {attempt}")
            });
            return (looks, gave_up);
        }
        let (seconds, left_seconds) = (pause.min(left).as_secs_f64(), left.as_secs_f64());
        tell(&format!("attempt {attempt}: not whole; again in {seconds:.1}s, for {left_seconds:.0}s at most"));
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_whole(look: &Verification) -> bool {
    Verdict::of(&look.report) == Verdict::Intact
}

/// Credentials that are refused stay refused, and trying them again may lock an account.
fn may_become_whole(look: &Verification) -> bool {
    let Report { failures, unverified, .. } = &look.report;
    !is_whole(look) && (!failures.is_empty() || unverified.iter().any(|entry| entry.cause != Cause::Unauthorized))
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

/// The whole standard input, but for the line break that `echo` leaves.
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

/// Tells on stderr what is going on; if that is closed, nobody wants to know.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

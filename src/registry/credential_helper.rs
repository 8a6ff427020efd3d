//! Docker's credential helpers: programs that hand out a host's credentials (docker/docker-credential-helpers, `get`).

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde::Deserialize;

use super::credentials::Login;
use crate::oci::Object;

/// A helper may have to unlock a keychain or ask a cloud.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A helper's answer is not read beyond this, in bytes.
const ANSWER_LIMIT: u64 = 1024 * 1024;
/// What helpers print, and end with 1, when they know nothing of a host.
const NOT_FOUND: &str = "credentials not found";
/// The user's name under which a helper hands out an identity token.
const IDENTITY_TOKEN: &str = "<token>";

/// Why a helper gave no credentials. What it printed is not quoted: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The name in the file is none of a program.
    #[error("\"{0}\" is not the name of a credential helper")]
    Name(String),
    /// It cannot be run.
    #[error("the credential helper {program} cannot be run (is it on the PATH?): {source}")]
    NotRun {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It failed, or did not end.
    #[error("the credential helper {program} {fault}")]
    Failed {
        /// Which.
        program: String,
        /// How.
        fault: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: SecretString,
}

/// Asks `docker-credential-<name>` for a host's credentials; `None` if it has none.
///
/// # Errors
///
/// [`HelperError`] if it cannot be run, fails or takes longer than 30 seconds.
pub fn get(name: &str, host: &str) -> Result<Option<Login>, HelperError> {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_legal) {
        return Err(HelperError::Name(name.chars().take(100).collect()));
    }
    let program = format!("docker-credential-{name}");
    let failed = |fault: &str| HelperError::Failed { program: program.clone(), fault: fault.to_string() };
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| HelperError::NotRun { program: program.clone(), source })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input says by its answer what is wrong.
        let _ = stdin.write_all(host.as_bytes());
    }
    let stdout = child.stdout.take().ok_or_else(|| failed("has no output"))?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.take(ANSWER_LIMIT).read_to_string(&mut text).map(|_| text)
    });
    let status = wait(&mut child).map_err(|source| failed(&source.to_string()))?;
    let Some(status) = status else {
        return Err(failed(&format!("did not end within {}", humantime::format_duration(TIME_LIMIT))));
    };
    let text = reader.join().ok().and_then(Result::ok).ok_or_else(|| failed("wrote what is not UTF-8"))?;
    if !status.success() {
        return if text.contains(NOT_FOUND) { Ok(None) } else { Err(failed(&format!("failed ({status})"))) };
    }
    let Object(Answer { username, secret }) =
        serde_json::from_str(&text).map_err(|_| failed("did not answer as credential helpers do"))?;
    Ok(Some(if username == IDENTITY_TOKEN {
        Login::IdentityToken(secret)
    } else {
        Login::Password { username, password: secret }
    }))
}

/// Waits for the helper's end; `None` if it did not end in time and was killed.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

//! Docker's credential helpers: programs that hand out a host's credentials (docker/docker-credential-helpers, `get`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use secrecy::SecretString;
use serde::Deserialize;

use super::error::HelperError;
use super::login::Login;
use crate::oci::Object;

/// A helper may have to unlock a keychain or ask a cloud.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A helper's answer is not read beyond this, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;
/// Between two looks at a running helper.
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// What helpers print, and end with 1, when they know nothing of a host.
const NOT_FOUND: &str = "credentials not found";
/// The user's name under which a helper hands out an identity token.
const IDENTITY_TOKEN: &str = "<token>";

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
        // A helper that does not read its input answers with an error of its own.
        let _ = stdin.write_all(host.as_bytes());
    }
    let ended = answer_of(&mut child, TIME_LIMIT).map_err(|source| failed(&source.to_string()))?;
    let Some((status, bytes)) = ended else {
        return Err(failed(&format!("did not end within {}", humantime::format_duration(TIME_LIMIT))));
    };
    let text = String::from_utf8(bytes).map_err(|_| failed("wrote what is not UTF-8"))?;
    if !status.success() {
        return if text.contains(NOT_FOUND) { Ok(None) } else { Err(failed(&format!("failed ({status})"))) };
    }
    let Object(Answer { username, secret }) =
        serde_json::from_str(&text).map_err(|_| failed("did not answer as credential helpers do"))?;
    Ok(Some(if username == IDENTITY_TOKEN {
        Login::IdentityToken { username: String::new(), token: secret }
    } else {
        Login::Password { username, password: secret }
    }))
}

/// Waits for the helper's end and gives what it wrote; `None` if it did not end in time and was killed. A process that it
/// leaves behind may hold its output open forever, so the end of the output is not waited for.
fn answer_of(child: &mut Child, limit: Duration) -> io::Result<Option<(ExitStatus, Vec<u8>)>> {
    let began = Instant::now();
    let mut stdout = child.stdout.take().map(without_blocking).transpose()?;
    let mut bytes = Vec::new();
    loop {
        // The status first: all that the helper wrote before its end is then there to be read.
        let status = child.try_wait()?;
        if let Some(stdout) = &mut stdout {
            read_available(stdout, &mut bytes)?;
        }
        if let Some(status) = status {
            return Ok(Some((status, bytes)));
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL_PAUSE);
    }
}

fn without_blocking(stdout: ChildStdout) -> io::Result<File> {
    let descriptor = OwnedFd::from(stdout);
    fcntl_setfl(&descriptor, fcntl_getfl(&descriptor)? | OFlags::NONBLOCK)?;
    Ok(File::from(descriptor))
}

/// Reads what there is now; bytes beyond the limit are dropped, so that a helper is never held up by its own output.
fn read_available(stdout: &mut File, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    // One look reads at most as much as an answer may have, so that an endless one cannot hold up the time limit.
    for _ in 0..=ANSWER_LIMIT / piece.len() {
        match stdout.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => bytes.extend_from_slice(&piece[..length.min(ANSWER_LIMIT - bytes.len())]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Runs a helper that is this shell script.
    fn answer_to(script: &str, limit: Duration) -> io::Result<Option<(ExitStatus, Vec<u8>)>> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("helper");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut helper = Command::new("/bin/sh");
        helper.arg(&program).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        answer_of(&mut helper.spawn().unwrap(), limit)
    }

    #[test]
    fn a_child_that_keeps_the_output_open_is_not_waited_for() {
        let began = Instant::now();
        let (status, bytes) = answer_to("sleep 60 & echo answer", Duration::from_secs(30)).unwrap().unwrap();
        assert!(status.success());
        assert_eq!(bytes, b"answer\n");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn the_time_limit_holds_whatever_is_left_running() {
        let began = Instant::now();
        let ended = answer_to("sleep 60 & echo early; sleep 60", Duration::from_millis(100)).unwrap();
        assert!(ended.is_none(), "{ended:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn an_endless_answer_is_read_to_its_limit_and_no_further() {
        let (_, bytes) = answer_to("head -c 3000000 /dev/zero", Duration::from_secs(30)).unwrap().unwrap();
        assert_eq!(bytes.len(), ANSWER_LIMIT);
        let ended = answer_to("exec cat /dev/zero", Duration::from_millis(200)).unwrap();
        assert!(ended.is_none());
    }
}

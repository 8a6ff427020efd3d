//! curl, as people have it.

use std::path::PathBuf;
use std::process::Output;

use crate::testkit::peer;
use crate::testkit::probe::RunningProbe;
use crate::testkit::web_service::Setup;

/// What curl printed: `VERSION STATUS`, the headers, and the body; its exit code.
pub struct Answer {
    pub code: Option<i32>,
    pub status: u16,
    /// Such as `2` or `1.1`.
    pub version: String,
    pub text: String,
}

/// curl, if it is installed.
pub struct Curl(PathBuf);

impl Curl {
    pub fn find() -> Option<Self> {
        peer("curl").map(Self)
    }

    /// Asks for a path over a scheme with further arguments. A process of its own must not hold the reactor up.
    pub async fn ask(&self, service: &RunningProbe, scheme: &str, path: &str, arguments: &[&str]) -> Answer {
        let output = tokio::process::Command::new(&self.0)
            .args(["-sS", "-i", "--max-time", "30", "-w", "\n%{http_version} %{http_code}"])
            .args(arguments)
            .arg(format!("{scheme}://localhost:{}{path}", service.address().port()))
            .env_clear()
            .output()
            .await
            .unwrap();
        answer(&output)
    }

    /// Asks over TLS with the authority that signed the server's certificate.
    pub async fn over_tls(&self, setup: &Setup, service: &RunningProbe, path: &str, arguments: &[&str]) -> Answer {
        let ca = setup.ca.ca_file().display().to_string();
        let arguments: Vec<&str> = ["--cacert", &ca].into_iter().chain(arguments.iter().copied()).collect();
        self.ask(service, "https", path, &arguments).await
    }
}

fn answer(output: &Output) -> Answer {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_string();
    let (version, status) = last.split_once(' ').unwrap_or_default();
    Answer {
        code: output.status.code(),
        status: status.parse().unwrap_or_default(),
        version: version.to_string(),
        text,
    }
}

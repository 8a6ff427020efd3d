//! The project's own binary, run as its users run it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::raw_http::ask;
use super::{free_address, poll_until};

/// No command of a test may take longer.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A command line that has not been run yet.
#[derive(Debug)]
pub struct Probe {
    command: Command,
    standard_input: Vec<u8>,
    directory: TempDir,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end, without anything that it prints: the most memory that it ever had resident, in KiB, and its
/// exit code.
pub fn most_resident(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> (u64, Option<i32>) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_registry-integrity-probe"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (began, mut most) = (std::time::Instant::now(), 0);
    let ended = loop {
        if let Some(ended) = process.try_wait().unwrap() {
            break ended;
        }
        assert!(began.elapsed() < 2 * TIME_LIMIT, "the command does not end");
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        most = most.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    };
    (most, ended.code())
}

/// A process in the background, killed when it is dropped.
#[derive(Debug)]
pub struct RunningProbe {
    process: Child,
    directory: TempDir,
    address: SocketAddr,
}

/// The binary with arguments; nothing of the environment but `PATH` reaches it.
pub fn probe(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Probe {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-integrity-probe"));
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let directory = tempfile::tempdir().expect("a temporary directory");
    // An empty home, so that no docker config of the machine is read.
    command.env("HOME", directory.path());
    Probe { command, standard_input: Vec::new(), directory }
}

impl Probe {
    /// With an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Run by another program, which gets the command line behind its own arguments.
    pub fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args()).env_clear();
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = command;
        self
    }

    /// In a working directory.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.command.current_dir(directory.into());
        self
    }

    /// With this on its standard input, which is empty otherwise.
    pub fn stdin(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { standard_input: bytes.into(), ..self }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// If it takes longer than a minute.
    pub async fn run(self) -> Outcome {
        let (process, directory) = self.spawn();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        RunningProbe { process, directory, address }.wait().await
    }

    /// Starts it in the background with `--web.listen-address` on a free port, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it ends, or is not ready in time.
    pub async fn serve(self) -> RunningProbe {
        let running = self.serve_unasked().await;
        let address = running.address;
        poll_until(TIME_LIMIT, async || {
            (ask(address, "GET", "/-/ready").send().await.status == Some(200)).then_some(())
        })
        .await;
        running
    }

    /// The same for a service that does not answer everybody: waits until it listens.
    ///
    /// # Panics
    ///
    /// If it ends, or does not listen in time.
    pub async fn serve_unasked(mut self) -> RunningProbe {
        let address = free_address();
        self.command.arg(format!("--web.listen-address={address}"));
        let (process, directory) = self.spawn();
        let mut running = RunningProbe { process, directory, address };
        poll_until(TIME_LIMIT, async || {
            let ended = running.process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "ended with {ended:?}: {}", running.stderr());
            tokio::net::TcpStream::connect(address).await.ok().map(drop)
        })
        .await;
        running
    }

    /// Output goes to files, since a pipe that nobody reads would stop the process.
    fn spawn(mut self) -> (Child, TempDir) {
        let file = |name| File::create(self.directory.path().join(name)).expect("a writable temporary directory");
        self.command.stdin(Stdio::piped()).stdout(file("stdout")).stderr(file("stderr"));
        let mut process = self.command.spawn().expect("the project's binary can be run");
        if let Some(mut stdin) = process.stdin.take() {
            // A process that does not read its input may have ended by now.
            let _ = stdin.write_all(&self.standard_input);
        }
        (process, self.directory)
    }
}

impl RunningProbe {
    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path that it serves.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The body that it serves at a path.
    pub async fn get(&self, path: &str) -> String {
        ask(self.address, "GET", path).send().await.text()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.path().join(name)).unwrap_or_default()).into_owned()
    }

    /// Its process's id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "KILL" => Signal::KILL,
            "TERM" => Signal::TERM,
            _ => panic!("no test sends SIG{name}"),
        };
        rustix::process::kill_process(Pid::from_child(&self.process), signal).expect("the probe can be signalled");
    }

    /// Asks it to end, and waits for that.
    pub async fn terminate(self) -> Outcome {
        self.signal("TERM");
        self.wait().await
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end within a minute.
    pub async fn wait(mut self) -> Outcome {
        let process = &mut self.process;
        let status: ExitStatus =
            poll_until(TIME_LIMIT, async || process.try_wait().expect("a child can be waited for")).await;
        Outcome { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for RunningProbe {
    fn drop(&mut self) {
        // It has usually ended by now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! Signal handling.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of a service. Created early, so that none is lost.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// SIGTERM or SIGINT.
    Shutdown,
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// Starts listening.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.interrupt.recv() => SignalAction::Shutdown,
            _ = self.terminate.recv() => SignalAction::Shutdown,
            _ = self.hangup.recv() => SignalAction::Reload,
        }
    }
}

/// Makes SIGTERM and SIGINT exit with the code that shells use for them. Signals have no default action for the first
/// process of a container.
pub fn exit_on_signals() -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        let signal = tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        std::process::exit(128 + signal.as_raw_value());
    });
    Ok(())
}

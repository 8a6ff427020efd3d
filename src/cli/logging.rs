//! Log lines on stderr, as logfmt or JSON.

use std::io;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `key=value`
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// From which level on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what an operator wants to know.
    Info,
    /// And what helps to find a fault.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    /// The level holds for this program's own lines. Libraries speak from warnings on only: at lower levels the HTTP ones
    /// write headers, and so credentials.
    fn directives(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "warn,registry_integrity_probe=info",
            Self::Debug => "warn,registry_integrity_probe=debug",
            Self::Trace => "warn,registry_integrity_probe=trace",
        }
    }
}

/// Sets the process's log up; later calls do nothing.
pub fn init(level: LogLevel, format: LogFormat) {
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Logfmt => {
            tracing_logfmt::builder().with_target(false).with_span_name(false).layer().with_writer(io::stderr).boxed()
        }
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_target(false).with_writer(io::stderr).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(EnvFilter::new(level.directives()))).try_init();
}

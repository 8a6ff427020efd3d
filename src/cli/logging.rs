//! Log lines on stderr, as logfmt or JSON.

use std::io;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `key=value`
    Logfmt,
    /// One JSON object per line
    Json,
}

/// The minimum level of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Only errors
    Error,
    /// Also warnings
    Warn,
    /// Also normal operation
    Info,
    /// Also each request
    Debug,
    /// Everything
    Trace,
}

impl LogLevel {
    /// The level applies to this program only. Libraries log warnings at most: at lower levels HTTP libraries log headers,
    /// and with them credentials.
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

/// Sets up logging for the process; later calls have no effect.
pub fn init(level: LogLevel, format: LogFormat) {
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Logfmt => {
            tracing_logfmt::builder().with_target(false).with_span_name(false).layer().with_writer(io::stderr).boxed()
        }
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_target(false).with_writer(io::stderr).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(EnvFilter::new(level.directives()))).try_init();
}

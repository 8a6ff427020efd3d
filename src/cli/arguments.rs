//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use secrecy::SecretString;

use crate::check::verify::{Evidence, ImageName};
use crate::cli::logging::{LogFormat, LogLevel};
use crate::config::units::{parse_duration, parse_size};
use crate::oci::Platform;
use crate::storage::collector::Engine;

/// Prometheus exporter and blackbox integrity probe for OCI container registries.
#[derive(Debug, Parser)]
#[command(name = "registry-integrity-probe", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,

    /// Format of log lines on stderr
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt", global = true)]
    pub log_format: LogFormat,

    /// Minimum log level [default: info for serve, warn for all other commands]
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    pub log_level: Option<LogLevel>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check every registry at regular intervals; serve metrics, the API and the status page
    Serve(ServeArgs),
    /// Check every registry once and print a report. Exit code: 0 intact, 1 broken, 3 something could not be verified
    Sweep(SweepArgs),
    /// Check the given images now, every manifest, config and layer. Use it after a push in CI. Same exit codes as sweep
    Verify(VerifyArgs),
    /// Check a registry's storage offline: find broken images and predict what garbage collection would break
    Scan(ScanArgs),
    /// Run a self-contained demo: an in-process registry with healthy and broken images
    Demo(DemoArgs),
    /// Check a configuration file and print every error with its line
    CheckConfig(CheckConfigArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print the manual page, or write one per command
    Man(ManArgs),
}

/// The registries to check.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RegistriesArgs {
    /// Path of the configuration file
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// URL of a registry to check with default settings, instead of a configuration file. May be repeated
    #[arg(long = "registry", value_name = "URL")]
    pub registries: Vec<String>,
}

/// The share of the repositories that this process checks.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ShardArgs {
    /// Total number of shards; this process checks only its own share (docs/sharding.md)
    #[arg(long = "shard.count", value_name = "COUNT")]
    pub count: Option<u32>,

    /// Index of this shard, starting at 0 [default: JOB_COMPLETION_INDEX, or the ordinal at the end of POD_NAME or the host name]
    #[arg(long = "shard.index", value_name = "INDEX")]
    pub index: Option<u32>,
}

/// Persistent state.
#[derive(Clone, Debug, Args)]
pub struct StorageArgs {
    /// Directory for state that survives restarts, created if absent (docs/state.md) [default: state is kept in memory only]
    #[arg(long = "storage.path", value_name = "DIR")]
    pub storage_path: Option<PathBuf>,

    /// How long to keep resolved failures, sweep history and registries no longer configured
    #[arg(long = "storage.retention.time", value_name = "DURATION", default_value = "90d", value_parser = parse_duration, requires = "storage_path")]
    pub retention_time: Duration,

    /// Maximum size of the state file; the oldest history is deleted first
    #[arg(long = "storage.retention.size", value_name = "BYTES", default_value = "512MiB", value_parser = parse_size, requires = "storage_path")]
    pub retention_size: u64,
}

/// Arguments of `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The registries to check.
    #[command(flatten)]
    pub registries: RegistriesArgs,

    /// The share of the repositories that this process checks.
    #[command(flatten)]
    pub shard: ShardArgs,

    /// Persistent state.
    #[command(flatten)]
    pub storage: StorageArgs,

    /// Address to listen on. May be repeated
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "0.0.0.0:10500")]
    pub listen_addresses: Vec<String>,

    /// File with TLS, client certificates, users and HTTP headers of the web interface (docs/web-configuration.md)
    #[arg(long = "web.config.file", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub web_config_file: Option<PathBuf>,

    /// Allow reloading the configuration and starting sweeps by POST (unauthenticated unless --web.config.file adds users)
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,

    /// URL under which users reach the status page; its path is the prefix of every route
    #[arg(long = "web.external-url", value_name = "URL")]
    pub external_url: Option<String>,
}

/// Arguments of `sweep`.
#[derive(Clone, Debug, Args)]
pub struct SweepArgs {
    /// The registries to check.
    #[command(flatten)]
    pub registries: RegistriesArgs,

    /// The share of the repositories that this process checks.
    #[command(flatten)]
    pub shard: ShardArgs,

    /// Persistent state.
    #[command(flatten)]
    pub storage: StorageArgs,

    /// Format and destination of the report.
    #[command(flatten)]
    pub output: OutputArgs,

    /// URL of a Pushgateway to push the metrics to, one group per registry. Credentials in the URL are sent as basic auth
    #[arg(long = "push.gateway", value_name = "URL")]
    pub push_gateway: Option<SecretString>,

    /// The `job` label of pushed metrics
    #[arg(long = "push.job", value_name = "NAME", default_value = "registry-integrity-probe")]
    pub push_job: String,

    /// Write the metrics to this file for node_exporter's textfile collector, which reads files named *.prom
    #[arg(long = "textfile", value_name = "PATH")]
    pub textfile: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Images by tag or digest, such as registry.example.com/team/app:1; the default registry is Docker Hub
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<ImageName>,

    /// How thoroughly to check blobs
    #[arg(long = "evidence", value_name = "EVIDENCE", default_value = "byte")]
    pub evidence: Evidence,

    /// Platform that must exist; others may be absent. May be repeated [default: all platforms of the index]
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT]")]
    pub platforms: Vec<Platform>,

    /// Retry for up to this long until everything is intact, for eventually consistent registries
    #[arg(long = "retry-for", value_name = "DURATION", value_parser = parse_duration)]
    pub retry_for: Option<Duration>,

    /// Use plain HTTP. Not needed for localhost, where the protocol is detected
    #[arg(long = "plain-http")]
    pub plain_http: bool,

    /// User name; overrides the credentials of docker and podman
    #[arg(long = "username", value_name = "NAME", requires = "password_stdin", conflicts_with = "registry_config")]
    pub username: Option<String>,

    /// Read the password from standard input
    #[arg(long = "password-stdin", requires = "username")]
    pub password_stdin: bool,

    /// Path of a docker config.json with credentials [default: the files of docker and podman]
    #[arg(long = "registry.config", value_name = "PATH")]
    pub registry_config: Option<PathBuf>,

    /// Format and destination of the report.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Format and destination of a report.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Format of the report
    #[arg(long = "output", value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,

    /// Write the report to this file instead of standard output
    #[arg(long = "output.file", value_name = "PATH")]
    pub file: Option<PathBuf>,
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Plain text
    Text,
    /// JSON
    Json,
    /// JUnit XML, for the test view of a CI server
    Junit,
    /// GitHub Actions annotations, and a job summary if GITHUB_STEP_SUMMARY is set
    Github,
}

/// Check a registry's storage offline: find broken images and predict what garbage collection would break.
///
/// Nothing is changed, unless --remove-orphan-layer-links is given. Exit code: 0 everything is intact, 1 something is
/// broken (or, with --engine, the garbage collection would break something or fail), 2 wrong usage, or a ROOT that is not
/// a distribution storage tree, 3 something could not be verified, or the report could not be delivered.
#[derive(Clone, Debug, Args)]
pub struct ScanArgs {
    /// Directory that contains docker/registry/v2, that directory itself, or a parent of several
    #[arg(required = true, value_name = "ROOT")]
    pub roots: Vec<PathBuf>,

    /// Registry version whose garbage collection is about to run: damage that it would do then affects the exit code
    ///
    /// Without this option, all four collections are predicted, and none affects the exit code.
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,

    /// The garbage collection runs with --delete-untagged (-m)
    #[arg(long, requires = "engine")]
    pub delete_untagged: bool,

    /// Hash every blob
    #[arg(long)]
    pub content: bool,

    /// Directory name of a pull-through cache, where missing content is normal. May be repeated
    #[arg(long, value_name = "NAME")]
    pub pull_through: Vec<String>,

    /// Format of the report
    #[arg(long, value_enum, default_value_t)]
    pub output: ScanFormat,

    /// Write metrics to this file for node_exporter's textfile collector
    #[arg(long, value_name = "PATH")]
    pub textfile: Option<PathBuf>,

    /// Remove layer links without data, so that the next push uploads the layers again
    #[arg(long)]
    pub remove_orphan_layer_links: bool,

    /// Only print what --remove-orphan-layer-links would remove
    #[arg(long, requires = "remove_orphan_layer_links")]
    pub dry_run: bool,
}

/// The format of a scan's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ScanFormat {
    /// Plain text
    #[default]
    Text,
    /// JSON
    Json,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Address to listen on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10500")]
    pub listen_address: String,
}

/// Arguments of `check-config`.
#[derive(Clone, Debug, Args)]
pub struct CheckConfigArgs {
    /// Path of the configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Also check this web configuration file of serve, and the certificates that it names
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Write the pages of the program and of every command to this directory, created if absent [default: print the
    /// program's page]
    #[arg(long = "out", value_name = "DIR")]
    pub out: Option<PathBuf>,
}

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
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How log lines on stderr are written.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt", global = true)]
    pub log_format: LogFormat,

    /// From which level on lines are logged [default: info; sweep: warn]
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    pub log_level: Option<LogLevel>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sweep every registry again and again, and serve metrics, an API and a status page
    Serve(ServeArgs),
    /// Sweep every registry once, print what was found, and exit: 0 intact, 1 failures, 3 something could not be judged
    Sweep(SweepArgs),
    /// Walk the named images now, as the gate after a push: every manifest, config and layer. Exits as sweep does
    Verify(VerifyArgs),
    /// Read a registry's storage tree offline: what is broken, and what the next garbage collection would break
    Scan(ScanArgs),
    /// Show the whole product with nothing installed: a registry in this process, healthy images, and the broken ones
    Demo(DemoArgs),
    /// Check a configuration file and print every fault with its line
    CheckConfig(CheckConfigArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for every command
    Man(ManArgs),
}

/// Which registries.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RegistriesArgs {
    /// The configuration file
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// A registry's URL, instead of a file; with every setting at its default. May be repeated
    #[arg(long = "registry", value_name = "URL")]
    pub registries: Vec<String>,
}

/// Which part of them.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ShardArgs {
    /// Look at one part of the repositories alone, of this many: docs/sharding.md
    #[arg(long = "shard.count", value_name = "COUNT")]
    pub count: Option<u32>,

    /// Which part, from 0 [default: an Indexed Job's JOB_COMPLETION_INDEX, or the number that ends POD_NAME or the host's name]
    #[arg(long = "shard.index", value_name = "INDEX")]
    pub index: Option<u32>,
}

/// What outlives the process.
#[derive(Clone, Debug, Args)]
pub struct StorageArgs {
    /// A directory for the state, made if absent, so that a restart forgets nothing: docs/state.md [default: nothing is kept]
    #[arg(long = "storage.path", value_name = "DIR")]
    pub storage_path: Option<PathBuf>,

    /// How long failures that are over, sweeps, and registries that nobody asks for are kept
    #[arg(long = "storage.retention.time", value_name = "DURATION", default_value = "90d", value_parser = parse_duration, requires = "storage_path")]
    pub retention_time: Duration,

    /// How large the state may become; the oldest of the past makes room
    #[arg(long = "storage.retention.size", value_name = "BYTES", default_value = "512MiB", value_parser = parse_size, requires = "storage_path")]
    pub retention_size: u64,
}

/// Arguments of `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Which registries.
    #[command(flatten)]
    pub registries: RegistriesArgs,

    /// Which part of them.
    #[command(flatten)]
    pub shard: ShardArgs,

    /// What outlives the process.
    #[command(flatten)]
    pub storage: StorageArgs,

    /// Where to serve. May be repeated
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "0.0.0.0:10500")]
    pub listen_addresses: Vec<String>,

    /// TLS, client certificates, users and headers of what is served: docs/web-configuration.md
    #[arg(long = "web.config.file", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub web_config_file: Option<PathBuf>,

    /// Let anybody who reaches the listener reload the configuration and begin sweeps, by POST
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,

    /// The URL under which people reach the status page; its path is the prefix of every link
    #[arg(long = "web.external-url", value_name = "URL")]
    pub external_url: Option<String>,
}

/// Arguments of `sweep`.
#[derive(Clone, Debug, Args)]
pub struct SweepArgs {
    /// Which registries.
    #[command(flatten)]
    pub registries: RegistriesArgs,

    /// Which part of them.
    #[command(flatten)]
    pub shard: ShardArgs,

    /// What outlives the process.
    #[command(flatten)]
    pub storage: StorageArgs,

    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,

    /// A Pushgateway that gets the metrics, one group for each registry. Credentials in the URL are sent as basic auth
    #[arg(long = "push.gateway", value_name = "URL")]
    pub push_gateway: Option<SecretString>,

    /// The `job` label of what is pushed
    #[arg(long = "push.job", value_name = "NAME", default_value = "registry-integrity-probe")]
    pub push_job: String,

    /// Where the metrics are written for node_exporter's textfile collector, which reads files named *.prom
    #[arg(long = "textfile", value_name = "PATH")]
    pub textfile: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Images by tag or digest, such as registry.example.com/team/app:1; without a registry they are Docker Hub's
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<ImageName>,

    /// How blobs are proved: the registry says that it has them, their last byte comes, or all of them is hashed
    #[arg(long = "evidence", value_name = "EVIDENCE", default_value = "byte")]
    pub evidence: Evidence,

    /// A platform that must exist; others may be absent. May be repeated [default: all that the index names]
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT]")]
    pub platforms: Vec<Platform>,

    /// Look again for this long until everything is intact, for a registry that is eventually consistent
    #[arg(long = "retry-for", value_name = "DURATION", value_parser = parse_duration)]
    pub retry_for: Option<Duration>,

    /// Do without TLS. A registry of this machine is asked what it speaks
    #[arg(long = "plain-http")]
    pub plain_http: bool,

    /// Who to log in as, instead of what docker and podman know
    #[arg(long = "username", value_name = "NAME", requires = "password_stdin", conflicts_with = "registry_config")]
    pub username: Option<String>,

    /// Read the password from standard input
    #[arg(long = "password-stdin", requires = "username")]
    pub password_stdin: bool,

    /// A docker config.json with credentials [default: docker's and podman's own places]
    #[arg(long = "registry.config", value_name = "PATH")]
    pub registry_config: Option<PathBuf>,

    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How a result is written.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// How the result is written
    #[arg(long = "output", value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,

    /// Where the result is written, instead of standard output
    #[arg(long = "output.file", value_name = "PATH")]
    pub file: Option<PathBuf>,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// JUnit XML, for the test view of a CI server
    Junit,
    /// GitHub Actions annotations, and a job summary where GITHUB_STEP_SUMMARY is set
    Github,
}

/// Read a registry's storage tree offline: what is broken, and what the next garbage collection would break.
///
/// Nothing is changed, unless --remove-orphan-layer-links is given. Exit status: 0 everything is intact, 1 something is
/// broken (or, with --engine, the collection would break something or fail), 2 wrong usage, or a ROOT in another format
/// than distribution's, 3 something could not be judged or delivered.
#[derive(Clone, Debug, Args)]
pub struct ScanArgs {
    /// The folder that holds docker/registry/v2, that folder itself, or a parent of several such.
    #[arg(required = true, value_name = "ROOT")]
    pub roots: Vec<PathBuf>,

    /// The registry whose garbage collection is about to run: damage that it would do then counts for the exit status.
    /// Without it, all four collections are predicted, and none counts.
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,

    /// That collection runs with --delete-untagged (-m).
    #[arg(long, requires = "engine")]
    pub delete_untagged: bool,

    /// Hash every blob.
    #[arg(long)]
    pub content: bool,

    /// A registry that caches another one, by its folder's name: absence is normal there.
    #[arg(long, value_name = "NAME")]
    pub pull_through: Vec<String>,

    /// How to write the report.
    #[arg(long, value_enum, default_value_t)]
    pub output: ScanFormat,

    /// Write metrics here, for node_exporter's textfile collector.
    #[arg(long, value_name = "PATH")]
    pub textfile: Option<PathBuf>,

    /// Remove layer links whose bytes are gone, so that the next push uploads the layers again.
    #[arg(long)]
    pub remove_orphan_layer_links: bool,

    /// Only say what --remove-orphan-layer-links would remove.
    #[arg(long, requires = "remove_orphan_layer_links")]
    pub dry_run: bool,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ScanFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Where to serve
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10500")]
    pub listen_address: String,
}

/// Arguments of `check-config`.
#[derive(Clone, Debug, Args)]
pub struct CheckConfigArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The web configuration file of serve, to be checked too, with the certificates that it names
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
    /// A directory for the pages of the program and of every command, made if absent; without, the program's page goes to
    /// standard output
    #[arg(long = "out", value_name = "DIR")]
    pub out: Option<PathBuf>,
}

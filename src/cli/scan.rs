//! `scan`: checks storage trees without their registries.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Exit;
use crate::cli::arguments::{ScanArgs, ScanFormat};
use crate::render::Terminal;
use crate::render::{self, textfile};
use crate::storage::collector::Collector;
use crate::storage::{
    LocateError, Located, Location, Progress, RemovalOutcome, RootReport, ScanOptions, ScanReport, locate, metrics,
    scan,
};

/// Why a scan failed or could not be delivered.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("--pull-through {name}: no registry of this name; found {}", .known.join(", "))]
    UnknownRegistry { name: String, known: Vec<String> },
    #[error("cannot start reader threads: {0}; raise the process limit")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error("cannot write the report: {0}")]
    Report(#[from] io::Error),
    #[error("cannot write the metrics to {}: {source}; choose a file in a writable directory", .path.display())]
    Textfile { path: PathBuf, source: io::Error },
    #[error("cannot encode the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl ScanError {
    fn exit(&self) -> Exit {
        match self {
            Self::Locate(_) | Self::UnknownRegistry { .. } => Exit::Usage,
            Self::Threads(_) | Self::Report(_) | Self::Textfile { .. } | Self::Metrics(_) => Exit::Unverified,
        }
    }
}

/// Scans, writes the report to `out` and errors to `err`, and returns the exit code.
pub fn run(args: &ScanArgs, out: &mut impl Write, err: &mut impl Write) -> Exit {
    let report = match scan_all(args) {
        Ok(report) => report,
        Err(error) => {
            // A closed stderr leaves no way to report this.
            let _ = writeln!(err, "{error}");
            return error.exit();
        }
    };
    let mut delivered = true;
    let deliveries = [write_report(&report, args.output, out), write_textfile(&report, args.textfile.as_deref())];
    for error in deliveries.into_iter().filter_map(Result::err) {
        delivered = false;
        let _ = writeln!(err, "{error}");
    }
    exit_code(&report, args.engine.is_some(), delivered)
}

fn scan_all(args: &ScanArgs) -> Result<ScanReport, ScanError> {
    let Located { registries: locations, foreign } = locate(&args.roots)?;
    for name in &args.pull_through {
        if !locations.iter().any(|location| location.is_called(name)) {
            let known = locations.iter().map(|location| location.root.display().to_string()).collect();
            return Err(ScanError::UnknownRegistry { name: name.clone(), known });
        }
    }
    let options = ScanOptions {
        collectors: match args.engine {
            Some(engine) => vec![Collector { engine, delete_untagged: args.delete_untagged }],
            None => Collector::ALL.to_vec(),
        },
        content: args.content,
        remove_orphan_layer_links: args.remove_orphan_layer_links.then_some(args.dry_run),
    };
    // More threads than processors, because disks serve many requests at once. The stack allows 2,000 nested directories.
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2 * processors).stack_size(16 << 20).build()?;
    let roots = locations.iter().map(|location| {
        let pull_through = args.pull_through.iter().any(|name| location.is_called(name));
        pool.install(|| scan(location, pull_through, &options, &HashingBar::of(location)))
    });
    Ok(ScanReport { roots: roots.collect(), not_scanned: foreign })
}

fn write_report(report: &ScanReport, output: ScanFormat, out: &mut impl Write) -> Result<(), ScanError> {
    match output {
        ScanFormat::Text => render::scan(report, Terminal::of_stdout(), out)?,
        ScanFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, report).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(out.flush()?)
}

fn write_textfile(report: &ScanReport, path: Option<&Path>) -> Result<(), ScanError> {
    let Some(path) = path else { return Ok(()) };
    let text = metrics(report, SystemTime::now())?;
    textfile::write(path, &text).map_err(|source| ScanError::Textfile { path: path.to_owned(), source })
}

fn exit_code(report: &ScanReport, collection_counts: bool, delivered: bool) -> Exit {
    if !report.not_scanned.is_empty() {
        return Exit::Usage;
    }
    let roots = &report.roots;
    let is_broken = roots.iter().flat_map(|root| &root.findings).any(|finding| finding.class.is_failure());
    let does_harm = |root: &RootReport| root.garbage_collection.iter().any(|prediction| root.would_do_harm(prediction));
    let will_break = collection_counts && roots.iter().any(does_harm);
    let mut removals = roots.iter().flat_map(|root| &root.removals).flatten();
    let is_undone = removals.any(|removal| removal.outcome == RemovalOutcome::Kept);
    let is_unverified = roots.iter().any(|root| !root.unverified.is_empty());
    match (is_broken || will_break, is_unverified || is_undone || !delivered) {
        (true, _) => Exit::Failure,
        (false, true) => Exit::Unverified,
        (false, false) => Exit::Success,
    }
}

/// Progress of hashing on stderr, if it is a terminal.
struct HashingBar(ProgressBar);

impl HashingBar {
    fn of(location: &Location) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let template = "{prefix} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(location.root.display().to_string());
        Self(bar)
    }
}

impl Progress for HashingBar {
    fn begin(&self, bytes: u64) {
        self.0.set_length(bytes);
        self.0.set_draw_target(ProgressDrawTarget::stderr());
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

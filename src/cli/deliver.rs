//! Delivers the reports of a one-shot command.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::CommandError;
use crate::cli::arguments::{OutputArgs, OutputFormat};
use crate::render::{self, Terminal};
use crate::report::Report;
use crate::state::State;
use crate::{render::metrics, render::textfile};

/// Writes the reports in the requested format to the requested destination.
pub fn reports(args: &OutputArgs, reports: &[Report]) -> Result<(), CommandError> {
    reports_as(args, reports, |terminal, out| render::text(reports, terminal, out))
}

/// Writes the reports, with `text` for the text format.
pub fn reports_as(
    args: &OutputArgs,
    reports: &[Report],
    text: impl FnOnce(Terminal, &mut Vec<u8>) -> io::Result<()>,
) -> Result<(), CommandError> {
    let mut rendered = Vec::new();
    let result = match args.format {
        OutputFormat::Text => {
            let terminal = if args.file.is_none() { Terminal::of_stdout() } else { Terminal::default() };
            text(terminal, &mut rendered)
        }
        OutputFormat::Json => render::json(reports, &mut rendered),
        OutputFormat::Junit => render::junit(reports, &mut rendered),
        OutputFormat::Github => render::github::annotations(reports, &mut rendered),
    };
    let to = args.file.as_ref().map_or_else(|| "standard output".to_string(), |path| path.display().to_string());
    result
        .and_then(|()| match &args.file {
            Some(path) => std::fs::write(path, &rendered),
            None => io::stdout().lock().write_all(&rendered),
        })
        .map_err(|source| CommandError::Output { to, source })?;
    match std::env::var_os("GITHUB_STEP_SUMMARY").filter(|_| args.format == OutputFormat::Github) {
        Some(path) => append_summary(Path::new(&path), reports),
        None => Ok(()),
    }
}

/// Writes the metrics for node_exporter's textfile collector.
pub fn textfile(path: &Path, state: &State) -> Result<(), CommandError> {
    if path.extension().is_none_or(|extension| extension != "prom") {
        tracing::warn!(path = %path.display(), "node_exporter reads only files whose names end in .prom");
    }
    textfile::write(path, &metrics::render(state))
        .map_err(|source| CommandError::Output { to: path.display().to_string(), source })
}

/// Appends, because other steps of the job may have written to the file.
fn append_summary(path: &Path, reports: &[Report]) -> Result<(), CommandError> {
    let mut rendered = Vec::new();
    render::github::summary(reports, &mut rendered)
        .and_then(|()| File::options().append(true).create(true).open(path)?.write_all(&rendered))
        .map_err(|source| CommandError::Output { to: path.display().to_string(), source })
}

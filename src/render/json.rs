//! Reports as JSON.

use std::io;

use serde::Serialize;

use crate::report::Report;

#[derive(Serialize)]
struct Document<'a> {
    registries: &'a [Report],
}

/// Writes `{"registries": [...]}`, indented, with a newline at the end. Lists are never truncated.
pub fn json(reports: &[Report], out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Document { registries: reports })?;
    writeln!(out)
}

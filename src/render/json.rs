//! Reports for programs.

use std::io;

use serde::Serialize;

use crate::report::Report;

#[derive(Serialize)]
struct Document<'a> {
    registries: &'a [Report],
}

/// Writes `{"registries": [...]}`, indented, with a newline at its end. No list in it is cut.
pub fn json(reports: &[Report], out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Document { registries: reports })?;
    writeln!(out)
}

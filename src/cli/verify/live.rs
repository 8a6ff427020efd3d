//! Live progress on a terminal: the tree of objects with their states, and a progress bar.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use terminal_size::{Height, Width, terminal_size_of};

use crate::check::verify::{Check, Mark, Trace, Tree, Verification};
use crate::render::Terminal;
use crate::render::verify::{rate, rows};

/// Interval between two redraws.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Runs all checks concurrently, with progress on stderr if it is a terminal.
pub async fn look(checks: &[Check]) -> Vec<Verification> {
    let traces: Vec<Arc<Trace>> = checks.iter().map(|_| Arc::default()).collect();
    let mut looking =
        std::pin::pin!(join_all(checks.iter().zip(&traces).map(|(check, trace)| check.look(Arc::clone(trace)))));
    if !io::stderr().is_terminal() {
        return looking.await;
    }
    let live = Live::begin(checks);
    let mut redrawn = tokio::time::interval(REDRAW_INTERVAL);
    // A check that finishes immediately needs no progress display.
    redrawn.tick().await;
    loop {
        tokio::select! {
            looks = &mut looking => return looks,
            _ = redrawn.tick() => live.draw(checks, &traces),
        }
    }
}

struct Live {
    bar: ProgressBar,
    began: Instant,
    received_before: u64,
}

impl Live {
    fn begin(checks: &[Check]) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg}\n{wide_bar} {pos}/{len} objects, {prefix}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, began: Instant::now(), received_before: received(checks) }
    }

    fn draw(&self, checks: &[Check], traces: &[Arc<Trace>]) {
        let (Width(width), Height(height)) = terminal_size_of(io::stderr()).unwrap_or((Width(80), Height(24)));
        let terminal = Terminal { width: usize::from(width), colour: std::env::var_os("NO_COLOR").is_none() };
        let trees: Vec<(String, Tree)> = checks
            .iter()
            .zip(traces)
            .flat_map(|(check, trace)| {
                check.names().iter().map(|name| (name.to_string(), Tree::of(name, trace, check.platforms(), None)))
            })
            .collect();
        let marks = || trees.iter().flat_map(|(_, tree)| &tree.rows).map(|row| row.mark);
        self.bar.set_length(marks().count() as u64);
        self.bar.set_position(marks().filter(|mark| !matches!(mark, Mark::Waiting | Mark::Confirming)).count() as u64);
        let bytes = received(checks) - self.received_before;
        let rate = rate(bytes, self.began.elapsed().as_secs_f64());
        self.bar.set_prefix(format!("{}, {rate}", HumanBytes(bytes)));
        self.bar.set_message(drawing(trees, terminal, usize::from(height).saturating_sub(2)));
    }
}

/// The tree, or only its manifests if it does not fit, or as much as fits.
fn drawing(mut trees: Vec<(String, Tree)>, terminal: Terminal, height: usize) -> String {
    let lines: usize = trees.iter().map(|(_, tree)| 1 + tree.rows.len()).sum();
    if lines > height {
        trees.iter_mut().for_each(|(_, tree)| tree.rows.retain(|row| row.is_manifest));
    }
    let lines = trees.iter().flat_map(|(name, tree)| {
        std::iter::once(crate::render::fit(name, terminal.width)).chain(rows(tree, terminal, true))
    });
    lines.take(height).collect::<Vec<_>>().join("\n")
}

fn received(checks: &[Check]) -> u64 {
    checks.iter().map(|check| check.traffic().received_bytes()).sum()
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

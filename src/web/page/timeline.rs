//! A chart of a registry's open failures over time, with its sweeps below.

use std::time::{Duration, SystemTime};

use super::moment::{Moment, between, clock, counted};
use crate::report::Outcome;
use crate::state::history::{History, SweepRecord};

/// Maximum number of columns; beyond it, several sweeps share one, so that the page stays small.
const COLUMNS: usize = 120;
/// Width in the chart's own coordinates; the browser scales it.
const WIDTH: f64 = 1000.0;
/// Height of the part that shows failures.
pub const HEIGHT: f64 = 46.0;
/// Minimum height of a bar and width of a mark.
const MIN_SIZE: f64 = 3.0;

/// The time range of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 90 days, the complete history.
    Quarter,
}

impl Span {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Quarter];

    /// The value of `days` in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "1",
            Self::Week => "7",
            Self::Quarter => "90",
        }
    }

    /// The label of the link.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Quarter => "90 days",
        }
    }

    fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Quarter => 90 * 86_400,
        })
    }
}

/// A chart.
pub struct Timeline {
    /// The caption, also for screen readers.
    pub summary: String,
    /// Open failures from one sweep to the next.
    pub bars: Vec<Bar>,
    /// The sweeps.
    pub marks: Vec<Mark>,
    /// Its left end.
    pub from: Moment,
}

/// Open failures from one sweep to the next.
pub struct Bar {
    pub x: String,
    pub y: String,
    pub width: String,
    pub height: String,
    pub title: String,
}

/// A sweep, or several.
pub struct Mark {
    pub x: String,
    pub width: String,
    pub outcome: &'static str,
    pub title: String,
}

/// Sweeps that share a column.
struct Column {
    started: SystemTime,
    ended: SystemTime,
    sweeps: u64,
    /// The most open failures after one of them.
    failures: u64,
    outcome: Outcome,
}

impl Column {
    fn of(sweeps: &[&SweepRecord]) -> Option<Self> {
        Some(Self {
            started: sweeps.first()?.started_at,
            ended: sweeps.last()?.ended_at,
            sweeps: sweeps.len() as u64,
            failures: sweeps.iter().map(|sweep| sweep.failures).max()?,
            outcome: sweeps.iter().map(|sweep| sweep.outcome).max()?,
        })
    }
}

impl Timeline {
    /// The chart of a registry's history; `None` before its first sweep has finished.
    pub fn of(history: &History, span: Span, now: SystemTime) -> Option<Self> {
        let oldest = now.checked_sub(span.length()).unwrap_or(SystemTime::UNIX_EPOCH);
        let sweeps: Vec<&SweepRecord> =
            history.sweeps.iter().map(|sweep| &**sweep).filter(|sweep| sweep.ended_at >= oldest).collect();
        let from = sweeps.first()?.started_at.max(oldest);
        let columns: Vec<Column> = sweeps.chunks(sweeps.len().div_ceil(COLUMNS)).filter_map(Column::of).collect();
        let scale = Scale { from, length: now.duration_since(from).unwrap_or_default().as_secs_f64().max(0.001) };
        let most = columns.iter().map(|column| column.failures).max()?;
        let ends = columns.iter().skip(1).map(|column| column.ended).chain([now]);
        let bars = joined(columns.iter().zip(ends)).into_iter().filter(|(failures, ..)| *failures > 0);
        let last = columns.last()?.failures;
        let count = counted(sweeps.len() as u64, "sweep");
        Some(Self {
            summary: format!("{count} since {}. Open failures: {last} (peak {most})", clock(from, now)),
            bars: bars.map(|(failures, begin, end)| scale.bar(failures, most, begin, end, now)).collect(),
            marks: columns.iter().map(|column| scale.mark(column, now)).collect(),
            from: Moment::new(from, now),
        })
    }
}

/// Joins neighbouring columns with the same number of failures.
fn joined<'a>(columns: impl Iterator<Item = (&'a Column, SystemTime)>) -> Vec<(u64, SystemTime, SystemTime)> {
    let mut bars: Vec<(u64, SystemTime, SystemTime)> = Vec::new();
    for (column, end) in columns {
        match bars.last_mut() {
            Some((failures, _, until)) if *failures == column.failures => *until = end,
            _ => bars.push((column.failures, column.ended, end)),
        }
    }
    bars
}

struct Scale {
    from: SystemTime,
    length: f64,
}

impl Scale {
    fn x(&self, at: SystemTime) -> f64 {
        let since = at.duration_since(self.from).unwrap_or_default().as_secs_f64();
        (since / self.length * WIDTH).clamp(0.0, WIDTH)
    }

    fn bar(&self, failures: u64, most: u64, begin: SystemTime, end: SystemTime, now: SystemTime) -> Bar {
        let (left, right) = (self.x(begin), self.x(end));
        #[expect(clippy::cast_precision_loss, reason = "a height on a screen")]
        let height = (failures as f64 / most.max(1) as f64 * HEIGHT).max(MIN_SIZE);
        Bar {
            x: number(left),
            y: number(HEIGHT - height),
            width: number((right - left).max(MIN_SIZE)),
            height: number(height),
            title: format!("{}, {}", counted(failures, "failure"), between(begin, end, now)),
        }
    }

    fn mark(&self, column: &Column, now: SystemTime) -> Mark {
        let (left, right) = (self.x(column.started), self.x(column.ended));
        let Column { started, ended, sweeps, failures, outcome } = column;
        let count = counted(*failures, "failure");
        Mark {
            x: number(left.min(WIDTH - MIN_SIZE)),
            width: number((right - left).max(MIN_SIZE)),
            outcome: outcome.as_str(),
            title: match sweeps {
                1 => format!("{outcome} sweep {}: {count}", between(*started, *ended, now)),
                _ => {
                    format!("{sweeps} sweeps {}: peak {count}, worst outcome {outcome}", between(*started, *ended, now))
                }
            },
        }
    }
}

fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_string).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};
    use std::sync::Arc;

    use super::*;

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_776_556_800 + minutes * 60)
    }

    /// A sweep of one minute each quarter of an hour.
    fn history(failures: impl IntoIterator<Item = u64>) -> History {
        let sweeps = failures.into_iter().enumerate().map(|(n, failures)| {
            let n = n as u64;
            Arc::new(SweepRecord {
                id: n + 1,
                started_at: at(15 * n),
                ended_at: at(15 * n + 1),
                duration_seconds: 60.0,
                outcome: if n == 1 { Outcome::Failed } else { Outcome::Complete },
                catalog_accessible: true,
                empty: false,
                repositories: 1,
                images: Default::default(),
                objects: Default::default(),
                failures,
                appeared: 0,
                disproved: 0,
                unverified: 0,
                requests: 1,
                received_bytes: 0,
                coverage: None,
            })
        });
        History::restored(None, HashMap::new(), VecDeque::new(), VecDeque::from_iter(sweeps))
    }

    #[test]
    fn failures_are_drawn_from_sweep_to_sweep() {
        let chart = Timeline::of(&history([0, 0, 2, 2, 1, 0]), Span::Day, at(100)).unwrap();
        let bars: Vec<_> = chart.bars.iter().map(|bar| (&bar.x[..], &bar.width[..], &bar.height[..])).collect();
        assert_eq!(bars, [("310", "300", "46"), ("610", "150", "23")]);
        assert_eq!(chart.bars[0].title, "2 failures, between 00:31 and 01:01 UTC");
        let outcomes: Vec<_> = chart.marks.iter().map(|mark| mark.outcome).collect();
        assert_eq!(outcomes, ["complete", "failed", "complete", "complete", "complete", "complete"]);
        assert!(chart.summary.ends_with("Open failures: 0 (peak 2)"), "{}", chart.summary);
    }

    #[test]
    fn sweeps_before_the_span_are_left_out() {
        assert!(Timeline::of(&History::default(), Span::Day, at(0)).is_none());
        assert!(Timeline::of(&history([1, 1]), Span::Day, at(3000)).is_none());
        assert!(Timeline::of(&history([1, 1]), Span::Week, at(3000)).is_some());
    }

    #[test]
    fn many_sweeps_share_columns_without_hiding_failures() {
        let chart =
            Timeline::of(&history((0..8000).map(|n| u64::from(n == 4711))), Span::Quarter, at(120_000)).unwrap();
        assert!(chart.marks.len() <= COLUMNS, "{}", chart.marks.len());
        assert_eq!(chart.bars.len(), 1);
    }
}

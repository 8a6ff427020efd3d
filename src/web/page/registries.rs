//! One registry: state, current sweep, evidence and history.

use std::time::{Duration, SystemTime};

use super::headline::Standing;
use super::moment::{Moment, counted, duration};
use super::timeline::{Span, Timeline};
use super::watched::Watched;
use crate::config::{ByteEvidence, Mode};
use crate::render::printable;
use crate::report::{Coverage, ImageCounts};

/// A registry's card.
pub struct RegistryCard {
    pub name: String,
    pub url: String,
    pub is_pull_through: bool,
    pub standing: Standing,
    /// As of the last sweep; `None` if it could not check any.
    pub images: Option<ImageCounts>,
    /// Objects of the last complete sweep, and repositories of the last one that read the catalog.
    pub contents: Option<(u64, u64)>,
    pub last_sweep: Option<Moment>,
    pub last_success: Option<Moment>,
    pub next_sweep: Option<Moment>,
    /// Outcome, duration and requests of the last sweep.
    pub sweep: Option<String>,
    pub progress: Option<SweepProgress>,
    pub coverage: Option<CoverageBar>,
    pub timeline: Option<Timeline>,
}

/// The current sweep.
pub struct SweepProgress {
    pub walked: u64,
    /// 0 until the catalog is read.
    pub repositories: u64,
    pub objects: u64,
}

/// Evidence for the intact blobs of the last complete sweep.
pub struct CoverageBar {
    pub coverage: Coverage,
    /// The configured schedule.
    pub wanted: String,
    /// Thousandths of the bar: hashed blobs, and hashed blobs plus those whose last byte was read.
    pub content: u64,
    pub byte: u64,
}

impl RegistryCard {
    /// The card of a registry.
    pub fn of(watched: &Watched, span: Span, now: SystemTime) -> Self {
        let Watched { registry, known } = watched;
        let moment = |at: SystemTime| Moment::new(at, now);
        let report = known.report.as_deref();
        let due = report.map(|report| report.started_at + registry.interval());
        Self {
            name: printable(&registry.name),
            url: printable(&registry.url),
            is_pull_through: registry.mode() == Mode::PullThrough,
            standing: Standing::of(watched, now),
            images: watched.images(),
            contents: known.repositories.map(|repositories| (known.objects.total(), repositories)),
            last_sweep: known.last_sweep.map(moment),
            last_success: known.last_success.map(moment),
            next_sweep: due.filter(|due| known.sweeping.is_none() && *due > now).map(moment),
            sweep: report.map(|report| {
                let took = Duration::from_secs_f64(report.duration_seconds.clamp(0.0, 1e9));
                let (outcome, requests) = (report.outcome, counted(report.requests, "request"));
                format!(
                    "{outcome}, in {}, with {requests}",
                    if took.as_secs() < 2 { format!("{:.1} s", took.as_secs_f64()) } else { duration(took) }
                )
            }),
            progress: known.sweeping.as_ref().map(|sweeping| SweepProgress {
                walked: sweeping.progress.walked(),
                repositories: sweeping.progress.repositories(),
                objects: sweeping.progress.objects(),
            }),
            coverage: known.coverage.map(|coverage| CoverageBar::of(coverage, watched)),
            timeline: Timeline::of(&known.history, span, now),
        }
    }
}

impl CoverageBar {
    fn of(coverage: Coverage, watched: &Watched) -> Self {
        let Coverage { head, byte, content } = coverage;
        let share = |part: u64| part.saturating_mul(1000) / (head + byte + content).max(1);
        let evidence = watched.registry.evidence();
        let every = |period: Duration| {
            if period.is_zero() { "in every sweep".to_string() } else { format!("within {}", duration(period)) }
        };
        let mut wanted = match evidence.byte {
            ByteEvidence::Off => "The last byte is not read".to_string(),
            ByteEvidence::Within(period) => format!("The last byte is read {}", every(period)),
        };
        wanted.push_str(
            &evidence.content.map_or_else(String::new, |period| format!(", the full content {}", every(period))),
        );
        Self { coverage, wanted: wanted + ".", content: share(content), byte: share(content + byte) }
    }

    /// Number of intact blobs.
    pub fn total(&self) -> u64 {
        self.coverage.head + self.coverage.byte + self.coverage.content
    }
}

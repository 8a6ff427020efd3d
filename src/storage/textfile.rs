//! A scan's report for node_exporter's textfile collector.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntGaugeVec, Opts, Registry, TextEncoder};

use super::finding::{Class, ScanReport};

/// The metrics of a report, in Prometheus's text format. Every class is present for every root; predictions are those
/// requested.
///
/// # Errors
///
/// [`prometheus::Error`] if two metrics had the same name.
pub fn metrics(report: &ScanReport, ended: SystemTime) -> prometheus::Result<String> {
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    };
    let findings = gauge(
        "registry_storage_scan_findings",
        "Number of findings in the last scan of a registry's storage, by class.",
        &["root", "class"],
    )?;
    let damage = gauge(
        "registry_storage_scan_predicted_damage",
        "Number of intact objects, reachable from a tag, that a garbage collection would break.",
        &["root", "engine", "delete_untagged"],
    )?;
    let timestamp = gauge(
        "registry_storage_scan_last_timestamp_seconds",
        "Unix time at which the last scan of a registry's storage ended.",
        &["root"],
    )?;
    let seconds = ended.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for root in &report.roots {
        for class in Class::ALL {
            let count = root.findings.iter().filter(|finding| finding.class == class).count();
            findings.with_label_values(&[root.root.as_str(), class.as_str()]).set(saturating(count));
        }
        for prediction in &root.garbage_collection {
            let engine = prediction.collector.engine.number().to_string();
            let untagged = prediction.collector.delete_untagged.to_string();
            let labels = [root.root.as_str(), engine.as_str(), untagged.as_str()];
            damage.with_label_values(&labels).set(saturating(prediction.damage.len()));
        }
        timestamp.with_label_values(&[root.root.as_str()]).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn saturating(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

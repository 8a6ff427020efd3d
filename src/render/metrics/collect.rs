//! Builds metric families from the state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::families::{self as family, FAMILIES, Family};
use url::Url;

use crate::oci::Image;
use crate::registry::{Code, DURATION_BUCKETS, Durations, Method, Traffic};
use crate::report::{Cause, Coverage, Failure, ImageState, Kind, Outcome, Reason, Report};
use crate::state::{RegistryState, Reload, Snapshot, State};

/// Default limit of series for broken images per registry.
pub const DEFAULT_BROKEN_IMAGES_LIMIT: usize = 1000;

/// Limit of series for unverified images per registry, because an outage affects thousands. `registry_integrity_images`
/// counts all of them.
pub const UNVERIFIED_IMAGES_LIMIT: usize = 100;

/// Collects all `registry_integrity_*` metrics from the current state.
pub struct StateCollector {
    /// Maximum number of `registry_integrity_image_broken` series per registry, the first ones by name.
    pub broken_images_limit: usize,
    registries: Vec<Arc<RegistryState>>,
    last_reload: Option<Reload>,
    is_kept: Option<bool>,
    shard: Option<String>,
    descriptions: Vec<Desc>,
}

impl StateCollector {
    /// A collector for the configured registries.
    pub fn new(state: &State) -> Self {
        let describe = |family: &Family| {
            let labels = family.labels.iter().map(ToString::to_string).collect();
            Desc::new(family.name.to_string(), family.help.to_string(), labels, Default::default())
                .expect("the names of metrics and labels are legal")
        };
        Self {
            broken_images_limit: DEFAULT_BROKEN_IMAGES_LIMIT,
            registries: state.registries(),
            last_reload: state.last_reload(),
            is_kept: state.is_saved(),
            shard: state.shard().map(|shard| shard.index().to_string()),
            descriptions: FAMILIES.iter().map(describe).collect(),
        }
    }
}

impl Collector for StateCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut samples = Samples { shard: self.shard.clone(), families: BTreeMap::new() };
        let revision = option_env!("BUILD_REVISION").unwrap_or("unknown");
        samples.add(&family::BUILD_INFO, &[env!("CARGO_PKG_VERSION"), revision], 1.0);
        if let Some(reload) = self.last_reload {
            samples.add(&family::CONFIG_RELOADED, &[], f64::from(u8::from(reload.is_successful())));
            samples.add(&family::CONFIG_RELOAD_TIME, &[], seconds_since_epoch(reload.last_success));
        }
        if let Some(is_kept) = self.is_kept {
            samples.add(&family::STORAGE_WRITABLE, &[], f64::from(u8::from(is_kept)));
        }
        for registry in &self.registries {
            let name = registry.name.as_str();
            let known = registry.known();
            samples.add(&family::SWEEP_INTERVAL, &[name], registry.interval().as_secs_f64());
            if let Some(host) = host(&registry.url) {
                samples.add(&family::REGISTRY_INFO, &[name, &host], 1.0);
            }
            samples.add_sweeps(name, &known);
            samples.add_findings(name, known.report.as_deref());
            samples.add_broken_images(name, known.failures(), self.broken_images_limit);
            samples.add_unverified_images(name, known.report.as_deref());
            samples.add(&family::CONTRADICTIONS, &[name], registry.contradictions.total() as f64);
            samples.add_traffic(name, &registry.traffic);
        }
        samples.into_families()
    }
}

struct Samples {
    shard: Option<String>,
    families: BTreeMap<&'static str, (Family, Vec<Metric>)>,
}

impl Samples {
    fn add_sweeps(&mut self, registry: &str, known: &Snapshot) {
        for outcome in Outcome::ALL {
            self.add(&family::SWEEPS, &[registry, outcome.as_str()], known.sweeps[outcome as usize] as f64);
        }
        for kind in Kind::ALL {
            self.add(&family::OBJECTS, &[registry, kind.as_str()], known.objects.get(kind) as f64);
        }
        let Coverage { head, byte, content } = known.coverage.unwrap_or_default();
        for (evidence, count) in [("head", head), ("byte", byte), ("content", content)] {
            self.add(&family::BLOBS, &[registry, evidence], count as f64);
        }
        if let Some(repositories) = known.repositories {
            self.add(&family::REPOSITORIES, &[registry], repositories as f64);
        }
        for (family, time) in [(&family::LAST_SWEEP, known.last_sweep), (&family::LAST_SUCCESS, known.last_success)] {
            if let Some(time) = time {
                self.add(family, &[registry], seconds_since_epoch(time));
            }
        }
        if let Some(empty) = known.empty {
            self.add(&family::EMPTY, &[registry], f64::from(u8::from(empty)));
        }
        if let Some(report) = &known.report {
            self.add(&family::SWEEP_DURATION, &[registry], report.duration_seconds);
            self.add(&family::CATALOG_ACCESSIBLE, &[registry], f64::from(u8::from(report.catalog_accessible)));
        }
    }

    fn add_findings(&mut self, registry: &str, report: Option<&Report>) {
        let mut failures = [[0_u64; Reason::ALL.len()]; Kind::ALL.len()];
        let mut unverified = [0_u64; Cause::ALL.len()];
        for failure in report.map_or(&[][..], |report| &report.failures) {
            failures[failure.kind as usize][failure.reason as usize] += 1;
        }
        for entry in report.map_or(&[][..], |report| &report.unverified) {
            unverified[entry.cause as usize] += 1;
        }
        for kind in Kind::ALL {
            for reason in Reason::ALL {
                let count = failures[kind as usize][reason as usize];
                self.add(&family::FAILURES, &[registry, kind.as_str(), reason.as_str()], count as f64);
            }
        }
        for cause in Cause::ALL {
            self.add(&family::UNVERIFIED, &[registry, cause.as_str()], unverified[cause as usize] as f64);
        }
        for state in ImageState::ALL {
            let count = report.map_or(0, |report| report.images.get(state));
            self.add(&family::IMAGES, &[registry, state.as_str()], count as f64);
        }
    }

    fn add_broken_images(&mut self, registry: &str, failures: &[Failure], limit: usize) {
        let mut broken: BTreeMap<&Image, Reason> = BTreeMap::new();
        for failure in failures {
            for image in &failure.images {
                broken
                    .entry(image)
                    .and_modify(|reason| *reason = failure.reason.min(*reason))
                    .or_insert(failure.reason);
            }
        }
        for (image, reason) in broken.iter().take(limit) {
            let tag = image.reference.to_string();
            self.add(&family::IMAGE_BROKEN, &[registry, &image.repository, &tag, reason.as_str()], 1.0);
        }
        self.add(&family::IMAGE_BROKEN_OMITTED, &[registry], broken.len().saturating_sub(limit) as f64);
    }

    fn add_unverified_images(&mut self, registry: &str, report: Option<&Report>) {
        let Some(report) = report else { return };
        let broken: BTreeSet<&Image> = report.failures.iter().flat_map(|failure| &failure.images).collect();
        let unverified: BTreeSet<&Image> =
            report.unverified.iter().flat_map(|entry| &entry.images).filter(|image| !broken.contains(image)).collect();
        for image in unverified.into_iter().take(UNVERIFIED_IMAGES_LIMIT) {
            self.add(&family::IMAGE_UNVERIFIED, &[registry, &image.repository, &image.reference.to_string()], 1.0);
        }
    }

    fn add_traffic(&mut self, registry: &str, traffic: &Traffic) {
        for method in Method::ALL {
            for code in Code::ALL {
                let labels = [registry, method.as_str(), code.as_str()];
                self.add(&family::REQUESTS, &labels, traffic.requests(method, code) as f64);
            }
            let mut metric = self.labelled(&family::REQUEST_DURATION, &[registry, method.as_str()]);
            metric.set_histogram(histogram(&traffic.durations(method)));
            self.push(&family::REQUEST_DURATION, metric);
        }
        self.add(&family::RECEIVED_BYTES, &[registry], traffic.received_bytes() as f64);
        for code in Code::ALL {
            self.add(&family::TOKEN_REQUESTS, &[registry, code.as_str()], traffic.token_requests(code) as f64);
        }
        if let Some(limit) = traffic.concurrency() {
            self.add(&family::CONCURRENCY, &[registry], limit as f64);
        }
    }

    fn add(&mut self, family: &Family, label_values: &[&str], value: f64) {
        let mut metric = self.labelled(family, label_values);
        if family.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.push(family, metric);
    }

    fn labelled(&self, family: &Family, values: &[&str]) -> Metric {
        debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
        let pair = |(name, value): (&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_string());
            pair.set_value(value.to_string());
            pair
        };
        let shard = self.shard.as_deref().filter(|_| family.is_own).map(|shard| ("shard", shard));
        Metric::from_label(family.labels.iter().copied().zip(values.iter().copied()).chain(shard).map(pair).collect())
    }

    fn push(&mut self, family: &Family, metric: Metric) {
        self.families.entry(family.name).or_insert_with(|| (*family, Vec::new())).1.push(metric);
    }

    fn into_families(self) -> Vec<MetricFamily> {
        let build = |(family, metrics): (Family, Vec<Metric>)| {
            let mut built = MetricFamily::default();
            built.set_name(family.name.to_string());
            built.set_help(family.help.to_string());
            built.set_field_type(family.kind);
            built.set_metric(metrics);
            built
        };
        self.families.into_values().map(build).collect()
    }
}

fn histogram(durations: &Durations) -> Histogram {
    let bucket = |(bound, count): (&f64, &u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(*count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(DURATION_BUCKETS.iter().zip(&durations.cumulative).map(bucket).collect());
    histogram.set_sample_count(durations.count);
    histogram.set_sample_sum(durations.sum);
    histogram
}

/// Host and port of a registry's URL as in image references; the scheme's default port is omitted.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}")))
}

fn seconds_since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

//! Prometheus metrics of the state. Every scrape builds new families, so that series of removed objects disappear.

mod collect;
mod families;
mod groups;

pub use collect::{DEFAULT_BROKEN_IMAGES_LIMIT, StateCollector, UNVERIFIED_IMAGES_LIMIT};
pub use families::{FAMILIES, Family};
pub use groups::{Group, render_groups};
pub use prometheus::proto::MetricType;

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

use crate::state::State;

/// `Content-Type` of what [`render`] and [`render_with_process`] return.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics for a Pushgateway or a textfile: all except `process_*`, which would outlive the process there.
pub fn render(state: &State) -> String {
    encode(vec![Box::new(StateCollector::new(state))])
}

/// The metrics of `/metrics`: those of [`render`] and of this process.
pub fn render_with_process(state: &State) -> String {
    encode(vec![Box::new(StateCollector::new(state)), Box::new(OwnProcess(ProcessCollector::for_self()))])
}

/// Metrics of this process. The start time is left out if `/proc/stat` hides the boot time, because the collector would
/// report 1970.
struct OwnProcess(ProcessCollector);

impl Collector for OwnProcess {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let is_unknown = |family: &MetricFamily| family.get_metric().iter().any(|it| it.get_gauge().get_value() <= 0.0);
        families.retain(|family| family.name() != "process_start_time_seconds" || !is_unknown(family));
        families
    }
}

/// Encodes the families of some collectors in text format, sorted by name and label values.
pub fn encode(collectors: Vec<Box<dyn Collector>>) -> String {
    let registry = Registry::new();
    for collector in collectors {
        registry.register(collector).expect("the names and labels of the collectors are legal and distinct");
    }
    TextEncoder::new().encode_to_string(&registry.gather()).expect("gathered families have a name and metrics")
}

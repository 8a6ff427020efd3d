//! The Prometheus view of the state. Families are built afresh at every collect, so that the series of what is gone
//! are gone too.

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

/// What a one-shot sweep hands over to a Pushgateway or a textfile: every metric but `process_*`, which would outlive its
/// process there.
pub fn render(state: &State) -> String {
    encode(vec![Box::new(StateCollector::new(state))])
}

/// What `/metrics` answers: [`render`]'s metrics and this process's own.
pub fn render_with_process(state: &State) -> String {
    encode(vec![Box::new(StateCollector::new(state)), Box::new(OwnProcess(ProcessCollector::for_self()))])
}

/// This process's own metrics, without the time of its start where nobody can tell it: that is counted from the machine's,
/// which stands in `/proc/stat`, and where that is hidden the collector says 1970.
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

/// Writes the families of some collectors in the text format, sorted by name and then by label values.
pub fn encode(collectors: Vec<Box<dyn Collector>>) -> String {
    let registry = Registry::new();
    for collector in collectors {
        registry.register(collector).expect("the names and labels of the collectors are legal and distinct");
    }
    TextEncoder::new().encode_to_string(&registry.gather()).expect("gathered families have a name and metrics")
}

//! Metrics grouped by registry, for the Pushgateway.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;

use super::StateCollector;
use crate::state::State;

/// Metrics that a push replaces together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their `registry` label; `None` for metrics of the program.
    pub registry: Option<String>,
    /// The metrics in text format.
    pub text: String,
}

/// The metrics of [`render`](super::render) in disjoint groups.
pub fn render_groups(state: &State) -> Vec<Group> {
    let mut groups: BTreeMap<Option<String>, Vec<MetricFamily>> = BTreeMap::new();
    for mut family in StateCollector::new(state).collect() {
        let mut metrics: BTreeMap<Option<String>, Vec<_>> = BTreeMap::new();
        for metric in family.take_metric() {
            let registry = metric.get_label().iter().find(|label| label.name() == "registry");
            metrics.entry(registry.map(|label| label.value().to_string())).or_default().push(metric);
        }
        for (registry, metrics) in metrics {
            let mut part = family.clone();
            part.set_metric(metrics);
            groups.entry(registry).or_default().push(part);
        }
    }
    let encode = |(registry, families): (_, Vec<MetricFamily>)| {
        let text = TextEncoder::new().encode_to_string(&families).expect("collected families have a name and metrics");
        Group { registry, text }
    };
    groups.into_iter().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Target;

    #[test]
    fn series_are_grouped_by_registry() {
        let target = |name: &str| {
            let url = "https://registry.example.com".parse().unwrap();
            Target { name: name.to_string(), ..Target::with_defaults(url) }
        };
        let state = State::new(&[target("b"), target("a")]);
        let groups = render_groups(&state);
        let registries: Vec<Option<&str>> = groups.iter().map(|group| group.registry.as_deref()).collect();
        assert_eq!(registries, [None, Some("a"), Some("b")]);
        let series = |text: &str| -> BTreeSet<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(ToString::to_string).collect()
        };
        for Group { registry, text } in &groups {
            let label = registry.as_ref().map(|registry| format!("{{registry=\"{registry}\""));
            let is_own =
                |line: &String| label.as_ref().map_or(!line.contains("registry="), |label| line.contains(label));
            assert!(series(text).iter().all(is_own), "{text}");
        }
        let all: BTreeSet<String> = groups.iter().flat_map(|group| series(&group.text)).collect();
        assert_eq!(all, series(&super::super::render(&state)));
    }
}

//! The probe with real programs: registries, Prometheus and its family, shells, curl. Tests whose program is missing are
//! skipped.

#[path = "../testkit/mod.rs"]
mod testkit;

mod alerting;
mod completions;
mod dashboards;
mod demo_registry;
mod other_registries;
mod prometheus;
mod pull_through;
mod push;
mod real_registry;
mod scan;
mod textfile;
mod web_config;

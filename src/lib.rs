//! Prometheus exporter and blackbox integrity probe for OCI container registries.

pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod history;
pub mod images;
pub mod judge;
pub mod logging;
pub mod manifests;
pub mod metrics;
pub mod oci;
pub mod output;
pub mod progress;
pub mod proofs;
pub mod push;
pub mod registry;
pub mod report;
pub mod schedule;
pub mod state;
pub mod storage;
pub mod sweep;
pub mod textfile;
pub mod verify;
pub mod walk;
pub mod web;

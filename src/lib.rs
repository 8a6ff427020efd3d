//! Prometheus exporter and blackbox integrity probe for OCI container registries.

pub mod check;
pub mod cli;
pub mod config;
pub mod demo;
pub mod oci;
pub mod registry;
pub mod render;
pub mod report;
pub mod service;
pub mod state;
pub mod storage;
pub mod web;

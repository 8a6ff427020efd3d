//! What is deployed: Kubernetes objects by kustomize and by the chart, units of systemd, the image.

#[path = "../support/mod.rs"]
mod support;

mod chart;
mod hardening;
mod image;
mod kustomize;
mod objects;
mod same;
mod schemas;
mod systemd;
mod works;

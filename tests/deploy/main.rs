//! What is deployed: Kubernetes objects by kustomize and by the chart, units of systemd, the image, `deploy/compose`,
//! `deploy/ci`, and the commands of `docs/runbooks`.

#[path = "../testkit/mod.rs"]
mod testkit;

mod chart;
mod compose;
mod hardening;
mod image;
mod kustomize;
mod objects;
mod pipelines;
mod runbooks;
mod same;
mod schemas;
mod systemd;
mod works;

//! The web configuration file, as `serve` is run with it and as curl and Prometheus meet it.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod curl;
mod faults;
mod flags;
mod live;
mod prometheus;
mod reload;
mod service;
mod users;

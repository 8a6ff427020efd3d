//! The probe's library and binary against the in-process registry. No test here needs another program, but a few steps.

#[path = "../testkit/mod.rs"]
mod testkit;

mod alerts;
mod api;
mod architecture;
mod auth;
mod command_line;
mod config;
mod connections;
mod demo_faults;
mod documentation;
mod encodings;
mod evidence;
mod limits;
mod manifests;
mod metrics;
mod output;
mod paging;
mod proxies;
mod redirects;
mod scan;
mod service;
mod sharding;
mod state;
mod verdicts;
mod verify;
mod web;
mod web_config;

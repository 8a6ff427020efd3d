//! The pages: what they show in every state, over HTTP and in a real browser.

#[path = "../testkit/mod.rs"]
mod testkit;

mod bounds;
mod browser;
mod demonstration;
mod mending;
mod service;
mod states;

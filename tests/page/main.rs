//! The pages: what they show in every state, over HTTP and in a real browser.

#[path = "../sample/mod.rs"]
mod sample;
#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod browser;
mod demonstration;
mod mending;
mod service;
mod states;

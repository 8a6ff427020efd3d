//! The web configuration file, as `serve` is run with it.

mod faults;
mod flags;
mod reload;

//! Reads a registry's storage tree offline: finds what is broken, and predicts what a garbage collection would break.
//!
//! ```text
//! Source (a disk) ─▶ read ─▶ Tree ─▶ judge ─────▶ findings ┐
//!                             └────▶ collector ─▶ damage ───┴▶ RootReport ─▶ text, JSON, textfile
//! ```
//!
//! A [`Tree`](tree::Tree) contains links and lengths, no bytes; everything after `read` is pure.

pub mod collector;
mod content;
mod disk;
mod finding;
mod format;
mod judge;
pub mod layout;
mod locate;
mod reach;
pub mod read;
mod removal;
mod scan;
mod source;
mod textfile;
pub mod tree;

pub use content::Progress;
pub use disk::Disk;
pub use finding::{Class, Finding, Prediction, Removal, RemovalOutcome, RootReport, ScanReport};
pub use format::Format;
pub use locate::{Foreign, LocateError, Located, Location, locate};
pub use scan::{ScanOptions, scan};
pub use source::{Entry, EntryKind, Fault, Source};
pub use textfile::metrics;

//! Renders reports and state: metrics, text, JSON, JUnit, GitHub annotations, remedies; and delivers them.

pub mod github;
mod json;
mod junit;
pub mod metrics;
pub mod push;
pub mod remedy;
mod scan;
mod terminal;
mod text;
pub mod textfile;
pub mod verify;

pub use json::json;
pub use junit::junit;
pub use scan::scan;
pub use terminal::Terminal;
pub(crate) use terminal::{fit, printable};
pub use text::text;
pub(crate) use text::{style, write_failure, write_unverified};

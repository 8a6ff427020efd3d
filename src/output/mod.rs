//! What the one-shot commands print: a view of reports.

pub mod github;
mod json;
mod junit;
mod scan;
mod terminal;
mod text;
mod verdict;

pub use json::json;
pub use junit::junit;
pub use scan::scan;
pub use terminal::Terminal;
pub(crate) use terminal::{fit, printable};
pub use text::text;
pub(crate) use text::{style, write_failure, write_unverified};
pub use verdict::Verdict;

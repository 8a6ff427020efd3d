//! The gate after a push: named images, walked now and held against what was asked for.
//!
//! It is the walk of a sweep with its named images. What is added: images as people type them, the tree of what was
//! walked, platforms that must be there, and what to do next.

mod check;
mod image_name;
mod trace;
mod tree;

pub use check::{Check, Evidence, Verification, VerifyOptions};
pub use image_name::{ImageName, ImageNameError};
pub use trace::Trace;
pub use tree::{Mark, Row, Tree};

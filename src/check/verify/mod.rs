//! Checks given images now, as a gate after a push.
//!
//! It runs a sweep of the named images. It adds docker's image names, the tree of each image, and required platforms.

mod check;
mod image_name;
mod trace;
mod tree;

pub use check::{Check, Evidence, Verification, VerifyOptions};
pub use image_name::{ImageName, ImageNameError};
pub use trace::Trace;
pub use tree::{Mark, Row, Tree};

//! Settings of a run: parsed, validated, then never changed.
//!
//! A file becomes a tree whose nodes know their position (`yaml`). The tree is read key by key (`section`, `target`,
//! `http_client`), and all faults are collected (`fault`). Only a file without faults becomes a [`Config`].

mod fault;
mod http_client;
mod limits;
mod load;
mod pattern;
mod registry_url;
mod section;
mod settings;
pub mod shard;
mod target;
mod text;
pub mod units;
mod yaml;

pub use fault::{ConfigError, Fault};
pub(crate) use http_client::boolean;
pub use limits::Limits;
pub(crate) use load::{read_bounded, read_document};
pub(crate) use section::{Elsewhere, Section, read_mapping_among};
pub use settings::{
    ByteEvidence, Config, Confirm, Credentials, Evidence, Filter, ImageSelector, Mode, ProxyUrl, Secret, Spread,
    Target, Tls,
};

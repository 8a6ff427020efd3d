//! A registry in this process, for the `demo` command and as the peer of tests: it behaves like distribution 2.8 over a
//! real socket, until it is told to fail.

mod api;
mod auth;
pub mod content;
pub mod fault;
pub mod images;
mod paging;
mod range;
mod registry;
mod request_log;
mod route;
mod store;
mod wire;

pub use auth::{Auth, Grant, TokenService};
pub use content::{Image, Part, Role};
pub use registry::Registry;
pub use request_log::LoggedRequest;
pub use route::Endpoint;
pub use store::Headers;
pub use wire::Request;

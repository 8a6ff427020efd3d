//! An in-process registry for the `demo` command and for tests. It behaves like distribution 2.8 over a real socket, except
//! for injected faults.

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
